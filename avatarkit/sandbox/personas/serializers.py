"""Serialize personas as the API does. Pure functions."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta, timezone
from typing import Any

from avatarkit.models import VIDEO_FIELDS, ProcessStatus
from avatarkit.sandbox.behaviour import Behaviour
from avatarkit.sandbox.personas.lifecycle import State
from avatarkit.sandbox.personas.previews import PREVIEW_SIZES
from avatarkit.sandbox.personas.records import Record
from avatarkit.sandbox.personas.stock import STOCK

MEDIA = "/media"
"""The path below which videos and previews are served."""


def serialize_created(
    record: Record, state: State, url: str, behaviour: Behaviour
) -> dict[str, Any]:
    """Return the answer to a create.

    Source:
        The contract's response; the vendor's pages sometimes show ``gdown_url`` too.
    """
    gdown_url = record.gdown_url
    videos = {name: _video_url(record, name, url) for name in VIDEO_FIELDS}
    answer: dict[str, Any] = {
        **_common_fields(record, state, behaviour),
        "lipsync_input_url": videos["lipsync_input"] or gdown_url or "",
        "matching_voice_non_null": "",
        **videos,
        "labels": list(record.labels),
        "webhook_url": record.webhook_url,
    }
    if gdown_url is not None or behaviour.create_carries_gdown_url:
        answer["gdown_url"] = gdown_url
    return answer


def serialize(
    record: Record, state: State, previews: Collection[str], url: str, behaviour: Behaviour
) -> dict[str, Any]:
    """Return the answer to GET by id, which is also an item of a list.

    Preview images, age range, location and style are null until the persona is done.

    Source:
        The vendor's page of "Get avatar by ID".
    """
    is_done = state.status == ProcessStatus.DONE
    answer: dict[str, Any] = {
        **_common_fields(record, state, behaviour),
        "suitable_industries": None,
        **{
            name: f"{url}{MEDIA}/{record.id}/{name}.jpg" if is_done and name in previews else None
            for name in PREVIEW_SIZES
        },
        "preview_video_16_9": None,
        "preview_video_1_1": None,
        "preview_video_9_16": None,
        "landscape_preview_video": None,
        "squared_preview_video": None,
        "portrait_preview_video": None,
        "is_active": is_done and behaviour.active_when_done,
        "type": "stock" if record.id in STOCK else "custom",
        "age_range": "adult" if is_done else None,
        "location": "indoor" if is_done else None,
        "style": "presenter" if is_done else None,
    }
    if not behaviour.get_carries_process_status:
        del answer["process_status"]
    return answer


def _common_fields(record: Record, state: State, behaviour: Behaviour) -> dict[str, Any]:
    return {
        "id": record.id,
        "created_at": _timestamp(record.created_at, behaviour),
        "updated_at": _timestamp(state.since, behaviour),
        "gender": record.gender,
        "creator_name": record.creator_name,
        "process_status": state.status,
        "failed_reason": state.reason,
        "video_scene": record.video_scene,
        "keywords": record.keywords,
    }


def _video_url(record: Record, name: str, url: str) -> str | None:
    video = record.videos.get(name)
    if video is None or "://" in video:
        return video
    return f"{url}{MEDIA}/{record.id}/{video}"


def _timestamp(value: datetime, behaviour: Behaviour) -> str:
    # Seen: 2025-01-09T12:26:10.074640-08:00
    zone = timezone(timedelta(hours=behaviour.utc_offset_h))
    return value.astimezone(zone).isoformat(timespec="microseconds")
