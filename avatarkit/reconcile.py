"""What became of creates whose answer was lost: pure decisions from what the account shows.

Only presence proves. A persona that fits proves that the create happened; that none is there
proves nothing until a settling time has passed and the list is known to show personas that are
still in flight, or the account's count has not grown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from avatarkit.journal import Uncertain
from avatarkit.models import Persona

SETTLING = timedelta(hours=1)
"""How long the API may take to show a persona that it has accepted."""
SKEW = timedelta(minutes=10)
"""How far the API's clock may be off this one."""


@dataclass(frozen=True)
class Verdict:
    """What is known of one uncertain submission.

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

    ``listed`` are its personas, ``taken`` the ids that other submissions ended with, ``running``
    those that are known, from looks at each, to be in flight. ``count`` is the quota's
    current_count, None when it is not known or some may have been deleted; ``accepted_at`` are
    the moments at which creates were sent that were accepted.
    """

    listed: tuple[Persona, ...]
    taken: frozenset[str]
    running: frozenset[str]
    count: int | None
    accepted_at: tuple[datetime, ...]


def decide(open_submissions: Iterable[Uncertain], account: Account, now: datetime) -> list[Verdict]:
    """A verdict for each uncertain submission, in their order."""
    open_submissions = list(open_submissions)
    fitting = {
        one.submission_id: [
            persona
            for persona in account.listed
            if persona.id not in account.taken and _fits(persona, one)
        ]
        for one in open_submissions
    }
    wanted = Counter(persona.id for found in fitting.values() for persona in found)
    return [
        _decide(one, fitting[one.submission_id], wanted, account, now) for one in open_submissions
    ]


def _decide(
    one: Uncertain,
    fitting: list[Persona],
    wanted: Counter[str],
    account: Account,
    now: datetime,
) -> Verdict:
    if len(fitting) == 1 and wanted[fitting[0].id] == 1:
        return Verdict(one.submission_id, "accepted", persona=fitting[0])
    if fitting:
        reason = "Several avatars fit, or several submissions fit one; choose which it is."
        return Verdict(one.submission_id, "uncertain", candidates=tuple(fitting), reason=reason)
    if now - one.broke_at < SETTLING:
        reason = "It does not show yet; the account is looked at again."
        return Verdict(one.submission_id, "uncertain", reason=reason)
    if _shows_running(account) or _has_not_grown(one, account):
        reason = "The account does not have it; it is safe to send it again."
        return Verdict(one.submission_id, "refused", reason=reason)
    reason = "The account does not show it, but may hide avatars in progress; look there yourself."
    return Verdict(one.submission_id, "uncertain", reason=reason)


def _fits(persona: Persona, one: Uncertain) -> bool:
    same = persona.creator_name == one.creator_name and persona.gender in (None, one.gender)
    # A scene that the answer leaves out speaks neither for nor against.
    same = same and (persona.video_scene or one.video_scene) == (
        one.video_scene or persona.video_scene
    )
    if not same:
        return False
    if persona.created_at is None:
        return True
    # The API may have gone on with what it had read for long after the connection broke.
    return one.sent_at - SKEW <= persona.created_at <= one.broke_at + SETTLING


def _shows_running(account: Account) -> bool:
    """The list shows every persona that is known to be in flight, and there is one."""
    listed = {persona.id for persona in account.listed}
    return bool(account.running) and account.running <= listed


def _has_not_grown(one: Uncertain, account: Account) -> bool:
    if account.count is None or one.quota_before is None:
        return False
    since = sum(1 for at in account.accepted_at if at >= one.sent_at)
    return account.count - since <= one.quota_before
