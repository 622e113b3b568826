"""Find out from the account's list and quota what became of uncertain submissions.

Presence is proof: a persona that fits shows that the create was carried out. Absence is proof only
if it lasts for ``SETTLING``, from one list to another, and only if the list shows a pending
persona, and so does not hide pending ones, or if the quota counts no more personas than are known.
In all other cases the user decides.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from avatarkit.clock import Clock
from avatarkit.errors import APIError, ConfigError
from avatarkit.models import Persona, ProcessStatus, Quota
from avatarkit.store.clock_skew import Call
from avatarkit.store.store import Store
from avatarkit.store.submissions import Instant, Uncertain, instant
from avatarkit.tracking.poll import plan_next
from avatarkit.tracking.throttling import ThrottledClient

SETTLING = timedelta(hours=1)
"""How long the API may take to list a persona after its create.

By the API's own clock, from the ``Date`` header of one list to that of another; without it by the
uptime of one process. This machine's clock may have been set in between.
"""
SKEW = timedelta(minutes=10)
"""How far ``created_at`` may lie outside the time of sending, as the two clocks differ."""
LISTING_S = 300.0
"""Wall seconds to list an account, all pages together."""
FETCHING_S = 20.0
"""Wall seconds to request one persona."""
STRAY = timedelta(days=1)
"""How long before it was sent a persona may be created to be offered as a candidate.

By the API's own clock: if that was unknown when it was sent, one of any time is a candidate, as is
always one that was created later. This machine's clock may have been ahead or behind.
"""


_BAD = (ProcessStatus.FAILED, ProcessStatus.REJECTED)


@dataclass(frozen=True)
class Verdict:
    """What became of one uncertain submission.

    ``state`` is ``accepted`` (with ``persona``), ``refused``, or still ``uncertain``, with the
    ``candidates`` among which the user has to choose, if there are any. ``reason`` is a sentence.
    ``call`` is the call that answered with the persona or the candidates, and ``absent`` when the
    submission was first not found.
    """

    submission_id: str
    state: str
    persona: Persona | None = None
    candidates: tuple[Persona, ...] = ()
    reason: str = ""
    call: Call | None = None
    absent: Instant | None = None


@dataclass(frozen=True)
class Account:
    """What the API and the log know of an account at one moment.

    ``listed`` are the personas in its list, ``taken`` the ids that other submissions became,
    ``sending`` the submissions that are being sent, ``unlisted`` the ids that are followed and not
    listed. ``count`` is the quota's ``current_count``; None when it is unknown, changed while the
    account was read, or may count one that replaced an unlisted one. ``skipped`` is the number of
    listed entries that could not be read. ``listing`` is the call that read the list, and
    ``instant`` when.
    """

    listing: Call
    instant: Instant
    listed: tuple[Persona, ...]
    taken: Set[str]
    sending: Sequence[Uncertain]
    unlisted: frozenset[str]
    count: int | None
    skipped: int = 0


def decide(open_submissions: list[Uncertain], account: Account, now: datetime) -> list[Verdict]:
    """Decide what became of each uncertain submission.

    Args:
        open_submissions: The uncertain submissions.
        account: What ``read_account`` returned.
        now: The moment, on the session's clock.

    Returns:
        A verdict for each submission, in their order.
    """
    free = [persona for persona in account.listed if persona.id not in account.taken]
    # A persona may also come from a create that is being sent right now.
    wanted = Counter(
        persona.id
        for submission in (*open_submissions, *account.sending)
        for persona in free
        if fits(persona, submission)
    )
    return [_decide(submission, free, wanted, account, now) for submission in open_submissions]


def _decide(
    submission: Uncertain,
    free: list[Persona],
    wanted: Counter[str],
    account: Account,
    now: datetime,
) -> Verdict:
    fitting = [persona for persona in free if fits(persona, submission)]
    submission_id, listing = submission.submission_id, account.listing
    if len(fitting) == 1 and wanted[fitting[0].id] == 1:
        return Verdict(submission_id, "accepted", persona=fitting[0], call=listing)
    # Sent at a time that is still to come: the clock was wrong then, and no time says anything.
    was_ahead = submission.sent_at > now + SKEW
    sent_by_api = submission.sent_by_api
    earliest = None if sent_by_api is None else sent_by_api - STRAY
    candidates = tuple(
        persona for persona in free if _may_be(persona, submission, earliest, latest=None)
    )
    absent: Instant | None = None
    absent_for = account.instant.since(submission.absent)
    if not (fitting or candidates):
        absent = submission.absent if absent_for > timedelta(0) else account.instant
    if fitting:
        reason = "Several avatars fit, or several submissions fit one; choose which it is."
    elif candidates:
        reason = (
            "Only avatars of another time, or without a name, are like it; choose whether it is "
            "one of them."
        )
    elif not was_ahead and absent_for < SETTLING:
        reason = "It does not show yet; the account is looked at again."
    elif not was_ahead and _is_absent(account):
        reason = "The account does not have it; it is safe to send it again."
        return Verdict(submission_id, "refused", reason=reason)
    else:
        reason = "The account does not show it, but may hide it; look there yourself."
    return Verdict(
        submission_id,
        "uncertain",
        candidates=candidates,
        reason=reason,
        call=listing,
        absent=absent,
    )


def fits(persona: Persona, submission: Uncertain) -> bool:
    """Return whether a persona is like what a submission asked for, and was created in its time."""
    is_named = persona.creator_name == submission.creator_name
    # The API may create it long after the connection broke, from what it had read.
    latest = submission.broke_at + max(SETTLING, SKEW)
    return is_named and _may_be(persona, submission, submission.sent_at - SKEW, latest)


def _may_be(
    persona: Persona, submission: Uncertain, earliest: datetime | None, latest: datetime | None
) -> bool:
    # What the answer leaves out, or has in a shape that cannot be read, is neither a match nor a
    # mismatch.
    if (
        persona.creator_name not in (None, submission.creator_name)
        or persona.gender not in (None, submission.gender)
        or (persona.video_scene or submission.video_scene)
        != (submission.video_scene or persona.video_scene)
    ):
        return False
    if persona.created_at is None:
        return True
    is_early = earliest is not None and persona.created_at < earliest
    return not (is_early or (latest is not None and persona.created_at > latest))


def _is_absent(account: Account) -> bool:
    """Return whether a persona that is not listed does not exist.

    True if the quota counts exactly the personas that are known; or if the list shows a pending
    persona, so that it would show the missing one too, and the quota does not contradict that. It
    is not known whether the quota counts failed and rejected personas.
    """
    if account.skipped:
        return False
    known = {persona.id for persona in account.listed} | account.unlisted
    alive = known - {persona.id for persona in account.listed if persona.status in _BAD}
    if account.count is not None and account.count == len(alive):
        return True
    shows_pending = any(persona.status is ProcessStatus.PENDING for persona in account.listed)
    return shows_pending and (
        account.count is None or account.count < len(alive) or account.count == len(known)
    )


def read_account(
    api: ThrottledClient, store: Store, clock: Clock, ask_quota: Callable[[], Quota | None]
) -> Account:
    """Read list and quota of the account, and what the log knows of those that are not listed.

    Args:
        api: The API.
        store: The log.
        clock: The session's clock.
        ask_quota: Returns the quota, None if it cannot be read.

    Raises:
        APIError: The account cannot be listed.
    """
    # The quota is read before and after the list: if it is the same, both are of one moment.
    before = ask_quota()
    skipped: list[object] = []
    listing = api.ask()
    listed = api.list_personas(deadline_s=LISTING_S, on_skipped=skipped.append, asking=listing)
    listed_at = instant(listing, clock.monotonic())
    # The quota does not count what was deleted here, and a list may show it a while longer.
    deleted = store.deleted_ids()
    listed = tuple(persona for persona in listed if persona.id not in deleted)
    after = ask_quota()
    ids = {persona.id for persona in listed}
    missing = store.in_flight() - ids
    count = after.current_count if after is not None and after == before else None
    if missing and count is not None:
        settled = sorted(
            each.submission_id
            for each in store.open_submissions()
            if listed_at.since(each.absent) >= SETTLING
        )
        count = count if _is_steady(store, ids, missing, [count, *settled], listing) else None
    # Read last: a create that is being sent may have made a listed persona.
    with store.transaction(reading=True):
        taken, sending = store.submitted_ids(), store.open_submissions("sending")
    return Account(
        listing=listing,
        instant=listed_at,
        listed=listed,
        taken=taken,
        sending=sending,
        unlisted=missing,
        count=count,
        skipped=len(skipped),
    )


def _is_steady(
    store: Store, listed: Set[str], missing: frozenset[str], facts: list[object], listing: Call
) -> bool:
    """Return whether the account was the same before each unlisted avatar was polled last.

    If not, an unlisted one may be deleted by now, and the lost one counted in its place.

    Args:
        store: The log.
        listed: The ids in the list.
        missing: The ids that are followed and not in the list.
        facts: The quota's count, the same before and after the list was read, and the submissions
            that have had the time to arrive.
        listing: The call that read the list, after the quota was read first.
    """
    known = "\n".join(map(str, [*facts, *sorted(listed | missing)]))
    since_no = store.known_since(hashlib.sha256(known.encode()).hexdigest(), listing.no)
    return missing <= store.in_flight(asked_after=since_no)


def by_hand(
    api: ThrottledClient, store: Store, now: datetime, submission_id: str, persona_id: str | None
) -> Verdict:
    """Return the verdict that the user gives.

    Args:
        api: The API.
        store: The log.
        now: The moment, on the session's clock.
        submission_id: The uncertain submission.
        persona_id: The persona that it became; None if it never arrived.

    Raises:
        ConfigError: It is not uncertain, or another submission became this persona.
        APIError: The persona cannot be read.
    """
    uncertain = {each.submission_id: each for each in store.open_submissions()}
    if submission_id not in uncertain:
        raise ConfigError(f"No uncertain submission has the id {submission_id}.")
    if persona_id is None:
        return Verdict(submission_id, "refused", reason="A person said that it never came.")
    if persona_id in store.submitted_ids():
        raise ConfigError(f"Another submission became {persona_id} already; choose another.")
    submission = uncertain[submission_id]
    candidates = {each.id: each for each in submission.candidates}
    asking = api.ask(by_person=True)
    call: Call = asking
    try:
        # Its status may have changed since it was listed.
        get = partial(api.client.get_persona, persona_id, deadline_s=FETCHING_S)
        persona = api.call(asking, get)
    except APIError:
        if persona_id not in candidates:
            raise
        # An older avatarkit did not keep when it was listed: at some time since it was sent.
        call = submission.listing or Call(0, submission.sent_at, now)
        persona = candidates[persona_id]
    return Verdict(submission_id, "accepted", persona=persona, call=call)


def apply(store: Store, verdict: Verdict, now: datetime) -> bool:
    """Log a verdict.

    Args:
        store: The log.
        verdict: The verdict.
        now: The moment, on the session's clock.

    Returns:
        False if the submission was settled in another way meanwhile.
    """
    submission_id, persona = verdict.submission_id, verdict.persona
    if persona is not None:
        with store.transaction():
            store.lock_account()  # first, as who erases a person does
            if not store.may_become(submission_id, persona.id):
                return False
            recorded = store.accepted(submission_id, persona, now, source="list", call=verdict.call)
            plan_next(store, persona.id, recorded, now)
    elif verdict.state == "refused":
        store.refused(submission_id, now, verdict.reason)
    else:
        store.keep_uncertain(
            submission_id,
            verdict.reason,
            verdict.candidates,
            listing=verdict.call,
            absent=verdict.absent,
        )
    return True
