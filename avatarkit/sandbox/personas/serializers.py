"""A persona as the API writes it. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta, timezone
from typing import Any

from avatarkit.models import VIDEO_FIELDS, ProcessStatus
from avatarkit.sandbox.behaviour import Behaviour
from avatarkit.sandbox.personas.lifecycle import Moment
from avatarkit.sandbox.personas.previews import STILLS
from avatarkit.sandbox.personas.records import Record

MEDIA = "/media"


def created(record: Record, stand: Moment, url: str, behaviour: Behaviour) -> dict[str, Any]:
    """The answer to a create of a persona that stands at ``stand``.

    Source: the contract's response; ``gdown_url`` sometimes comes too.
    """
    videos = {name: _video_url(record, name, url) for name in VIDEO_FIELDS}
    answer: dict[str, Any] = {
        "id": record.id,
        "gender": record.gender,
        "creator_name": record.creator_name,
        "lipsync_input_url": videos["lipsync_input"] or "",
        "matching_voice_non_null": "",
        "process_status": stand.status,
        "failed_reason": stand.reason,
        "created_at": _timestamp(record.created_at, behaviour),
        "updated_at": _timestamp(stand.since, behaviour),
        "video_scene": record.video_scene,
        "keywords": record.keywords,
        **videos,
        "labels": list(record.labels),
        "webhook_url": record.webhook_url,
    }
    if behaviour.create_carries_gdown_url:
        answer["gdown_url"] = videos["lipsync_input"]
    return answer


def shown(
    record: Record, stand: Moment, stills: Collection[str], url: str, behaviour: Behaviour
) -> dict[str, Any]:
    """The answer to GET by id, and an item of a list.

    Source: the vendor's page of "Get avatar by ID". Preview images come when it is done.
    """
    is_done = stand.status == ProcessStatus.DONE
    answer: dict[str, Any] = {
        "id": record.id,
        "created_at": _timestamp(record.created_at, behaviour),
        "updated_at": _timestamp(stand.since, behaviour),
        "gender": record.gender,
        "creator_name": record.creator_name,
        "suitable_industries": None,
        **{
            name: f"{url}{MEDIA}/{record.id}/{name}.jpg" if is_done and name in stills else None
            for name in STILLS
        },
        "preview_video_16_9": None,
        "preview_video_1_1": None,
        "preview_video_9_16": None,
        "landscape_preview_video": None,
        "squared_preview_video": None,
        "portrait_preview_video": None,
        "is_active": is_done and behaviour.active_when_done,
        "process_status": stand.status,
        "failed_reason": stand.reason,
        "type": None,
        "age_range": "adult" if is_done else None,
        "location": "indoor" if is_done else None,
        "style": "presenter" if is_done else None,
        "video_scene": record.video_scene,
        "keywords": record.keywords,
    }
    if not behaviour.get_carries_process_status:
        del answer["process_status"]
    return answer


def _video_url(record: Record, name: str, url: str) -> str | None:
    video = record.videos.get(name)
    if video is None or "://" in video:
        return video
    return f"{url}{MEDIA}/{record.id}/{video}"


def _timestamp(value: datetime, behaviour: Behaviour) -> str:
    # Seen: 2025-01-09T12:26:10.074640-08:00
    zone = timezone(timedelta(hours=behaviour.utc_offset_h))
    return value.astimezone(zone).isoformat(timespec="microseconds")
