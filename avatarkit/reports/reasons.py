"""Say what to do about an avatar that failed or was rejected, by the reason that the API gives."""

from __future__ import annotations

import re

_AGAIN = "then submit it again"

_STEPS = (
    (
        r"consent.*\b(match|same|differ|another|other)|match.*consent",
        f"Record the consent video with the person who is in the footage, {_AGAIN}.",
    ),
    (
        r"consent",
        "Record the consent video again: the person of the footage says the whole statement, "
        f"audibly and facing the camera; {_AGAIN}.",
    ),
    (
        r"\b(no|without|missing)\s+(\w+\s+)?(footage|video|file)\b"
        r"|\b(footage|video|file) (was not given|is missing)\b(?! \w)",
        "Submit it again with its footage.",
    ),
    (
        r"guideline|policy|policies|nsfw|inappropriate|prohibited|violat|celebrit|copyright",
        "Read the vendor's content guidelines, and submit it again with footage that meets them.",
    ),
    (
        r"quota|plan\b|limit of (custom )?avatars",
        "Delete an avatar that is not needed or extend the plan, " + _AGAIN + ".",
    ),
    (
        r"\b(url|link|fetch\w*|drive)\b|(not|failed to) (be )?download",
        "Give an address from which anyone can download the video itself, or send the file, "
        "and submit it again.",
    ),
    (
        r"(several|multiple|more than one|two|second|other)\b.{0,12}\b(person|people|face|speaker)",
        f"Film one person alone, {_AGAIN}.",
    ),
    (
        r"screen",
        f"Film the person with a camera instead of recording a screen, {_AGAIN}.",
    ),
    (
        r"voice|sound|audio|silent|silence|microphone|speech|speak",
        "Record it again with the person speaking all the time, close to the microphone and in a "
        f"quiet room; {_AGAIN}.",
    ),
    (
        r"background|separat|matte|matting|crop",
        "Film in front of an even background whose colour differs from hair and clothes, with the "
        f"whole head in the picture; {_AGAIN}.",
    ),
    (
        r"\b(face|head|lips|mouth|frontal|person is not|no person)\b",
        "Film it so that the whole face is seen from the front all the time, with nothing in "
        f"front of it; {_AGAIN}.",
    ),
    (
        r"\b(cuts?|edited|scene changes?|transitions?|one go)\b(?! off)",
        f"Film it in one go, without cuts, {_AGAIN}.",
    ),
    (
        r"resolution|720|blur|sharp|dark|bright|light|quality|frame rate|fps",
        f"Film it sharp and well lit, in 720p or more at 25 or 30 frames a second, {_AGAIN}.",
    ),
    (
        r"\b(long|longer|short|shorter|duration|length|seconds|minutes)\b",
        f"Film 15 seconds to 5 minutes, {_AGAIN}.",
    ),
    (
        r"\b(mp4|mov|format|codec|corrupt\w*|damaged|decod\w*|cut off|unreadable|cannot be read"
        r"|invalid (file|video))\b",
        f"Export the video again as MP4 with H.264 and AAC, {_AGAIN}.",
    ),
    (
        r"too (large|big)|file size",
        f"Export a smaller file, such as 1080p, {_AGAIN}.",
    ),
    (
        r"already exists|duplicate|unique",
        "Submit it again under another creator name.",
    ),
    (
        r"process|internal|server|time.?out|timed out|unexpected|unknown error|try again",
        "It may not be due to the video: submit it again as it is, once, and ask the vendor if it "
        "fails again.",
    ),
)
"""What a reason is about, by words in it, and the next step; the first that fits counts."""

_FAILED = "Look at the checks of the video; if they are fine, submit it again once."
_REJECTED = (
    "A reviewer turned it down: look at the checks of the video and of the consent, and ask the "
    "vendor for the reason before you submit it again."
)


def next_step(status: str, failed_reason: str | None) -> str:
    """Return what to do about an avatar in a status, as one sentence.

    Args:
        status: The status, as it came.
        failed_reason: The reason that the API gave; None or blank without one.

    Returns:
        The sentence; empty unless the status is ``failed`` or ``rejected``.

    Source:
        What vendors of such avatars reject footage for (no sound, several people, a face out of
        the frame, cuts, recorded screens, under 720p, consent by another person), and the
        contract's two videos. The API's own reasons are not documented.
    """
    if status not in ("failed", "rejected"):
        return ""
    reason = (failed_reason or "").lower()
    for words, step in _STEPS:
        if re.search(words, reason):
            return step
    return _FAILED if status == "failed" else _REJECTED
