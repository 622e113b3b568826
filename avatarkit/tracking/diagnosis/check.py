"""Run checks side by side, each with a deadline, so that a broken one hides no other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from avatarkit.clock import Clock
from avatarkit.errors import AvatarkitError

Probe = Callable[[], Iterator["Check"]]


class Outcome(StrEnum):
    """What a check found."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True)
class Check:
    """What was found of one part of the installation.

    ``sentence`` says what is; ``fix`` what to do, empty if there is nothing to do or the sentence
    says it already. Neither holds a key or a password.
    """

    name: str
    outcome: Outcome
    sentence: str
    fix: str = ""

    @property
    def text(self) -> str:
        """Both as one text."""
        return f"{self.sentence} {self.fix}".rstrip()


def run(probes: Mapping[str, Probe], *, clock: Clock, deadline_s: float) -> list[Check]:
    """Run probes side by side.

    Args:
        probes: What to run, by the name of its checks. Each yields what it finds.
        clock: The clock of the deadline.
        deadline_s: Wall seconds for all of them.

    Returns:
        What each found, in the order of ``probes``. Of one that failed, or did not end in time, it
        is what it found before, and a check that says so.
    """
    running = {name: _Run(name, probe) for name, probe in probes.items()}
    end_s = clock.monotonic() + deadline_s
    checks: list[Check] = []
    for name, each in running.items():
        each.thread.join(max(0.0, end_s - clock.monotonic()))
        checks += tuple(each.found)
        if each.thread.is_alive():
            sentence = f"The check did not end within {deadline_s:.0f} s."
            fix = "Look for a server or a disk that hangs."
            checks.append(Check(name, Outcome.WRONG, sentence, fix))
    return checks


class _Run:
    def __init__(self, name: str, probe: Probe) -> None:
        self._name, self._probe = name, probe
        self.found: list[Check] = []
        # A daemon: a check that hangs must not hold up the end of the program.
        self.thread = threading.Thread(target=self._run, name=f"check-{name}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.found.extend(self._probe())
        except AvatarkitError as error:
            self.found.append(Check(self._name, Outcome.WRONG, str(error)))
        except Exception as error:  # noqa: BLE001 - the other checks are still of use
            # Not its text, which may hold a password.
            sentence = f"The check itself failed ({type(error).__name__})."
            self.found.append(Check(self._name, Outcome.WRONG, sentence, "Report this."))
