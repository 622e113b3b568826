"""The calibration set of the preflight: real video files, and the findings that each must get.

``CASES`` maps a name to what makes the file and to its findings; everything not named there must be
fine. Most are shorter than 15 s, to be quick, and get that warning as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from skimage import data

from avatarkit.preflight import Finding, Report
from avatarkit.sandbox import footage
from support import mp4_patches, scenes, sound_tracks, videos
from support.sound_tracks import SILENCE, VOICE


@dataclass(frozen=True)
class CheckedCase:
    """A file of the calibration set and its report."""

    case: Case
    path: Path
    report: Report


def checks_of(findings: Iterable[Finding]) -> set[str]:
    """Return the names of the checks."""
    return {finding.check for finding in findings}


def finding_of(report: Report, check: str) -> Finding:
    """Return the one finding of that check."""
    (finding,) = (finding for finding in report.findings if finding.check == check)
    return finding


@dataclass(frozen=True)
class Case:
    """What makes the file, and the findings that are not fine."""

    make: videos.Make
    fatal: frozenset[str] = frozenset()
    warning: frozenset[str] = frozenset()
    suffix: str = ".mp4"
    open: frozenset[str] = frozenset()
    """Findings that follow from the fault and may be there or not."""


def _names(text: str) -> frozenset[str]:
    return frozenset(filter(None, text.split(", ")))


def _case(
    make: videos.Make,
    *,
    fatal: str = "",
    warning: str = "duration",
    also: str = "",
    suffix: str = ".mp4",
) -> Case:
    return Case(make, _names(fatal), _names(warning), suffix, _names(also))


CASES: dict[str, Case] = {
    "good, portrait": _case(footage.talking_head, warning=""),
    "good": _case(
        lambda path: footage.talking_head(path, seconds=videos.LONG, height=videos.SIDE), warning=""
    ),
    "brief": _case(lambda path: path.write_bytes(videos.plain())),
    "QuickTime": _case(
        lambda path: videos.remux(videos.source_of(path), path, format="mov"), suffix=".mov"
    ),
    "rotated": _case(videos.turned),
    "4K": _case(videos.four_k),
    "soft": _case(videos.blurred(2)),
    "blurred": _case(videos.blurred(8), warning="duration, sharpness"),
    "dim": _case(videos.lit(0.5)),
    "dark": _case(videos.lit(0.1), warning="duration, brightness", also="faces, face size"),
    "no sound": _case(
        lambda path: footage.write(path, videos.faces(), fps=videos.FPS), fatal="audio"
    ),
    "silent": _case(videos.heard(0), fatal="loudness"),
    "soft voice": _case(videos.heard(0.3)),
    "quiet": _case(videos.heard(0.1), warning="duration, loudness"),
    "loud": _case(videos.heard(1.6)),
    "clipped": _case(videos.heard(8), warning="duration, clipping"),
    "two faces": _case(videos.side_by_side, fatal="faces"),
    "no face": _case(videos.still(data.coffee()), fatal="faces"),
    "far away": _case(videos.far_away, warning="duration, face size"),
    "leaves": _case(videos.leaves, warning="duration, faces, cuts"),
    "two cameras": _case(videos.two_cameras, warning="duration, cuts"),
    "jump": _case(videos.jump, warning="duration, cuts"),
    "low resolution": _case(
        lambda path: videos.film(path, videos.faces(width=480, height=480)),
        warning="duration, resolution",
    ),
    "slow frames": _case(
        lambda path: videos.film(
            path, footage.pictures(videos.BRIEF, videos.SIDE, videos.SIDE, 12), fps=12
        ),
        warning="duration, frame rate",
    ),
    "variable rate": _case(videos.uneven, warning="duration, frame rate"),
    "cut off": _case(videos.cut_off, fatal="reading"),
    "header last, cut off": _case(
        lambda path: videos.cut_off(path, {"movflags": "0"}), fatal="reading", warning=""
    ),
    "fragments, cut off": _case(
        lambda path: videos.cut_off(path, {"movflags": "frag_keyframe+empty_moov"}),
        fatal="reading",
        also="audio, faces",
    ),
    "zeroed": _case(videos.zeroed, fatal="reading"),
    "trimmed": _case(videos.trimmed),
    "mirrored": _case(lambda path: videos.flagged(path, -1, 0, 0, 1)),
    "one frame": _case(videos.one_frame, warning="duration, faces"),
    "noise for sound": _case(videos.noise_for_sound, fatal="audio"),
    "sound at first": _case(
        lambda path: footage.write(path, videos.faces(), fps=videos.FPS, sound=footage.voice(1)),
        warning="duration, audio",
    ),
    "scratched": _case(
        videos.scratched,
        fatal="reading",
        also="cuts, faces, frame rate, loudness, clipping, sharpness",
    ),
    "upside down": _case(scenes.turned_without_flag(2), fatal="faces"),
    "on its left side": _case(scenes.turned_without_flag(1), fatal="faces"),
    "on its right side": _case(scenes.turned_without_flag(3), fatal="faces"),
    "page": _case(scenes.still_page, fatal="faces"),
    "scrolled page": _case(scenes.scrolled_page, fatal="faces"),
    "poster of text": _case(scenes.before_a_poster),
    "lit from the right": _case(scenes.half_lit(0.25)),
    "lit from the left": _case(scenes.half_lit(0.25, from_left=True)),
    "black at first": _case(scenes.black_at_first),
    "flash": _case(scenes.flash),
    "empty last frame": _case(mp4_patches.empty_frames([143])),
    "one empty frame": _case(mp4_patches.empty_frames([70]), warning="duration, reading"),
    "empty frames": _case(mp4_patches.empty_frames([30, 60, 90]), warning="duration, reading"),
    "declared 30 times too short": _case(mp4_patches.declared_length(1 / 30)),
    "declared 100 times too long": _case(mp4_patches.declared_length(100)),
    "declared 3000 times too long": _case(mp4_patches.declared_length(3000)),
    "spatial sound": _case(mp4_patches.renamed(b"mp4a", b"apac"), warning="duration, audio"),
    "picture as Dolby Vision": _case(mp4_patches.renamed(b"avc1", b"dvav")),
    "channels cancel": _case(sound_tracks.with_tracks((VOICE, -VOICE)), warning="duration, audio"),
    "voice on the left": _case(sound_tracks.with_tracks((VOICE, SILENCE))),
    "silent first track": _case(
        sound_tracks.with_tracks((SILENCE, SILENCE), (VOICE,)), fatal="loudness"
    ),
    "silent second track": _case(sound_tracks.with_tracks((VOICE,), (SILENCE,))),
}
