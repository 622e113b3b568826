"""Judge the sound: whether there is any, how loud it is, and whether it is clipped."""

from __future__ import annotations

from collections.abc import Sequence

from avatarkit.preflight.findings import Check, Finding, Severity, Source
from avatarkit.preflight.footage import SILENT_LUFS, Footage, Levels, SoundTrack

QUIET_LUFS = -35.0
CLIPPED_SHARE = 0.001
SHORTEST_S = 0.4
"""Loudness is measured in blocks of this length."""
COVERED_SHARE = 0.5
LOSS_DB = 15.0
"""Unrelated channels, and a voice in one of two, lose 3 dB; a voice and its inverse all of it."""
DAMAGED_SHARE = 0.01
_RARE = ("apac", "mha1", "mhm1", "ac-4")
"""Codecs of spatial sound, by their names in the file."""
_LOWEST_LUFS = -70
"""Where the scale of libav's filter ends."""
_LOUDNESS = Check("loudness", "The sound is loud enough.", f"at least {QUIET_LUFS:.0f} LUFS")
_CLIPPING = Check("clipping", "The sound is not clipped.", f"under {CLIPPED_SHARE:.1%} of samples")


def judge(footage: Footage, *, is_readable: bool, needed: bool) -> list[Finding]:
    """Return the findings ``audio``, ``loudness`` and ``clipping``.

    Args:
        footage: What was decoded.
        is_readable: False for a file of which only the lack of a sound track is reported.
        needed: Make missing, damaged or silent sound fatal; otherwise it is a warning.
    """
    worst = Severity.FATAL if needed else Severity.WARNING
    source = Source.CONTRACT if needed else Source.OTHER_VENDORS
    track = next((track for track in footage.tracks if track.packets), SoundTrack())
    levels, limit = track.levels, "a sound track"
    if not footage.tracks:
        message, value = "The video has no sound; record it again with the microphone on.", "none"
    elif not is_readable:
        return []
    elif track.damaged > max(1, DAMAGED_SHARE * track.packets):
        message = "The sound is damaged; export the video again."
        value = f"{track.damaged:,} damaged of {track.packets:,} packets"
        limit = f"at most {DAMAGED_SHARE:.0%} damaged"
    elif levels is None:
        message = "The sound cannot be decoded; export the video again with AAC sound."
        value = "not readable"
    elif track.tag in _RARE:
        message = "Few programs can play the sound; export the video again with AAC sound."
        value, limit, worst = track.tag, "AAC", Severity.WARNING
    elif levels.seconds < SHORTEST_S:
        message = "The sound is too short; record it again over the whole video."
        value, limit = f"{levels.seconds:.1f} s", f"at least {SHORTEST_S} s"
    else:
        seconds = track.heard_s if track.is_stopped else footage.duration_s
        presence = _presence(levels, seconds, source)
        loudness = _loudness(footage.tracks, worst, source)
        return [presence, loudness, _clipping(levels.clipped_share)]
    return [Finding("audio", worst, message, value, limit, source)]


def _presence(levels: Levels, seconds: float, source: Source) -> Finding:
    is_silent = levels.loudness_lufs < SILENT_LUFS  # reported as loudness
    if not is_silent and levels.mono_loss_db > LOSS_DB:
        message = "The two channels cancel out in mono; record in mono or invert one of them."
        value, limit = f"{levels.mono_loss_db:.0f} dB lost in mono", f"at most {LOSS_DB:.0f} dB"
    elif is_silent or levels.loud_s >= COVERED_SHARE * seconds:
        return Finding("audio", Severity.FINE, "The video has sound.", "present", "present", source)
    else:
        message = "There is sound in a part of the video only; speak all the time."
        value, limit = f"{levels.loud_s:.1f} of {seconds:.1f} s", f"at least {COVERED_SHARE:.0%}"
    return Finding("audio", Severity.WARNING, message, value, limit, Source.OWN)


def _loudness(tracks: Sequence[SoundTrack], worst: Severity, source: Source) -> Finding:
    levels = {number: track.levels for number, track in enumerate(tracks, 1)}
    loudness = {number: level.loudness_lufs for number, level in levels.items() if level}
    number, lufs = next(iter(loudness.items()))
    value = f"{lufs:.1f} LUFS" if lufs > _LOWEST_LUFS else f"below {_LOWEST_LUFS} LUFS"
    if lufs < SILENT_LUFS:
        message = "The sound is silent; check the microphone and record it again."
        limit = f"at least {SILENT_LUFS:.0f} LUFS"
        other = next((other for other in loudness if loudness[other] >= SILENT_LUFS), None)
        if other is not None:
            value = f"{value} in track {number}, {loudness[other]:.1f} LUFS in {other}"
            message = f"Sound track {number} is silent, {other} has a voice; export {other} alone."
        return Finding("loudness", worst, message, value, limit, source)
    problem = "The voice is very quiet; record it closer to the microphone."
    return _LOUDNESS.judge(value, problem if lufs < QUIET_LUFS else None)


def _clipping(share: float) -> Finding:
    problem = "The sound is clipped; lower the recording level and record it again."
    value = f"{share:.2%} of samples"
    return _CLIPPING.judge(value, problem if share >= CLIPPED_SHARE else None)
