"""What the look at a video found, on a page."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from avatarkit.models import is_url
from avatarkit.preflight import Report, check_field
from avatarkit.text import plain
from avatarkit.ui import draft

ICONS = {"fatal": ":material/error:", "warning": ":material/warning:", "fine": ":material/check:"}


@st.cache_data(show_spinner="Looking at the video …", max_entries=20)
def _checked(path: str, field: str, *_version: float) -> Report:
    # Path, time and size stand for the content: a file that was replaced is looked at again.
    report = check_field(path, field)
    _ = report.contact_sheet  # drawn when first asked for; then it is in the cache as well
    return report


def _report(path: Path, field: str) -> Report:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return check_field(path, field)
    return _checked(str(path), field, found.st_mtime, found.st_size)


def show(path: Path, field: str) -> None:
    """The findings that matter, the picture, and the rest folded away."""
    report = _report(path, field)
    for finding in report.fatal:
        st.error(plain(finding.message), icon=ICONS["fatal"])
    for finding in report.warnings:
        st.warning(plain(finding.message), icon=ICONS["warning"])
    fine = [finding for finding in report.findings if finding.severity == "fine"]
    if fine:
        with st.expander(f"{len(fine)} checks are fine", icon=ICONS["fine"]):
            st.caption(plain(" ".join(finding.message for finding in fine)))
            if report.contact_sheet is not None:
                st.image(report.contact_sheet)


def is_fatal(given: str, field: str) -> bool:
    """True when the video at this path has a fatal finding; a URL or nothing has none."""
    given = given.strip()
    if not given or is_url(given):
        return False
    return bool(_report(draft.typed_path(given), field).fatal)
