"""Find and read the files of settings: ``.env`` and ``.streamlit/secrets.toml``."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, DotEnvSettingsSource

from avatarkit.errors import ConfigError

VARIABLE = "AVATARKIT_ENV_FILE"
PREFIX = "avatarkit_"
NAMES = (Path(".env"), Path(".streamlit") / "secrets.toml")
# Editors on Windows begin a file with a byte order mark, which is no part of the first name.
_ENCODING = "utf-8-sig"


@dataclass(frozen=True)
class EnvFiles:
    """The settings of all files that were found, and where they were looked for."""

    values: dict[Path, dict[str, Any]] = field(default_factory=dict)
    """What each file sets, by the name of the setting in lower case; the strongest file first."""

    not_owned: tuple[Path, ...] = ()
    """Files of another user, which were not read."""

    looked: str = ""
    """Where files were looked for, as the end of a sentence."""


def read_env_files() -> EnvFiles:
    """Read the files of settings that belong to this user.

    ``AVATARKIT_ENV_FILE`` names the only file to read; empty, it means none. Without it ``.env``
    and ``.streamlit/secrets.toml`` are looked for in the working folder and above it, up to the
    root of the repository or the home folder, and in the clone from which avatarkit runs.

    Returns:
        The files that set anything; ``.env`` before secrets, and nearer ones first.

    Raises:
        ConfigError: A file cannot be read.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen is not None:
        if not chosen.strip():
            return EnvFiles(looked=f"in no file, as {VARIABLE} is empty")
        path = Path(chosen.strip()).expanduser()
        return EnvFiles({path: _read(path)}, looked=f"in {path} alone, as {VARIABLE} says")
    folders = _folders()
    paths = [folder / name for name in NAMES for folder in folders]
    found = [path for path in paths if _is_there(path)]
    values = {path: _read(path) for path in found if _is_owned(path)}
    return EnvFiles(
        {path: given for path, given in values.items() if given},
        not_owned=tuple(path for path in found if path not in values),
        looked=f"for {NAMES[0]} and {NAMES[1]} in {_range(folders)}",
    )


def clone_folder() -> Path | None:
    """Return the folder of ``app.py`` if avatarkit runs from a clone, else None."""
    folder = Path(__file__).resolve().parent.parent
    is_clone = (folder / "app.py").is_file() and (folder / "pyproject.toml").is_file()
    return folder if is_clone else None


def _folders() -> list[Path]:
    folders = []
    try:
        working, home = Path.cwd(), Path(os.path.expanduser("~"))  # noqa: PTH111 - raises nothing
    except OSError:  # the working folder was deleted
        pass
    else:
        for folder in (working, *working.parents):
            folders.append(folder)
            if folder == home or (folder / ".git").exists():
                break
    clone = clone_folder()
    return folders if clone is None or clone in folders else [*folders, clone]


def _range(folders: list[Path]) -> str:
    return ", ".join(map(str, folders)) or "no folder"


def _is_there(path: Path) -> bool:
    try:
        # Virtual environments are often called .env.
        return path.exists() and not (path.name == ".env" and path.is_dir())
    except OSError:
        return False


def _is_owned(path: Path) -> bool:
    # A stranger's file in a shared folder must not say where this user's keys go.
    return not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".toml":
            return _read_toml(path)
        if path.is_dir() or not path.exists():
            raise FileNotFoundError  # the next line would read it as an empty file
        source = DotEnvSettingsSource(BaseSettings, env_file=path, env_file_encoding=_ENCODING)
    except (OSError, UnicodeDecodeError):
        # The decoder's own message holds the bytes, the key among them.
        raise ConfigError(
            f"{path} cannot be read; check its permissions, and save it as UTF-8."
        ) from None
    return _ours(dict(source.env_vars))


def _read_toml(path: Path) -> dict[str, Any]:
    """Return ``[avatarkit]``, and what is called ``AVATARKIT_…`` at the top level."""
    try:
        content = tomllib.loads(path.read_text(encoding=_ENCODING))
    except tomllib.TOMLDecodeError:
        # The parser's own message could quote the line with the key in it.
        raise ConfigError(
            f"{path} is not valid TOML; compare it with secrets.example.toml."
        ) from None
    table = content.get("avatarkit", {})
    named = table.items() if isinstance(table, dict) else ()
    return _ours({**content, **{f"{PREFIX}{key}": value for key, value in named}})


def _ours(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name.lower().removeprefix(PREFIX): value
        for name, value in values.items()
        if name.lower().startswith(PREFIX) and value not in (None, "")
    }
