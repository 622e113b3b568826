"""Read the account's list in place of many polls, while that saves calls.

What the list shows with a status is a sighting. Those that it leaves out are polled by id, as are
those that it shows to have ended without the fields that tell of the end. A list may be some
seconds behind: a status that is earlier than the log's counts as left out.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from avatarkit.api.transport import is_cancelled
from avatarkit.errors import APIError, StoreError
from avatarkit.models import STAGES, TERMINAL, UNKNOWN, Persona, ProcessStatus
from avatarkit.store.answers import previews
from avatarkit.store.plan import DuePersona
from avatarkit.store.sightings import Recorded
from avatarkit.store.unchanged import Seen
from avatarkit.tracking.poll import DEADLINE_S, Poll, Poller, plan_next
from avatarkit.tracking.throttling import Asking

logger = logging.getLogger("avatarkit")

LIST_EVERY = timedelta(hours=1)
"""How often the list is compared with the log, on the session's clock: what was deleted, is there
again, or was never logged."""
USELESS_FOR = timedelta(hours=6)
"""How long no list is tried after one that saved no call."""
FAILED_FOR = timedelta(minutes=10)
"""The same after one that failed, doubled for each further one."""
MOST_IN_BATCH = 200
"""At most this many answers are written in one transaction."""


@dataclass(frozen=True)
class Listed:
    """What came of reading the list in place of the polls of ``due``.

    ``personas`` are those of it that are followed, and ``ids`` all; a reading that failed has those
    of the pages before. It is ``whole`` if it was read to its end and every entry could be read. A
    reading that was cancelled says nothing of the list.
    """

    due: Sequence[DuePersona]
    asking: Asking
    at: datetime
    personas: Sequence[Persona]
    ids: Set[str]
    pages: int
    is_whole: bool
    error: Exception | None
    is_cancelled: bool = False


class Listing:
    """Decides when the list is read, reads it, and logs it.

    Args:
        poller: Plans the next polls, together while the list answers for several.

    Attributes:
        ids: The ids in the last list that was compared with the log; empty before the first.
        is_reading: Whether the list is read in place of polls, so that no other reading is needed.
    """

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self._schedule = poller.schedule
        self._api = poller.api
        self._store = poller.store
        self._clock = poller.clock
        self._pages = 1
        self._read_at: datetime | None = None
        self._failures = 0
        self._not_before: datetime | None = None
        self.ids: Set[str] = frozenset()
        self.is_reading = False

    def compare(self, ids: Set[str], asked_at: datetime) -> None:
        """Compare a list that was read whole with the log.

        Args:
            ids: The ids in the list.
            asked_at: When it was asked for.
        """
        self.ids = ids
        self._store.compare_with_list(ids, asked_at)

    def is_worthwhile(self, count: int, now: datetime) -> bool:
        """Return whether to read the list in place of ``count`` polls.

        Not for one, nor if the list has more pages than that, nor for a while after it failed or
        saved no call.
        """
        until, read_at = self._not_before, self._read_at
        # A time further ahead was set while the clock was wrong.
        waits = until is not None and now < until <= now + USELESS_FOR
        is_known = read_at is not None and now - USELESS_FOR < read_at <= now
        return count > 1 and (self._pages if is_known else 1) <= count and not waits

    def read(self, due: Sequence[DuePersona], running: Mapping[str, str], asking: Asking) -> Listed:
        """Read the list; log nothing.

        Args:
            due: The personas that are due.
            running: The ids of other personas that are followed.
            asking: The number of the call.
        """
        wanted = running.keys() | {each.persona_id for each in due}
        personas: list[Persona] = []
        ids: set[str] = set()
        skipped: list[object] = []
        pages = 1
        error: Exception | None = None

        def go_on(total: int) -> None:
            nonlocal pages
            pages = total
            if pages > len(due):
                raise _TooManyPages
            self._api.count_page()

        def read() -> None:
            listed = self._api.client.list_personas(
                deadline_s=DEADLINE_S, on_skipped=skipped.append, on_next_page=go_on
            )
            with suppress(_TooManyPages):
                for persona in listed:
                    ids.add(persona.id)
                    if persona.id in wanted:
                        personas.append(persona)

        try:
            self._api.call(asking, read)
        except APIError as raised:
            error = raised
        except Exception as raised:
            # A bug that the list triggers must not keep avatars from being polled by id.
            logger.exception("The list could not be read.")
            error = raised
        is_whole = error is None and pages <= len(due) and not skipped
        at, is_stopped = self._clock.now(), error is not None and is_cancelled()
        return Listed(due, asking, at, personas, ids, pages, is_whole, error, is_stopped)

    def log(self, listed: Listed) -> tuple[list[Poll], list[DuePersona]]:
        """Log what the list shows.

        Returns:
            The changes, and the personas to poll by id: those that are due and that it left out,
            and those that it shows to have ended and does not tell enough of.

        Raises:
            StoreError: The log failed.
        """
        if isinstance(listed.error, APIError) and self._api.is_about_account(listed.error):
            if listed.asking.after_refusal:
                # Perhaps only the list is refused: the next call that finds out is one by id.
                self._judge(listed, 0)
            pause = self._api.pause()
            return [Poll(error=str(listed.error) if pause is None else pause.reason)], []
        statuses = {each.persona_id: each.status for each in listed.due} | self._store.running()
        shown = [each for each in listed.personas if _is_sighting(statuses.get(each.id), each)]
        polls: list[Poll] = []
        for first in range(0, len(shown), MOST_IN_BATCH):
            polls += self._log(shown[first : first + MOST_IN_BATCH], listed)
        if listed.is_whole and self._store.begin_listing(listed.at, LIST_EVERY):
            self.compare(listed.ids, listed.asking.asked_at)
        seen = {each.id for each in shown}
        left_out = [each for each in listed.due if each.persona_id not in seen]
        if not listed.is_cancelled:
            self._judge(listed, len(listed.due) - len(left_out))
        return polls, left_out + [
            DuePersona(each.id, 0, each.status_text) for each in shown if is_incomplete(each)
        ]

    def _log(self, personas: Sequence[Persona], listed: Listed) -> list[Poll]:
        seen = [Seen(persona, listed.asking) for persona in personas]
        try:
            with self._store.transaction(), self._store.plan_together():
                unchanged = self._store.record_unchanged(seen)
                return [self._log_one(each, listed, unchanged.get(each.id)) for each in personas]
        except StoreError:
            raise
        except Exception as error:
            # A bug that one entry triggers must not hide the others.
            if len(personas) > 1:
                return [poll for persona in personas for poll in self._log([persona], listed)]
            logger.exception("What the list shows of %s could not be kept.", personas[0].id)
            return [Poll(error=f"The list could not be kept ({type(error).__name__}).")]

    def _log_one(self, persona: Persona, listed: Listed, recorded: Recorded | None) -> Poll:
        asking, at = listed.asking, listed.at
        if recorded is None:
            recorded = self._poller.log_answer(persona, asking, at, source="list", known_only=True)
        else:
            plan_next(self._store, persona.id, recorded, at, self._schedule)
        if is_incomplete(persona):
            self._store.plan(persona.id, at, at)
        return Poll(recorded.change, recorded.notice)

    def _judge(self, listed: Listed, saved: int) -> None:
        """Decide from a reading when the next one may be tried."""
        self._pages, self._read_at = listed.pages, listed.at
        self._schedule.together = listed.error is None and saved > listed.pages
        self._failures = 0 if listed.error is None else self._failures + 1
        if self._failures:
            gap = min(FAILED_FOR * 2.0 ** min(self._failures - 1, 10), USELESS_FOR)
            self._not_before = listed.at + gap
            logger.info("The list cannot be read (%s); avatars are polled by id.", listed.error)
        elif saved < listed.pages <= len(listed.due):
            self._not_before = listed.at + USELESS_FOR
            logger.info("The list shows no status of what is due; avatars are polled by id.")


class _TooManyPages(Exception):
    """The list has more pages than there are personas to poll."""


def _is_sighting(before: str | None, persona: Persona) -> bool:
    """Return whether an entry of the list tells the status of a followed persona.

    A status that is earlier than the log's does not, as the list may be behind; nor does a change
    from or to an undocumented status, which may be earlier.
    """
    after = persona.status_text
    if before is None or after == UNKNOWN:
        return False
    if after == before:
        return True
    return before in _ORDER and after in _ORDER and _ORDER[before] < _ORDER[after]


def is_incomplete(persona: Persona) -> bool:
    """Return whether an entry of the list shows an end without what belongs to it."""
    if persona.status in (ProcessStatus.FAILED, ProcessStatus.REJECTED):
        return not persona.failed_reason
    return persona.status is ProcessStatus.DONE and not any(previews(persona).values())


# The three ends have the same place: none follows another.
_ORDER = {status.value: place for place, status in enumerate(STAGES)}
_ORDER |= {status.value: len(STAGES) for status in TERMINAL}
