"""What was found in a video: one finding for each thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


def printable(name: str) -> str:
    """That name with a question mark for every byte that is no text."""
    return name.encode("utf-8", "replace").decode("utf-8")


class Severity(StrEnum):
    """``fatal``: do not send it; ``warning``: it may be turned down; ``fine``."""

    FATAL = "fatal"
    WARNING = "warning"
    FINE = "fine"


class Source(StrEnum):
    """Where a limit comes from, and how sure it is."""

    DOCUMENTED = "documented by the vendor (API.md, Videos)"
    SEEN = "seen once, not documented (API.md, Videos)"
    OTHER_VENDORS = "what other vendors reject (API.md, Videos)"
    CONTRACT = "the contract: the video that lips are synchronised to"
    OWN = "avatarkit's own limit"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. All fields are text, with units where there are any."""

    check: str
    severity: Severity
    message: str
    value: str
    limit: str
    source: Source
