"""Merge the answers about a persona, so that nothing is lost that only one of them carries."""

from __future__ import annotations

from avatarkit.models import Persona, is_url

CREATE_ONLY = (
    "labels",
    "webhook_url",
    "lipsync_input",
    "lipsync_input_url",
    "consent_video",
    "matching_voice_non_null",
    "gdown_url",
)
"""Fields that the answer to a create carries, and "Get avatar by ID" does not."""

PREVIEW_IMAGES = ("preview_image_16_9", "preview_image_9_16", "preview_image_1_1")
PREVIEW_VIDEOS = (
    "preview_video_16_9",
    "landscape_preview_video",
    "preview_video_9_16",
    "portrait_preview_video",
    "preview_video_1_1",
    "squared_preview_video",
)
"""The fields with URLs of previews, the best one first."""

PREVIEWS = PREVIEW_IMAGES + PREVIEW_VIDEOS

_STATE = ("process_status", "is_active", "failed_reason")


def union(older: Persona, newer: Persona) -> Persona:
    """Return all fields of two answers about a persona.

    The newer value wins, also where it is null, and a field that the newer answer leaves out keeps
    its older value. There are two exceptions: a null or empty value does not replace a URL, a
    preview or another field of the create; and the status, with what belongs to it, is the newer
    answer's alone where the older one has another.

    Args:
        older: An answer, or the union of several.
        newer: A newer answer.

    Returns:
        The union; its ``status_text`` is that of ``newer``.
    """
    kept, answer = older.answer(), newer.answer()
    if not newer.process_status or newer.status_text != older.status_text:
        kept = {name: value for name, value in kept.items() if name not in _STATE}
    for name in CREATE_ONLY + PREVIEWS:
        if name in answer and not answer[name] and kept.get(name):
            del answer[name]
    return Persona.model_validate(kept | answer)


def previews(persona: Persona) -> dict[str, str | None]:
    """Return the URLs of the best preview image and video, by column; None where there is none."""

    def first_url(fields: tuple[str, ...]) -> str | None:
        values = (getattr(persona, field) for field in fields)
        return next((value for value in values if is_url(value)), None)

    return {"preview_image": first_url(PREVIEW_IMAGES), "preview_video": first_url(PREVIEW_VIDEOS)}
