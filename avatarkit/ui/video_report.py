"""The findings of a video's checks, on a page."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from avatarkit.models import is_url
from avatarkit.preflight import Report, check_field
from avatarkit.text import plain
from avatarkit.ui import draft


@st.cache_data(show_spinner="Looking at the video …", max_entries=20)
def _check(path: str, field: str, *_version: float) -> Report:
    # Path, time and size stand for the content: a file that was replaced is checked again.
    report = check_field(path, field)
    _ = report.contact_sheet  # drawn when first asked for; then it is in the cache as well
    return report


def _report(path: Path, field: str) -> Report:
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return check_field(path, field)
    return _check(str(path), field, stat.st_mtime, stat.st_size)


def show(path: Path, field: str) -> None:
    """Show the findings that matter; the others and the contact sheet are folded away."""
    report = _report(path, field)
    for finding in report.fatal:
        st.error(plain(finding.message), icon=":material/error:")
    for finding in report.warnings:
        st.warning(plain(finding.message), icon=":material/warning:")
    fine = [finding.message for finding in report.findings if finding.severity == "fine"]
    if fine:
        with st.expander(f"{len(fine)} checks are fine", icon=":material/check:"):
            st.caption(plain(" ".join(fine)))
            if report.contact_sheet is not None:
                st.image(report.contact_sheet)


def is_fatal(value: str, field: str) -> bool:
    """Return whether the video at this path has a fatal finding; a URL or nothing has none."""
    value = value.strip()
    if not value or is_url(value):
        return False
    return bool(_report(draft.typed_path(value), field).fatal)
