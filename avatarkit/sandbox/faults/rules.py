"""Which calls fail, and how: rules that tests and people set, and take back again."""

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
"""Faults before which nothing happens: a create that meets one makes no persona."""

CARRIED_OUT = (
    "504-made",
    "closed-after-made",
    "closed-in-answer",
    "endless",
    "broken-json",
    "other-json",
    "wrong-content-type",
)
"""Faults of the answer alone: the call is carried out, so that a create makes its persona."""

FAULTS: tuple[str, ...] = NOT_CARRIED_OUT + CARRIED_OUT
"""The names of all faults.

``429``, ``429-seconds``, ``429-date``: too many calls, with Retry-After not at all, in seconds, as
an HTTP date. ``500-html``, ``502``, ``503``, ``504-made``: errors with a page. ``301``: to the same
address. ``closed-before``, ``closed-during``: a reset before, or in the middle of, reading the
body. ``closed-after``, ``closed-after-made``, ``closed-in-answer``: the connection ends without an
answer, or in the middle of it. ``endless``: an answer that drips and never ends. ``broken-json``:
cut off in the middle. ``other-json``: of another shape. ``wrong-content-type``: the right JSON,
called HTML.
"""


@dataclass
class Rule:
    """One fault, the calls that meet it, and how many more (``calls``) or which share of them."""

    fault: str
    method: str | None = None
    path: str | None = None
    calls: int | None = None
    share: float | None = None
    retry_after_s: int = 1

    def to_json(self) -> dict[str, Any]:
        """The rule as JSON values."""
        return asdict(self)


class Faults:
    """The rules that are in force, in the order in which they were set; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._rng = random.Random(0)  # noqa: S311 - the same share of the same calls each time

    def add(self, rule: Rule) -> None:
        """Put that rule in force. Raises ``ConfigError``, one sentence, for one that is none."""
        _check(rule)
        if rule.method is not None:
            rule.method = rule.method.upper()
        with self._lock:
            self._rules.append(rule)

    def heal(self) -> None:
        """From now on nothing fails."""
        with self._lock:
            self._rules.clear()

    def rules(self) -> list[dict[str, Any]]:
        """The rules that are still in force, as JSON values."""
        with self._lock:
            return [rule.to_json() for rule in self._rules]

    def meet(self, method: str, path: str) -> Rule | None:
        """The rule that the next call, of that method and path, meets; it then counts as met."""
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
