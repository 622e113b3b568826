"""One finding for each thing that is checked in a video."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


def printable(name: str) -> str:
    """Return the name with a question mark for every byte that is no text."""
    return name.encode("utf-8", "replace").decode("utf-8")


class Severity(StrEnum):
    """``fatal``: do not send the video; ``warning``: it may be turned down; ``fine``."""

    FATAL = "fatal"
    WARNING = "warning"
    FINE = "fine"


class Source(StrEnum):
    """Where a limit comes from."""

    DOCUMENTED = "documented by the vendor (API.md, Videos)"
    SEEN = "seen once, not documented (API.md, Videos)"
    OTHER_VENDORS = "what other vendors reject (API.md, Videos)"
    CONTRACT = "the contract: the video that lips are synchronised to"
    OWN = "avatarkit's own limit"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. All fields are text, with units where there are any."""

    check: str
    """The name of the check, such as ``frame rate``."""
    severity: Severity
    message: str
    """A sentence: what is wrong and what to do."""
    value: str
    """What was measured."""
    limit: str
    """What it was measured against."""
    source: Source


@dataclass(frozen=True, slots=True)
class Check:
    """A check whose problems are warnings, and what it says when there is none."""

    name: str
    fine: str
    limit: str
    source: Source = Source.OWN

    def judge(self, value: str, problem: str | None, fine: str | None = None) -> Finding:
        """Return a warning that says ``problem``, or where there is none what is ``fine``."""
        severity = Severity.WARNING if problem else Severity.FINE
        message = problem or fine or self.fine
        return Finding(self.name, severity, message, value, self.limit, self.source)
