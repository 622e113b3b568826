"""Tell what has changed since the last visit."""

from __future__ import annotations


def changed_ids() -> set[str]:
    """Return the ids of the avatars that changed their status since the last visit."""
    return set()
