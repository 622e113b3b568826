"""Show the findings of a video's checks on a page."""

from __future__ import annotations

import streamlit as st

from avatarkit.models import is_url
from avatarkit.paths import pasted_path, unquote
from avatarkit.preflight import Finding, Report, Severity, check_field
from avatarkit.text import plain

FIRST = ("file", "reading", "picture", "faces", "audio", "duration", "resolution", "loudness")
"""The checks for which videos are turned down most, in the order in which they are shown."""

HEADLINES = {"faces": True, "audio": True, "duration": False, "resolution": False}
"""Of those that are fine, the checks that are shown without a click: by their message or value."""


@st.cache_data(show_spinner="Looking at the video …", max_entries=20)
def _check(path: str, field: str, *_version: float) -> Report:
    # Path, time and size identify the content: a file that was replaced is checked again.
    report = check_field(path, field)
    _ = report.contact_sheet  # drawn when first asked for; then it is in the cache as well
    return report


def check(value: str, field: str) -> Report | None:
    """Check the video at a path as it was typed; return None for a URL and for an empty text."""
    if not value.strip() or is_url(unquote(value)):
        return None
    try:
        path = pasted_path(value)
        stat = path.stat()
    except (OSError, ValueError):
        return check_field(value, field)
    return _check(str(path), field, stat.st_mtime, stat.st_size)


def show(report: Report, *, expanded: bool = False) -> None:
    """Show the frames, and the findings: errors, warnings, what matters most, and the rest."""
    if report.contact_sheet is not None:
        st.image(report.contact_sheet, alt="Frames of the video")
    findings = sorted(report.findings, key=_rank)
    for finding in findings:
        if finding.severity is Severity.FATAL:
            st.error(plain(finding.message), icon=":material/error:")
        elif finding.severity is Severity.WARNING:
            st.warning(plain(finding.message), icon=":material/warning:")
    fine = [finding for finding in findings if finding.severity is Severity.FINE]
    headlines = [finding for finding in fine if finding.check in HEADLINES]
    if headlines:
        texts = [f.message if HEADLINES[f.check] else f"{f.value}." for f in headlines]
        st.caption(f":material/check: {plain(' '.join(texts))}")
    if others := [finding.message for finding in fine if finding not in headlines]:
        label = (
            "1 more check is fine" if len(others) == 1 else f"{len(others)} more checks are fine"
        )
        with st.expander(label, expanded, icon=":material/check:"):
            st.caption(plain(" ".join(others)))


def _rank(finding: Finding) -> int:
    return FIRST.index(finding.check) if finding.check in FIRST else len(FIRST)
