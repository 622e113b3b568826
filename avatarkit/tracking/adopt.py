"""Log and follow avatars of the account that were not submitted here."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from avatarkit.errors import ConfigError
from avatarkit.models import Persona
from avatarkit.tracking.delete import require_not_deleted
from avatarkit.tracking.listing import MOST_IN_BATCH, is_incomplete
from avatarkit.tracking.poll import DEADLINE_S, Poller
from avatarkit.tracking.reconcile import LISTING_S, fits
from avatarkit.tracking.throttling import Asking


def read_unknown(poller: Poller) -> tuple[list[Persona], frozenset[str], Asking]:
    """Read the account's list, and return what of it the log does not have.

    Those that a submission whose fate is open may have become are left out: ``reconcile`` finds
    out. If the list was read whole, the count of the unknown ones is stored.

    Returns:
        The personas in the API's order, all ids in the list, and the call.

    Raises:
        APIError: The account cannot be listed.
        StoreError: The log failed.
    """
    api, store = poller.api, poller.store
    skipped: list[object] = []
    asking = api.ask(by_person=True)
    listed = api.list_personas(deadline_s=LISTING_S, on_skipped=skipped.append, asking=asking)
    # Read after the list: a create that ended meanwhile is known by now.
    with store.transaction(reading=True):
        known = store.known_ids()
        pending = store.open_submissions() + store.open_submissions("sending")
    unknown = [
        persona
        for persona in listed
        if persona.id not in known and not any(fits(persona, each) for each in pending)
    ]
    if not skipped:
        store.set_unknown_count(len(unknown))
    return unknown, frozenset(persona.id for persona in listed), asking


def log_listed(poller: Poller, personas: Sequence[Persona], asking: Asking) -> list[Persona]:
    """Log personas that the list shows, and plan their polls.

    Returns:
        Those that the log did not have.

    Raises:
        StoreError: The log failed.
    """
    adopted: list[Persona] = []
    store, at = poller.store, poller.clock.now()
    for first in range(0, len(personas), MOST_IN_BATCH):
        with store.transaction():
            store.lock_account()  # another process may adopt, too
            known = store.known_ids()
            new = [each for each in personas[first : first + MOST_IN_BATCH] if each.id not in known]
            for persona in new:
                poller.log_answer(persona, asking, at, source="list")
                if is_incomplete(persona):
                    store.plan(persona.id, at, at)
            logged = store.known_ids()  # none if a person was forgotten since the list was read
            new = [persona for persona in new if persona.id in logged]
            if new:
                store.set_unknown_count(max(store.unknown_count() - len(new), 0))
        adopted += new
    return adopted


def follow(poller: Poller, persona_id: str) -> Persona:
    """Follow one persona; request and log it first if the log does not have it.

    Raises:
        ConfigError: It was deleted here, or a person was forgotten meanwhile.
        APIError: The log does not have it, and it cannot be read.
        StoreError: The log failed.
    """
    store, clock = poller.store, poller.clock
    persona = store.persona(persona_id)
    if persona is None:
        asking = poller.api.ask(by_person=True)
        persona = poller.request(persona_id, asking, DEADLINE_S)
        with store.transaction():
            store.lock_account()
            poller.log_answer(persona, asking, clock.now())
            if store.persona(persona_id) is None:
                raise ConfigError(
                    "A person was forgotten meanwhile, and this avatar may be theirs; nothing was "
                    "logged. If it is not, do it again."
                )
            store.set_unknown_count(max(store.unknown_count() - 1, 0))
    else:
        require_not_deleted(store, persona_id)
        store.set_followed(persona_id, True, clock.now())
    return persona


def unfollow(poller: Poller, persona_id: str) -> Persona:
    """Poll a persona no longer; its history stays.

    Raises:
        ConfigError: The log has no such persona.
        StoreError: The log failed.
    """
    store = poller.store
    persona = store.persona(persona_id)
    if persona is None:
        raise ConfigError(f"The log has no avatar {persona_id}; check the id with 'status' alone.")
    store.set_followed(persona_id, False, poller.clock.now())
    return persona


def chosen(unknown: Sequence[Persona], ids: Collection[str] | None) -> list[Persona]:
    """Return the personas of these ids; all without ids."""
    return [persona for persona in unknown if ids is None or persona.id in ids]
