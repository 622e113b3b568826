"""What became of creates whose answer was lost: pure decisions from what the account shows.

Only presence proves. A persona that fits proves that the create happened; that none is there
proves nothing until a settling time has passed, and then only if the list shows a persona that is
still pending, as the lost one may be, or if the account counts no more than those that are known.
Where anything speaks against it, a person decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from avatarkit.models import Persona, ProcessStatus
from avatarkit.store.submissions import Uncertain

SETTLING = timedelta(hours=1)
"""How long the API may take to show a persona that it has accepted."""
SKEW = timedelta(minutes=10)
"""How far the API's clock may be off this one, for a persona to be taken for the one sent."""
STRAY = timedelta(days=1)
"""How far off a persona may be, for a person to be asked whether it is the one sent."""


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

    ``listed`` are its personas, ``taken`` the ids that other submissions ended with, ``sending``
    the creates that are on their way, ``running`` the ids that are not listed and were found, by
    a look at each just now, to be there all the same. ``count`` is the quota's current_count, None
    when it is not known or not of that moment.
    """

    listed: tuple[Persona, ...]
    taken: frozenset[str]
    sending: tuple[Uncertain, ...]
    running: frozenset[str]
    count: int | None


def decide(open_submissions: Iterable[Uncertain], account: Account, now: datetime) -> list[Verdict]:
    """A verdict for each uncertain submission, in their order."""
    open_submissions = list(open_submissions)
    free = [persona for persona in account.listed if persona.id not in account.taken]
    # A create that is on its way may be what made a persona, as much as one that broke.
    wanted = Counter(
        persona.id
        for one in (*open_submissions, *account.sending)
        for persona in free
        if _fits(persona, one, SKEW)
    )
    return [_decide(one, free, wanted, account, now) for one in open_submissions]


def _decide(
    one: Uncertain, free: list[Persona], wanted: Counter[str], account: Account, now: datetime
) -> Verdict:
    fitting = [persona for persona in free if _fits(persona, one, SKEW)]
    if len(fitting) == 1 and wanted[fitting[0].id] == 1:
        return Verdict(one.submission_id, "accepted", persona=fitting[0])
    candidates = tuple(persona for persona in free if _fits(persona, one, STRAY))
    if fitting:
        reason = "Several avatars fit, or several submissions fit one; choose which it is."
    elif candidates:
        reason = "Only avatars of another time are like it; choose whether it is one of them."
    elif now - one.broke_at < SETTLING:
        reason = "It does not show yet; the account is looked at again."
    elif _is_absent(account):
        reason = "The account does not have it; it is safe to send it again."
        return Verdict(one.submission_id, "refused", reason=reason)
    else:
        reason = "The account does not show it, but may hide it; look there yourself."
    return Verdict(one.submission_id, "uncertain", candidates=candidates, reason=reason)


def _fits(persona: Persona, one: Uncertain, skew: timedelta) -> bool:
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
    return one.sent_at - skew <= persona.created_at <= one.broke_at + max(SETTLING, skew)


def _is_absent(account: Account) -> bool:
    """What is not listed is not there.

    So it is when the account counts just those that are known, in flight or not; or when the list
    shows one that is still pending, as the lost one may be, and the count does not speak against
    it. Whether those that ended badly count is not known.
    """
    bad = (ProcessStatus.FAILED, ProcessStatus.REJECTED)
    known = {persona.id for persona in account.listed} | account.running
    alive = known - {persona.id for persona in account.listed if persona.status in bad}
    if account.count is not None and account.count == len(alive):
        return True
    shows_pending = any(persona.status is ProcessStatus.PENDING for persona in account.listed)
    return shows_pending and (
        account.count is None or account.count < len(alive) or account.count == len(known)
    )
