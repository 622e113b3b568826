"""Tell in a few words what has ended while a page is open."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import streamlit as st

from avatarkit.models import TERMINAL
from avatarkit.store.live import StateKey
from avatarkit.store.store import Store
from avatarkit.text import plain, stage_name

MOST = 3
"""If more have ended at once, one toast counts them."""

_ICONS = {
    "done": ":material/check_circle:",
    "failed": ":material/error:",
    "rejected": ":material/block:",
}


@dataclass(frozen=True)
class _Seen:
    """What this tab has shown, or has found when it was opened."""

    account: str | None
    state: StateKey
    deleted_ids: frozenset[str]


@dataclass(frozen=True)
class _End:
    status: str
    sentence: str


def show(store: Store, state: StateKey) -> None:
    """Show a toast for each avatar that has ended since this tab was drawn last.

    Args:
        store: The log.
        state: Its state as this run draws it.
    """
    seen: _Seen | None = st.session_state.get("toasts_seen")
    is_other = seen is None or seen.account != store.account
    if seen is not None and seen.state == state and not is_other:
        return
    deleted = store.deleted_by_api()
    ends = [] if seen is None or is_other else _ends(store, seen, deleted)
    st.session_state["toasts_seen"] = _Seen(store.account, state, frozenset(deleted))
    if len(ends) > MOST:
        counts = Counter(end.status for end in ends)
        parts = ", ".join(f"{count:,} {status}" for status, count in counts.most_common())
        st.toast(f"{len(ends):,} avatars have ended: {plain(parts)}.", icon=":material/flag:")
        return
    for end in ends:
        st.toast(end.sentence, icon=_ICONS.get(end.status, ":material/delete:"))


def _ends(store: Store, seen: _Seen, deleted: dict[str, str | None]) -> list[_End]:
    changes = store.changes_after(seen.state.last_run_id)
    last = {change.persona_id: change for change in changes}
    ends = []
    for change in last.values():
        # What is new in the log and has ended long ago is no news.
        if change.before is not None and change.after in TERMINAL:
            name, reason = plain(change.creator_name or change.persona_id), change.failed_reason
            because = f": {plain(reason)}" if reason and reason.strip() else "."
            ends.append(_End(change.after, f"{name}: {stage_name(change.after).lower()}{because}"))
    for persona_id, creator_name in deleted.items():
        if persona_id not in seen.deleted_ids:
            name = plain(creator_name or persona_id)
            ends.append(_End("deleted", f"The API has deleted {name}."))
    return ends
