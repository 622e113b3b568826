"""Define rules that say which calls fail, and how."""

from __future__ import annotations

import random
import threading
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from avatarkit.errors import ConfigError

NOT_CARRIED_OUT = (
    "429",
    "429-seconds",
    "429-date",
    "500-html",
    "502",
    "503",
    "301",
    "closed-before",
    "closed-during",
    "closed-after",
)
"""Faults of calls that are not carried out: a create makes no persona."""

CARRIED_OUT = (
    "504-made",
    "closed-during-made",
    "closed-after-made",
    "closed-in-answer",
    "endless",
    "broken-json",
    "other-json",
    "wrong-content-type",
)
"""Faults of the answer alone: the call is carried out, and a create makes its persona."""

FAULTS: tuple[str, ...] = NOT_CARRIED_OUT + CARRIED_OUT
"""The names of all faults.

- ``429``, ``429-seconds``, ``429-date``: too many calls, with no Retry-After, with seconds, or with
  an HTTP date.
- ``500-html``, ``502``, ``503``, ``504-made``: an error with an HTML page.
- ``301``: a redirect to the same address.
- ``closed-before``, ``closed-during``: a reset before, or in the middle of, reading the body.
- ``closed-during-made``: a reset in place of an answer; a create makes its persona of the texts
  alone, without the videos.
- ``closed-after``, ``closed-after-made``, ``closed-in-answer``: the connection ends without an
  answer, or in the middle of it.
- ``endless``: an answer that never ends.
- ``broken-json``: an answer cut off in the middle.
- ``other-json``: an answer of another shape.
- ``wrong-content-type``: the right JSON, declared as HTML.
"""


@dataclass
class Rule:
    """A fault and the calls that it applies to: the next ``calls`` of them, or a ``share``."""

    fault: str
    method: str | None = None
    path: str | None = None
    calls: int | None = None
    share: float | None = None
    retry_after_s: int = 1


class Faults:
    """The active rules, in the order in which they were added; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._rng = random.Random(0)  # noqa: S311 - the same share of the same calls each time

    def add(self, rule: Rule) -> None:
        """Activate ``rule``.

        Raises:
            ConfigError: A field of the rule is invalid.
        """
        _check(rule)
        if rule.method is not None:
            rule.method = rule.method.upper()
        with self._lock:
            self._rules.append(rule)

    def heal(self) -> None:
        """Remove all rules."""
        with self._lock:
            self._rules.clear()

    def rules(self) -> list[dict[str, Any]]:
        """Return the active rules as JSON values."""
        with self._lock:
            return [asdict(rule) for rule in self._rules]

    def match(self, method: str, path: str) -> Rule | None:
        """Return the rule that this call meets, and count the call; None if it meets none."""
        with self._lock:
            for rule in self._rules:
                if not _applies(rule, method, path):
                    continue
                if rule.calls is not None:
                    rule.calls -= 1
                    if rule.calls == 0:
                        self._rules.remove(rule)
                    return rule
                if self._rng.random() < (rule.share or 0):
                    return rule
        return None


def parse_fault(text: str) -> dict[str, Any]:
    """Return the arguments of ``Sandbox.fail_share`` from ``NAME[:SHARE[:METHOD]]``.

    Without a share all calls fail.

    Raises:
        ConfigError: The share is no number.
    """
    fault, _, more = text.partition(":")
    share, _, method = more.partition(":")
    try:
        return {"fault": fault, "share": float(share or 1), "method": method or None}
    except ValueError:
        raise ConfigError(f"{text!r} is no fault; write NAME:SHARE, such as 429:0.1.") from None


def _applies(rule: Rule, method: str, path: str) -> bool:
    return rule.method in (None, method) and (rule.path is None or fnmatchcase(path, rule.path))


def _check(rule: Rule) -> None:
    if rule.fault not in FAULTS:
        raise ConfigError(f"There is no fault {rule.fault!r}; choose one of {', '.join(FAULTS)}.")
    for name in ("method", "path"):
        value = getattr(rule, name)
        if not (value is None or (isinstance(value, str) and value)):
            raise ConfigError(f"{name} must be a text such as {_EXAMPLES[name]}, or left out.")
    if (rule.calls is None) == (rule.share is None):
        raise ConfigError("Give either calls, how many fail, or share, which part of them.")
    if rule.calls is not None and not (_is_whole(rule.calls) and rule.calls >= 1):
        raise ConfigError("calls must be a whole number of 1 or more.")
    if rule.share is not None and not (_is_number(rule.share) and 0 < rule.share <= 1):
        raise ConfigError("share must be above 0 and at most 1.")
    if not (_is_whole(rule.retry_after_s) and 0 <= rule.retry_after_s <= _LONGEST_S):
        raise ConfigError(f"retry_after_s must be a whole number from 0 to {_LONGEST_S}.")


_LONGEST_S = 86_400
_EXAMPLES = {"method": "POST", "path": "/api/personas_v2/ or /api/personas/*"}


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
