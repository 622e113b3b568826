"""Draw frames side by side, with their times and the faces that were found, as one PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw

from avatarkit.preflight.footage import Shot

CELLS = 6
_HEIGHT = 200
_GAP = 6
_BACKGROUND = (255, 255, 255)
_BOX = (255, 200, 0)


def draw(shots: Sequence[Shot]) -> bytes:
    """Return up to six of the shots, spread evenly, side by side, as a PNG."""
    cells = min(CELLS, len(shots))
    chosen = [shots[index * len(shots) // cells] for index in range(cells)]
    pictures = []
    for shot in chosen:
        scale = _HEIGHT / shot.picture.shape[0]
        width = max(1, round(shot.picture.shape[1] * scale))
        picture = Image.fromarray(shot.picture).resize((width, _HEIGHT))
        pen = ImageDraw.Draw(picture)
        for face in shot.faces:
            corners = (face.x, face.y, face.x + face.size, face.y + face.size)
            pen.rectangle([corner * scale for corner in corners], outline=_BOX, width=3)
        label = f"{shot.time_s:.1f} s"
        pen.rectangle(pen.textbbox((4, 3), label), fill=(0, 0, 0))
        pen.text((4, 3), label, fill=(255, 255, 255))
        pictures.append(picture)
    total = sum(picture.width for picture in pictures) + _GAP * (cells - 1)
    sheet = Image.new("RGB", (total, _HEIGHT), _BACKGROUND)
    x = 0
    for picture in pictures:
        sheet.paste(picture, (x, 0))
        x += picture.width + _GAP
    out = io.BytesIO()
    sheet.save(out, "PNG", compress_level=3)
    return out.getvalue()
