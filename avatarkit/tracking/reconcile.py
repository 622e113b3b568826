"""Find out what became of creates whose answer was lost, by what the account shows.

Only presence proves. A persona that fits proves that the create happened; that none is there
proves nothing until a settling time has passed, and then only if the list shows a persona that is
still pending, as the lost one may be, or if the account counts no more than those that are known.
Otherwise a person decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from avatarkit.api.client import Client
from avatarkit.errors import APIError, ConfigError, NotFound
from avatarkit.models import Persona, ProcessStatus, Quota
from avatarkit.store.store import Store
from avatarkit.store.submissions import Uncertain
from avatarkit.tracking.poll import plan_next

SETTLING = timedelta(hours=1)
"""How long the API may take to show a persona that it has accepted."""
SKEW = timedelta(minutes=10)
"""How far the API's clock may be off this one, for a persona to be taken for the one sent."""
LISTING_S = 300.0
"""Wall seconds for the whole list of an account, however many its pages."""
FETCHING_S = 20.0
"""Wall seconds for the call about one persona."""
STRAY = timedelta(days=1)
"""How far off a persona may be, for a person to be asked whether it is the one sent."""


_BAD = (ProcessStatus.FAILED, ProcessStatus.REJECTED)


@dataclass(frozen=True)
class Verdict:
    """What became of one uncertain submission.

    ``state`` is ``accepted`` (with ``persona``), ``refused``, or ``uncertain`` with the
    ``candidates`` among which a person has to choose, if there are any.
    """

    submission_id: str
    state: str
    persona: Persona | None = None
    candidates: tuple[Persona, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Account:
    """What the account shows now.

    ``listed`` are its personas, ``taken`` the ids that other submissions became, ``sending`` the
    creates on their way, ``unlisted`` the ids that are not listed but were answered just now.
    ``count`` is the quota's current_count, None when it is unknown or not of that moment.
    """

    listed: tuple[Persona, ...]
    taken: Set[str]
    sending: Sequence[Uncertain]
    unlisted: frozenset[str]
    count: int | None


def decide(open_submissions: list[Uncertain], account: Account, now: datetime) -> list[Verdict]:
    """Return a verdict for each uncertain submission, in their order."""
    free = [persona for persona in account.listed if persona.id not in account.taken]
    # A create that is on its way may be what made a persona, as much as one that broke.
    wanted = Counter(
        persona.id
        for submission in (*open_submissions, *account.sending)
        for persona in free
        if _fits(persona, submission, SKEW)
    )
    return [_decide(each, free, wanted, account, now) for each in open_submissions]


def _decide(
    submission: Uncertain,
    free: list[Persona],
    wanted: Counter[str],
    account: Account,
    now: datetime,
) -> Verdict:
    fitting = [persona for persona in free if _fits(persona, submission, SKEW)]
    if len(fitting) == 1 and wanted[fitting[0].id] == 1:
        return Verdict(submission.submission_id, "accepted", persona=fitting[0])
    candidates = tuple(persona for persona in free if _fits(persona, submission, STRAY))
    if fitting:
        reason = "Several avatars fit, or several submissions fit one; choose which it is."
    elif candidates:
        reason = "Only avatars of another time are like it; choose whether it is one of them."
    elif now - submission.broke_at < SETTLING:
        reason = "It does not show yet; the account is looked at again."
    elif _is_absent(account):
        reason = "The account does not have it; it is safe to send it again."
        return Verdict(submission.submission_id, "refused", reason=reason)
    else:
        reason = "The account does not show it, but may hide it; look there yourself."
    return Verdict(submission.submission_id, "uncertain", candidates=candidates, reason=reason)


def _fits(persona: Persona, submission: Uncertain, skew: timedelta) -> bool:
    # A gender or scene that the answer leaves out speaks neither for nor against.
    if (
        persona.creator_name != submission.creator_name
        or persona.gender not in (None, submission.gender)
        or (persona.video_scene or submission.video_scene)
        != (submission.video_scene or persona.video_scene)
    ):
        return False
    if persona.created_at is None:
        return True
    # The API may go on with what it has read long after the connection broke.
    latest = submission.broke_at + max(SETTLING, skew)
    return submission.sent_at - skew <= persona.created_at <= latest


def _is_absent(account: Account) -> bool:
    """Return True when what is not listed does not exist.

    That is so when the account counts just those that are known; or when the list shows one that
    is still pending, as the lost one may be, and the count does not speak against it. Whether
    those that ended badly count is not known.
    """
    known = {persona.id for persona in account.listed} | account.unlisted
    alive = known - {persona.id for persona in account.listed if persona.status in _BAD}
    if account.count is not None and account.count == len(alive):
        return True
    shows_pending = any(persona.status is ProcessStatus.PENDING for persona in account.listed)
    return shows_pending and (
        account.count is None or account.count < len(alive) or account.count == len(known)
    )


def read_account(client: Client, store: Store, ask_quota: Callable[[], Quota | None]) -> Account:
    """List the account, count it, and ask for each persona in flight that is not listed.

    Raises:
        APIError: The account cannot be listed.
    """
    # Counted before and after it is listed: only then are count and list of one moment.
    before = ask_quota()
    listed = tuple(client.list_personas(deadline_s=LISTING_S))
    # The last poll of what is not listed may be an hour old: it may be deleted by now.
    missing = store.in_flight() - {persona.id for persona in listed}
    unlisted = _existing(client, missing) if before is not None else None
    after = ask_quota()
    of_one_moment = after == before and unlisted is not None
    # Read last: a create that is on its way may have made what is listed.
    with store.transaction(reading=True):
        taken, sending = store.submitted_ids(), store.open_submissions("sending")
    return Account(
        listed=listed,
        taken=taken,
        sending=sending,
        unlisted=unlisted or frozenset(),
        count=after.current_count if after is not None and of_one_moment else None,
    )


def _existing(client: Client, ids: frozenset[str]) -> frozenset[str] | None:
    """Return the ids that the API knows now; None when it is unknown whether all of them count."""
    existing = set()
    for persona_id in sorted(ids):
        try:
            persona = client.get_persona(persona_id, deadline_s=FETCHING_S)
        except NotFound:
            continue
        except APIError:
            return None
        if persona.status in _BAD:
            return None
        existing.add(persona_id)
    return frozenset(existing)


def by_hand(client: Client, store: Store, submission_id: str, persona_id: str | None) -> Verdict:
    """Return the verdict of a person: it became ``persona_id``, or None: it never arrived.

    Raises:
        ConfigError: It is not uncertain, or another submission became this persona.
        APIError: The persona cannot be asked for.
    """
    uncertain = {each.submission_id: each for each in store.open_submissions()}
    if submission_id not in uncertain:
        raise ConfigError(f"No uncertain submission has the id {submission_id}.")
    if persona_id is None:
        return Verdict(submission_id, "refused", reason="A person said that it never came.")
    if persona_id in store.submitted_ids():
        raise ConfigError(f"Another submission became {persona_id} already; choose another.")
    candidates = {each.id: each for each in uncertain[submission_id].candidates}
    persona = candidates.get(persona_id)
    if persona is None:
        persona = client.get_persona(persona_id, deadline_s=FETCHING_S)
    return Verdict(submission_id, "accepted", persona=persona)


def apply(store: Store, verdict: Verdict, now: datetime) -> bool:
    """Write a verdict down; return False when it was settled otherwise meanwhile."""
    submission_id, persona = verdict.submission_id, verdict.persona
    if persona is not None:
        with store.transaction():
            if not store.may_become(submission_id, persona.id):
                return False
            recorded = store.accepted(submission_id, persona, now, source="list")
            plan_next(store, persona.id, recorded, now)
    elif verdict.state == "refused":
        store.refused(submission_id, now, verdict.reason)
    else:
        store.keep_uncertain(submission_id, verdict.reason, verdict.candidates)
    return True
