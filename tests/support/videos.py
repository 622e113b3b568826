"""Make real video files, good and bad in one way each."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from skimage import data

from avatarkit.sandbox import footage

LONG, BRIEF, SIDE, FPS = 15, 6, 720, 24

Picture = NDArray[np.uint8]
Make = Callable[[Path], object]


def faces(seconds: float = BRIEF, width: int = SIDE, height: int = SIDE) -> Iterator[Picture]:
    """The talking head, square and small."""
    return footage.pictures(seconds, width, height, FPS)


def film(path: Path, frames: Iterable[Picture], *, fps: int = FPS) -> Path:
    """Write the frames with a voice of six seconds."""
    return footage.write(path, frames, fps=fps, sound=footage.voice(BRIEF))


@cache
def plain() -> bytes:
    """The brief talking head with its voice, which many faults are made from."""
    with TemporaryDirectory() as folder:
        return film(Path(folder) / "plain.mp4", faces()).read_bytes()


def source_of(path: Path) -> Path:
    """The plain file, beside ``path``."""
    source = path.with_suffix(".source.mp4")
    source.write_bytes(plain())
    return source


def heard(gain: float) -> Make:
    """With a voice ``gain`` times as loud, clipped at full scale."""
    sound = np.clip(gain * footage.voice(BRIEF), -1, 1)
    return lambda path: remux(source_of(path), path, sound=sound)


def blurred(radius: float) -> Make:
    """Out of focus by ``radius`` pixels (the face is 300 wide)."""
    # Drawn at a third of the size: what is lost by that is lost in the blur anyway.
    blur = ImageFilter.GaussianBlur(radius / 3)

    def make(path: Path) -> None:
        small = (Image.fromarray(frame).filter(blur) for frame in faces(BRIEF, 240, 240))
        film(path, (np.asarray(image.resize((SIDE, SIDE))) for image in small))

    return make


def lit(share: float) -> Make:
    """With this share of the light."""
    levels = np.rint(np.arange(256) * share).astype(np.uint8)
    return lambda path: film(path, (levels[frame] for frame in faces()))


def still(picture: Picture) -> Make:
    """No talking head but a slow pan over this picture."""
    image = np.asarray(Image.fromarray(picture).resize((SIDE + 60, SIDE + 60)))

    def make(path: Path) -> None:
        pans = (round(30 + 30 * np.sin(n / 40)) for n in range(BRIEF * FPS))
        film(path, (image[x : x + SIDE, x : x + SIDE] for x in pans))

    return make


def side_by_side(path: Path) -> None:
    """Two people."""
    half = list(faces(width=SIDE // 2))
    film(path, (np.hstack([one, other]) for one, other in zip(half, reversed(half), strict=True)))


def far_away(path: Path) -> None:
    """A small face before a plain wall."""
    for_wall = np.full((SIDE, SIDE, 3), 150, np.uint8)

    def frames() -> Iterator[Picture]:
        for face in faces(width=180, height=180):
            wall = for_wall.copy()
            wall[120:300, 270:450] = face
            yield wall

    film(path, frames())


def leaves(path: Path) -> None:
    """The person walks out of the picture after a third of the time."""
    empty = np.asarray(Image.fromarray(data.coffee()).resize((SIDE, SIDE)))
    film(path, (f if n < BRIEF * FPS / 3 else empty for n, f in enumerate(faces())))


def two_cameras(path: Path) -> None:
    """Cuts to a second camera and back."""

    def frames() -> Iterator[Picture]:
        for number, face in enumerate(faces()):
            closer = face[120:600, 120:600]
            other = closer[:, ::-1].repeat(3, 0).repeat(3, 1)[::2, ::2]
            yield other if 40 <= number < 90 else face

    film(path, frames())


def jump(path: Path) -> None:
    """One sentence was cut out: the head is suddenly a little elsewhere."""
    film(path, (np.roll(f, 40, axis=1) if n >= 70 else f for n, f in enumerate(faces())))


def turned(path: Path) -> None:
    """A phone's portrait: stored on its side, with a flag."""
    stored = path.with_suffix(".stored.mp4")
    film(stored, (np.rot90(frame, -1) for frame in faces(height=960)))
    remux(stored, path, rotation=90)


def uneven(path: Path) -> None:
    """A variable frame rate: every fourth frame stays three times as long."""
    remux(source_of(path), path, tick=lambda n: n + 2 * (n // 4))


def four_k(path: Path) -> None:
    """4K; a second of it, again and again."""
    frames = footage.pictures(1, 3840, 2160, FPS)
    source = footage.write(path.with_suffix(".second.mp4"), frames, fps=FPS)
    remux(source, path, times=4, sound=footage.voice(4))


def remux(
    source: Path,
    target: Path,
    *,
    rotation: int = 0,
    tick: Callable[[int], int] = lambda n: n,
    times: int = 1,
    sound: NDArray[np.float32] | None = None,
    options: dict[str, str] | None = None,
    format: str = "mp4",  # noqa: A002 - av's own name
) -> Path:
    """The same pictures in another wrapping; with the source's sound, or with ``sound``."""
    with (
        av.open(str(source)) as old,
        av.open(str(target), "w", format=format, options=options or {}) as new,
    ):
        video = new.add_stream_from_template(old.streams.video[0])
        if rotation:
            video.set_display_rotation(rotation)
        audio = None
        if sound is not None:
            audio = new.add_stream("aac", rate=footage.SAMPLE_RATE, layout="mono")
        elif old.streams.audio:
            audio = new.add_stream_from_template(old.streams.audio[0])
        packets = [packet for packet in old.demux() if packet.size]
        pictures = [packet for packet in packets if packet.stream.type == "video"]
        kept = [(packet, bytes(packet), packet.is_keyframe) for packet in pictures]
        for number in range(times * len(kept)):
            packet, content, is_key = kept[number % len(kept)]
            fresh = av.Packet(content)
            fresh.stream, fresh.time_base = video, Fraction(1, FPS)
            fresh.pts = fresh.dts = tick(number)
            fresh.is_keyframe = is_key
            new.mux(fresh)
        if sound is not None:
            frame = av.AudioFrame.from_ndarray(sound[None, :], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = footage.SAMPLE_RATE, 0
            new.mux(audio.encode(frame))
            new.mux(audio.encode())
        elif audio is not None:
            for packet in packets:
                if packet.stream.type == "audio":
                    packet.stream = audio
                    new.mux(packet)
    return target


def cut_off(path: Path, options: dict[str, str] | None = None) -> None:
    """The download stopped at two thirds."""
    whole = source_of(path)
    if options:
        whole = remux(whole, path.with_suffix(".other.mp4"), options=options)
    content = whole.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def scratched(path: Path) -> None:
    """A thousandth of the bytes of the pictures were changed on the way."""
    content = np.frombuffer(plain(), np.uint8).copy()
    first = content.size // 5
    places = np.random.default_rng(1).integers(first, content.size, content.size // 1000)
    content[places] ^= 0x55
    path.write_bytes(content.tobytes())


def box(kind: bytes, content: bytes = b"") -> bytes:
    """One box of an MP4 file."""
    return struct.pack(">I4s", 8 + len(content), kind) + content


def zeroed(path: Path) -> None:
    """Space was kept for the pictures and the sound, and nothing written into it."""
    start = plain().index(b"mdat") + 4
    path.write_bytes(plain()[:start] + bytes(len(plain()) - start))


def trimmed(path: Path, *, at_s: int = 0, seconds: int = 3) -> None:
    """Twelve seconds in an editor that keeps all frames and writes down which ones to show."""
    whole = remux(
        source_of(path), path.with_suffix(".whole.mp4"), times=2, sound=footage.voice(2 * BRIEF)
    )
    content = bytearray(whole.read_bytes())
    edit, media = content.index(b"elst") + 12, content.index(b"mdhd") + 16
    (ticks,) = struct.unpack(">I", content[media : media + 4])
    content[edit : edit + 8] = struct.pack(">II", 1000 * seconds, at_s * ticks)
    path.write_bytes(content)


def flagged(path: Path, *matrix: int) -> None:
    """With these upper left four values of the matrix, in whole numbers."""
    content = bytearray(plain())
    at = content.index(b"tkhd") + 44
    a, b, c, d = (65536 * value for value in matrix)
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 2**30 if any(matrix) else 0)
    path.write_bytes(content)


def noise_for_sound(path: Path) -> None:
    """After half a second, what should be sound is something else."""
    content = np.frombuffer(plain(), np.uint8).copy()
    noise = np.random.default_rng(1)
    with av.open(str(source_of(path))) as container:
        for number, packet in enumerate(container.demux(audio=0)):
            if number > 20 and packet.size:
                place = slice(packet.pos, packet.pos + packet.size)
                content[place] = noise.integers(0, 256, packet.size, np.uint8)
    path.write_bytes(content.tobytes())


def one_frame(path: Path) -> None:
    """A still of a second."""
    cup = np.asarray(Image.fromarray(data.coffee()).resize((SIDE, SIDE)))
    footage.write(path, [cup], fps=1, sound=footage.voice(1))


def bomb(path: Path, samples: int = 80_000_000) -> None:
    """A small file that promises ``samples`` frames of a byte each: libav would fill gigabytes."""
    content = bytearray(plain())
    for kind, offset, values in (
        (b"stsz", 8, (1, samples)),
        (b"stsc", 16, (samples,)),
        (b"stts", 12, (samples,)),
    ):
        at = content.index(kind) + offset
        content[at : at + 4 * len(values)] = struct.pack(f">{len(values)}I", *values)
    path.write_bytes(content)


def disguised_bomb(path: Path) -> None:
    """The same, with the name of another box where no reader looks."""
    bomb(path)
    path.write_bytes(path.read_bytes().replace(b"stsz\0\0\0\0", b"stsztrak"))


def loose_bomb(path: Path) -> None:
    """The same, with the track outside the header."""
    bomb(path)
    content = path.read_bytes()
    at = content.index(b"trak") - 4
    track = content[at : at + struct.unpack(">I", content[at : at + 4])[0]]
    head = content.index(b"mvhd") - 4
    header = content[head : head + struct.unpack(">I", content[head : head + 4])[0]]
    path.write_bytes(box(b"ftyp", b"isom\0\0\0\0") + track + box(b"moov", header))


def large_picture(path: Path, side: int = 8000) -> None:
    """A QuickTime file of 720 x 720 whose one PNG is much larger: half a gigabyte of pixels."""
    pack = zlib.compressobj(1)
    row = bytes(1 + 8 * side)
    pixels = b"".join(pack.compress(row) for _ in range(side)) + pack.flush()
    picture = b"\x89PNG\r\n\x1a\n"
    size = struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0)
    for kind, content in ((b"IHDR", size), (b"IDAT", pixels), (b"IEND", b"")):
        picture += struct.pack(">I", len(content)) + kind + content
        picture += struct.pack(">I", zlib.crc32(kind + content))
    with av.open(str(path), "w", format="mov") as container:
        stream = container.add_stream("png", rate=FPS)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "rgb24"
        packet = av.Packet(picture)
        packet.stream, packet.time_base = stream, Fraction(1, FPS)
        packet.pts = packet.dts = 0
        container.mux(packet)


def wrap(
    path: Path,
    *,
    codec: str,
    pixels: str,
    sound_codec: str = "",
    seconds: float = 1,
    side: int = 240,
) -> Path:
    """A QuickTime file with other codecs than phones have."""
    with av.open(str(path), "w", format="mov") as container:
        video = container.add_stream(codec, rate=FPS)
        video.width = video.height = side
        video.pix_fmt = pixels
        audio = None
        if sound_codec:
            audio = container.add_stream(sound_codec, rate=footage.SAMPLE_RATE, layout="mono")
        for picture in faces(1, side, side):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if audio is not None:
            voice = (footage.voice(seconds) * 32767).astype(np.int16)
            piece = av.AudioFrame.from_ndarray(voice[None, :], format="s16", layout="mono")
            piece.sample_rate, piece.time_base = footage.SAMPLE_RATE, Fraction(1, 48_000)
            piece.pts = 0
            resampled = av.AudioResampler(format=audio.format.name).resample(piece)
            for part in resampled:
                container.mux(audio.encode(part))
            container.mux(audio.encode())
    return path
