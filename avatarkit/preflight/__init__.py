"""Check a video before it is sent.

``check`` decodes the file once, from start to end, and returns a report of findings, each with its
limit and where the limit comes from. Every file gets a report: a missing, damaged or hostile one
has a fatal finding.

- ``checks``: runs the checks in their order
- ``request``: the findings on a create as a whole, whatever its files hold
- ``file``, ``picture``, ``sound``, ``faces``: the findings on each
- ``mp4_boxes``: reads the structure of the file
- ``decode``, ``frames``, ``loudness``: decode it and keep what the findings need
- ``report``, ``contact_sheet``: show the findings
"""

from __future__ import annotations

from avatarkit.preflight.checks import Kind, check, check_field
from avatarkit.preflight.findings import Finding, Severity, Source
from avatarkit.preflight.report import Report
from avatarkit.preflight.request import check_request

__all__ = [
    "Finding",
    "Kind",
    "Report",
    "Severity",
    "Source",
    "check",
    "check_field",
    "check_request",
]
