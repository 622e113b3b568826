"""Judge the sound: whether there is any, how loud it is, and whether it is clipped."""

from __future__ import annotations

from avatarkit.preflight.findings import Check, Finding, Severity, Source
from avatarkit.preflight.footage import SILENT_LUFS, Footage, Levels

QUIET_LUFS = -35.0
CLIPPED_SHARE = 0.001
SHORTEST_S = 0.4
"""Loudness is measured in blocks of this length."""
COVERED_SHARE = 0.5
DAMAGED_SHARE = 0.01
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
    levels, limit = footage.levels, "a sound track"
    if not footage.has_audio:
        message, value = "The video has no sound; record it again with the microphone on.", "none"
    elif not is_readable:
        return []
    elif footage.sound_damaged > max(1, DAMAGED_SHARE * footage.sound_read):
        message = "The sound is damaged; export the video again."
        value = f"{footage.sound_damaged:,} damaged of {footage.sound_read:,} packets"
        limit = f"at most {DAMAGED_SHARE:.0%} damaged"
    elif levels is None:
        message = "The sound cannot be decoded; export the video again with AAC sound."
        value = "not readable"
    elif levels.seconds < SHORTEST_S:
        message = "The sound is too short; record it again over the whole video."
        value, limit = f"{levels.seconds:.1f} s", f"at least {SHORTEST_S} s"
    else:
        presence = _presence(levels, min(footage.duration_s, footage.heard_until_s), source)
        loudness = _loudness(levels.loudness_lufs, worst, source)
        return [presence, loudness, _clipping(levels.clipped_share)]
    return [Finding("audio", worst, message, value, limit, source)]


def _presence(levels: Levels, seconds: float, source: Source) -> Finding:
    is_silent = levels.loudness_lufs < SILENT_LUFS  # reported as loudness
    if is_silent or levels.loud_s >= COVERED_SHARE * seconds:
        return Finding("audio", Severity.FINE, "The video has sound.", "present", "present", source)
    message = "There is sound in a part of the video only; speak all the time."
    value, limit = f"{levels.loud_s:.1f} of {seconds:.1f} s", f"at least {COVERED_SHARE:.0%}"
    return Finding("audio", Severity.WARNING, message, value, limit, Source.OWN)


def _loudness(lufs: float, worst: Severity, source: Source) -> Finding:
    value = f"{lufs:.1f} LUFS" if lufs > _LOWEST_LUFS else f"below {_LOWEST_LUFS} LUFS"
    if lufs < SILENT_LUFS:
        message = "The sound is silent; check the microphone and record it again."
        limit = f"at least {SILENT_LUFS:.0f} LUFS"
        return Finding("loudness", worst, message, value, limit, source)
    problem = "The voice is very quiet; record it closer to the microphone."
    return _LOUDNESS.judge(value, problem if lufs < QUIET_LUFS else None)


def _clipping(share: float) -> Finding:
    problem = "The sound is clipped; lower the recording level and record it again."
    value = f"{share:.2%} of samples"
    return _CLIPPING.judge(value, problem if share >= CLIPPED_SHARE else None)
