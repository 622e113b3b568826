"""The avatars that every account may use beside its own."""

from __future__ import annotations

from datetime import UTC, datetime

from avatarkit.models import Gender, ProcessStatus
from avatarkit.sandbox.personas.lifecycle import Script
from avatarkit.sandbox.personas.records import Record


def _stock(number: int, creator_name: str, gender: Gender, video_scene: str) -> Record:
    return Record(
        gender=gender.value,
        creator_name=creator_name,
        video_scene=video_scene,
        keywords=None,
        labels=(),
        webhook_url=None,
        videos={},
        id=f"00000000-0000-4000-8000-{number:012}",
        number=0,
        created_at=datetime(2025, 1, 9, tzinfo=UTC),
        script=Script((), ProcessStatus.DONE.value, None),
    )


STOCK = {
    record.id: record
    for record in (
        _stock(1, "Anna", Gender.F, "office"),
        _stock(2, "Ben", Gender.M, "street"),
        _stock(3, "Chris", Gender.NB, "studio"),
    )
}
"""Three of them by id, invented; they are listed by ``GET /api/personas/`` and never counted."""
