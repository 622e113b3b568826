"""The sound is measured, whatever its format, and judged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from avatarkit import preflight
from avatarkit.preflight import Severity, loudness
from avatarkit.sandbox import footage
from support import videos
from support.footage_cases import CheckedCase, checks_of, finding_of


def test_damaged_sound_does_not_end_the_decoding_of_the_picture(
    calibration: Callable[[str], CheckedCase],
) -> None:
    """All frames are decoded, and the advice is about the sound."""
    report = calibration("noise for sound").report
    assert finding_of(report, "reading").value == "144 frames, h264"
    assert report.reason == "The sound is damaged; export the video again."


def test_a_moment_of_sound_is_too_short(tmp_path: Path) -> None:
    """It is not called silent, which is what a meter of blocks of 0.4 s says of it."""
    path = tmp_path / "a.mp4"
    footage.write(path, videos.faces(2), fps=videos.FPS, sound=footage.voice(0.3))
    report = preflight.check(path)
    assert report.reason == "The sound is too short; record it again over the whole video."
    assert "loudness" not in checks_of(report.findings)


def test_channels_that_cancel_are_told(calibration: Callable[[str], CheckedCase]) -> None:
    """In mono, as speech is recognised, such a voice is silence; a voice on one side is not."""
    cancelled = finding_of(calibration("channels cancel").report, "audio")
    assert cancelled.message.startswith("The two channels cancel out in mono")
    assert finding_of(calibration("voice on the left").report, "audio").severity is Severity.FINE


def test_a_silent_track_is_told_from_the_one_with_the_voice(
    calibration: Callable[[str], CheckedCase],
) -> None:
    """Players and servers take the first track, and a recorder may write the voice to another."""
    report = calibration("silent first track").report
    assert report.reason == ("Sound track 1 is silent, 2 has a voice; export 2 alone.")
    assert finding_of(report, "loudness").value.startswith("below -70 LUFS in track 1, -2")


def test_what_cannot_be_read_says_nothing_about_its_sound(
    calibration: Callable[[str], CheckedCase],
) -> None:
    """One reason is enough."""
    assert calibration("zeroed").report.reason == (
        "No picture of the video can be decoded; export it again as H.264."
    )


def test_sound_of_many_channels_is_measured() -> None:
    """Eight planes of samples are what PyAV itself cannot read without going beyond them."""
    voice = np.repeat(footage.voice(2)[:, None], 8, axis=1).reshape(1, -1)
    packed = av.AudioFrame.from_ndarray(voice, format="flt", layout="7.1")
    packed.sample_rate = footage.SAMPLE_RATE
    meter = loudness.Meter()
    for frame in av.AudioResampler(format="fltp").resample(packed):
        meter.add(frame)
    levels = meter.levels()
    assert levels is not None
    assert levels.loudness_lufs == pytest.approx(-20, abs=4)
    assert levels.seconds == pytest.approx(2, abs=0.01)


def test_a_sound_that_changes_its_format_keeps_what_was_measured() -> None:
    """A change in the middle is an error of the file, which the reader counts."""
    meter = loudness.Meter()
    assert meter.levels() is None
    frame = av.AudioFrame.from_ndarray(footage.voice(1)[None, :], "fltp", "mono")
    frame.sample_rate = footage.SAMPLE_RATE
    meter.add(frame)
    other = av.AudioFrame.from_ndarray(np.zeros((1, 2000), np.int16), "s16", "stereo")
    other.sample_rate = 8000
    with pytest.raises((av.error.FFmpegError, ValueError)):
        meter.add(other)
    levels = meter.levels()
    assert levels is not None
    assert levels.loudness_lufs == pytest.approx(-20, abs=1)
