"""Compare the footage that was sent with what the API says of it."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from avatarkit.models import Persona, is_url

_ADVICE = "look at it in your account, and if it has none, delete it and submit it again"


def judge(submission: sa.Row[Any], persona: Persona, source: str) -> tuple[bool | None, str | None]:
    """Return whether the footage of a new persona may be missing, and in a sentence why.

    Args:
        submission: The row of the submission that made it.
        persona: The answer to the create, or the persona as it was listed.
        source: ``create`` or ``list``.

    Returns:
        True and why; False and None if the answer to the create names the footage; None twice if
        none was sent, or nothing is known, as neither lists nor "Get avatar by ID" name it.
    """
    request = json.loads(submission.request)
    footage = request.get("lipsync_input") or request.get("gdown_url")
    if footage is None:
        return None, None
    answer = persona.model_dump()
    if any(answer[name] for name in ("lipsync_input", "lipsync_input_url", "gdown_url")):
        return False, None
    if source == "create":
        return True, f"The answer to the create names no footage; {_ADVICE}."
    if submission.upload_broke is None or is_url(footage):
        return None, None
    return True, f"Its footage may be missing, as {submission.upload_broke}; {_ADVICE}."
