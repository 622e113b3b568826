"""Define findings, and the checks that make them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


def printable(name: str) -> str:
    """Return the name with a question mark for every byte that is not text."""
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
    """A check whose problems are warnings; ``fine`` is its message without a problem."""

    name: str
    fine: str
    limit: str
    source: Source = Source.OWN

    def judge(self, value: str, problem: str | None, fine: str | None = None) -> Finding:
        """Return the finding of this check.

        Args:
            value: What was measured.
            problem: The message of a warning; None if all is fine.
            fine: The message if all is fine, if not the check's own.
        """
        severity = Severity.WARNING if problem else Severity.FINE
        message = problem or fine or self.fine
        return Finding(self.name, severity, message, value, self.limit, self.source)
