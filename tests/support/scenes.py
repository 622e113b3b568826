"""Make videos of what cameras and screens really show beside one well-lit, upright face."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from avatarkit.sandbox import footage
from support.videos import BRIEF, FPS, SIDE, Make, Picture, faces, film


def turned_without_flag(quarters: int) -> Make:
    """The picture itself is turned, by quarters counterclockwise."""
    return lambda path: film(path, (np.rot90(frame, quarters) for frame in faces(height=960)))


def page(width: int, height: int) -> Image.Image:
    """A scanned page of a book."""
    scan = Image.fromarray(data.page())  # type: ignore[no-untyped-call]
    wide = scan.resize((round(scan.width * height / scan.height), height))
    return wide.crop((0, 0, width, height)).convert("RGB")


def still_page(path: Path) -> None:
    """A screen recording of a page that stands still."""
    picture = np.asarray(page(1280, 720))
    film(path, (picture for _ in range(BRIEF * FPS)))


def scrolled_page(path: Path) -> None:
    """A screen recording of a page that moves."""
    desk = Image.new("RGB", (1360, 800), (200, 200, 195))
    desk.paste(page(1280, 720), (0, 40))
    whole = np.asarray(desk)
    tops = (number % 60 for number in range(BRIEF * FPS))
    film(path, (whole[top : top + 720, top : top + 1280] for top in tops))


def before_a_poster(path: Path) -> None:
    """One person before a wall with a poster of text."""
    wall = Image.new("RGB", (1280, 720), (190, 185, 178))
    wall.paste(page(1280, 720).resize((640, 360)), (20, 60))

    def frames() -> Iterator[Picture]:
        for head in footage.pictures(BRIEF, 576, 720, FPS):
            picture = np.array(wall)
            picture[:, 690:1266] = head
            yield picture

    film(path, frames())


def half_lit(share: float, *, from_left: bool = False) -> Make:
    """A window on one side: the other side of the face gets this share of the light."""
    across = np.arange(SIDE) - SIDE / 2
    light = share + (1 - share) / (1 + np.exp(across / 15 if from_left else -across / 15))
    return lambda path: film(path, ((frame * light[:, None]).astype(np.uint8) for frame in faces()))


def black_at_first(path: Path) -> None:
    """A camera whose first two frames are black."""
    film(path, (frame * (number > 1) for number, frame in enumerate(faces())))


def flash(path: Path) -> None:
    """Somebody takes a photograph: one bright frame, and one that is half as bright."""
    light = {61: 180, 62: 90}
    film(
        path,
        (
            np.minimum(frame.astype(np.uint16) + light.get(number, 0), 255).astype(np.uint8)
            for number, frame in enumerate(faces())
        ),
    )
