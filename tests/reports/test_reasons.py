"""What is said to do about an avatar that failed or was rejected."""

from __future__ import annotations

import pytest

from avatarkit.models import ProcessStatus
from avatarkit.reports.reasons import next_step
from avatarkit.sandbox.personas import lifecycle


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("The consent video does not match the person in the footage.", "who is in the footage"),
        ("The consent statement is incomplete.", "the whole statement"),
        ("No footage was given.", "with its footage"),
        ("The footage does not meet the content guidelines.", "content guidelines"),
        ("No clear voice was found in the video.", "close to the microphone"),
        ("The video has no sound; record it again with the microphone on.", "speaking all the"),
        ("Several people are in the picture.", "one person alone"),
        ("The face is not visible in every part of the video.", "from the front"),
        ("FACE OUT OF FRAME", "from the front"),
        ("The person could not be separated from the background.", "even background"),
        ("The picture has hard cuts; film it in one go.", "without cuts"),
        ("Screen recordings are not accepted", "with a camera"),
        ("The resolution is low; film in 720p or more, and do not enlarge it.", "720p"),
        ("Video is too short", "15 seconds to 5 minutes"),
        ("The file is cut off; download or export it again.", "as MP4"),
        ("Unsupported codec", "as MP4"),
        ("File too large", "smaller file"),
        ("The video URL could not be fetched (403)", "address from which anyone"),
        ("Creator name already exists", "another creator name"),
        ("The video could not be processed.", "as it is, once"),
    ],
)
def test_a_known_reason_has_a_next_step(reason: str, words: str) -> None:
    """Each reason leads to the step that helps against it, whichever way it ended."""
    for status in ("failed", "rejected"):
        step = next_step(status, reason)
        assert words in step
        assert step.endswith(".")


@pytest.mark.parametrize("reason", [None, "", "  ", "E1734", "理由"])
def test_an_unknown_reason_has_a_step_too(reason: str | None) -> None:
    """Without a reason, or with one that is not known, there is still something to do."""
    assert "submit it again once" in next_step("failed", reason)
    assert "A reviewer turned it down" in next_step("rejected", reason)


@pytest.mark.parametrize("status", [*ProcessStatus, "quality_check", "unknown", ""])
def test_only_a_bad_end_asks_for_something(status: str) -> None:
    """What goes on or is done needs no step, with any reason."""
    is_bad = status in ("failed", "rejected")
    assert bool(next_step(status, "No clear voice was found.")) is is_bad


def test_every_reason_of_the_sandbox_is_known() -> None:
    """In the sandbox it is said what each of its reasons asks for."""
    reasons = [reason for _, _, reason in lifecycle.FAILURES]
    reasons += [*lifecycle.REJECTIONS, lifecycle.NO_FOOTAGE]
    unknown = {next_step(status, None) for status in ("failed", "rejected")}
    assert not unknown & {next_step("failed", reason) for reason in reasons}
