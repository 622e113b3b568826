"""Delete a persona at the API."""

from __future__ import annotations

from functools import partial

from avatarkit.errors import ConfigError, NotFound, StoreError
from avatarkit.store.store import Store
from avatarkit.tracking.poll import Poller, is_missing


def delete(poller: Poller, persona_id: str) -> bool:
    """Delete a persona at the API, and log that; see ``Tracker.delete``."""
    store, api = poller.store, poller.api
    if store.persona(persona_id) is None:
        raise ConfigError(
            f"The log has no avatar {persona_id}, and nothing was deleted; check the id with "
            "'status' alone."
        )
    was_found = True
    try:
        # A person's own call, which a pause of the account does not hold up.
        asking = api.ask(by_person=True)
        api.call(asking, partial(api.client.delete_persona, persona_id))
    except NotFound as error:
        if not is_missing(error):  # by something in between
            raise
        was_found = False
    try:
        store.mark_deleted(persona_id, poller.clock.now())
    except StoreError as error:
        raise StoreError(
            f"The API has deleted {persona_id}, but that could not be logged; delete it again, "
            f"which is safe. {error}"
        ) from None
    return was_found


def require_not_deleted(store: Store, persona_id: str) -> None:
    """Check that a persona was not deleted from here.

    Raises:
        ConfigError: It was.
    """
    if persona_id in store.deleted_ids():
        raise ConfigError(f"{persona_id} was deleted here, and is not polled; its history is kept.")
