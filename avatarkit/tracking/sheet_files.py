"""Find the files that a sheet names, in one folder or among given files."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path

from avatarkit.models import is_url
from avatarkit.paths import pasted_path, unquote

Files = Path | Collection[Path] | None
"""A folder, the files themselves, or neither."""

_NOT_RELATIVE = re.compile(r"~|/|\\\\|[A-Za-z]:[\\/]|\w+://|(?i:file):")


def resolve(text: str, files: Files) -> Path | str:
    """Return what a cell of a video names.

    A name is looked for in the folder, or among the files: as it is written, then in any case
    and with or without its suffix, if only one fits. Parts of a path in the folder are separated
    by ``/`` or a backslash.

    Args:
        text: A name, a path in the folder, a whole path, or a URL.
        files: Where names are looked for.

    Returns:
        The URL, or the path of a file; a whole path is taken as it is.

    Raises:
        ValueError: There is no such file, or more than one; the text is a sentence.
    """
    text = unquote(text)
    if is_url(text) or _NOT_RELATIVE.match(text):
        return text if re.match(r"(?!(?i:file))\w+://", text) else pasted_path(text)
    if files is None:
        raise ValueError(f"{text} has no folder; give the folder of the videos, or a whole path.")
    if not isinstance(files, Path):
        return _match(text, files, "the files that were given")
    folder, found = files.absolute(), files.absolute()
    parts = [part for part in re.split(r"[/\\]+", text) if part not in ("", ".")]
    if ".." in parts:
        raise ValueError(f"{text} leads out of the folder; give a whole path.")
    for place, part in enumerate(parts, 1):
        try:
            is_last = place == len(parts)
            inside = [each for each in found.iterdir() if is_last or each.is_dir()]
        except OSError as error:
            raise ValueError(f"The folder {found} cannot be read ({error.strerror}).") from None
        found = _match(part, inside, str(found))
    if not found.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{text} is a link that leads out of the folder; give a whole path.")
    return found


def _match(name: str, paths: Iterable[Path], where: str) -> Path:
    """Return the one path of this name.

    Raises:
        ValueError: None has it, or several.
    """
    by_name: dict[str, Path] = {_normal(path.name): path for path in paths}
    wanted = _normal(name)
    if wanted in by_name:
        return by_name[wanted]
    folded = wanted.casefold()
    fitting = [each for each in by_name if each.casefold() == folded] or [
        each for each in by_name if Path(each).stem.casefold() == folded
    ]
    if len(fitting) == 1:
        return by_name[fitting[0]]
    if fitting:
        names = " and ".join(sorted(fitting))
        raise ValueError(f"{name} may be {names} in {where}; write the whole name.")
    by_folded = {each.casefold(): each for each in by_name}
    near = difflib.get_close_matches(folded, by_folded, n=1)
    hint = f"did you mean {by_folded[near[0]]}?" if near else "check the name and the folder."
    raise ValueError(f"{name} is not in {where}; {hint}")


def _normal(name: str) -> str:
    # File systems of Apple keep accents apart from their letters.
    return unicodedata.normalize("NFC", name)
