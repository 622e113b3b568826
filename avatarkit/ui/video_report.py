"""Show the findings of a video's checks on a page."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import streamlit as st

from avatarkit.models import is_url
from avatarkit.preflight import Report, check_field
from avatarkit.text import plain


@st.cache_data(show_spinner="Looking at the video …", max_entries=20)
def _check(path: str, field: str, *_version: float) -> Report:
    # Path, time and size identify the content: a file that was replaced is checked again.
    report = check_field(path, field)
    _ = report.contact_sheet  # drawn when first asked for; then it is in the cache as well
    return report


def check(value: str, field: str) -> Report | None:
    """Check the video at a path; return None for a URL and for an empty text."""
    if not value or is_url(value):
        return None
    path = Path(value)
    with suppress(RuntimeError):  # ~ with the name of a user that does not exist
        path = path.expanduser()
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return check_field(path, field)
    return _check(str(path), field, stat.st_mtime, stat.st_size)


def show(report: Report, *, expanded: bool = False) -> None:
    """Show errors and warnings; the other findings and the contact sheet are in an expander."""
    for finding in report.fatal:
        st.error(plain(finding.message), icon=":material/error:")
    for finding in report.warnings:
        st.warning(plain(finding.message), icon=":material/warning:")
    fine = [finding.message for finding in report.findings if finding.severity == "fine"]
    if fine:
        label = "1 check is fine" if len(fine) == 1 else f"{len(fine)} checks are fine"
        with st.expander(label, expanded, icon=":material/check:"):
            st.caption(plain(" ".join(fine)))
            if report.contact_sheet is not None:
                st.image(report.contact_sheet, alt="Frames of the video")
