"""Read keys and paths as people paste them: with quotes, ``file://`` or invisible marks."""

from __future__ import annotations

import os
import re
from os.path import lexists  # False, not an error, for a name that is too long
from pathlib import Path
from urllib.request import url2pathname

# Byte order mark, zero-width and direction marks, which Windows' dialogs copy along with a path.
_INVISIBLE = r"\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"
_AROUND = re.compile(rf"^[\s{_INVISIBLE}]+|[\s{_INVISIBLE}]+$")
_QUOTES = ('""', "''", "\u201c\u201d", "\u2018\u2019")


def unquote(text: str) -> str:
    """Remove white space, invisible marks and one pair of quotes around a text."""
    text = _AROUND.sub("", text)
    if len(text) > 1 and text[0] + text[-1] in _QUOTES:
        text = _AROUND.sub("", text[1:-1])
    return text


def pasted_path(text: str) -> Path:
    r"""Return the path that a pasted text names.

    A file of exactly this name is taken as it is. Otherwise quotes and invisible marks around it
    are removed, ``file:///my%20film.mp4`` is decoded and ``~`` expanded, and where only that names
    a file, ``my\ film.mp4`` loses the backslashes of a shell.

    Raises:
        ValueError: It is the ``file:`` URL of another machine.
    """
    if lexists(text):
        return Path(text)
    text = unquote(text)
    if text[:5].lower() == "file:":
        # Not by urlsplit: a name may hold an unescaped # or ?, which would end the path.
        host, slash, path = text[5:].removeprefix("//").partition("/")
        if host not in ("", "localhost"):
            raise ValueError("This file: URL names another machine; give the path of a file here.")
        text = url2pathname(slash + path)
    text = os.path.expanduser(text)  # noqa: PTH111 - keeps the ~ of an unknown user
    unescaped = re.sub(r"\\(.)", r"\1", text)
    return Path(unescaped if not lexists(text) and lexists(unescaped) else text)
