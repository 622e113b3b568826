"""Find and read settings in the environment, ``.env`` and ``.streamlit/secrets.toml``."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarkit.errors import ConfigError
from avatarkit.paths import pasted_path, unquote

VARIABLE = "AVATARKIT_ENV_FILE"
ENVIRONMENT = "the environment"
NAMES = (Path(".env"), Path(".streamlit") / "secrets.toml")
_PREFIX = "avatarkit_"
# Editors on Windows begin a file with a byte order mark, which is no part of the first name.
_ENCODING = "utf-8-sig"


@dataclass(frozen=True)
class Found:
    """The settings that were found, and where they were looked for."""

    values: dict[str, dict[str, Any]]
    """What each place sets, by the name of the setting in lower case. A place is ``ENVIRONMENT`` or
    the path of a file; the strongest is first."""

    looked: str
    """Where files were looked for, as the end of a sentence."""

    not_owned: tuple[Path, ...] = ()
    """Files of another user, which were not read."""

    @property
    def files(self) -> list[str]:
        """The files that set anything."""
        return [place for place in self.values if place != ENVIRONMENT]


def find_settings() -> Found:
    """Read the settings in the environment, and in the files that belong to this user.

    ``AVATARKIT_ENV_FILE`` names the only file to read; empty, it means none. Without it ``.env``
    and ``.streamlit/secrets.toml`` are looked for in the working folder and above it, up to the
    root of the repository or the home folder, and in the clone from which avatarkit runs.

    Returns:
        The settings: those of the environment first, ``.env`` before secrets, nearer files first.

    Raises:
        ConfigError: A file cannot be read.
    """
    chosen = os.environ.get(VARIABLE)
    paths: list[Path] = []
    not_owned: list[Path] = []
    looked = f"in no file, as {VARIABLE} is empty"
    if chosen is None:
        folders = _folders()
        looked = f"for {NAMES[0]} and {NAMES[1]} in {', '.join(map(str, folders)) or 'no folder'}"
        for path in (folder / name for name in NAMES for folder in folders):
            with suppress(OSError):  # it is not there
                # A stranger's file in a shared folder must not say where this user's keys go.
                is_owned = not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()
                # Virtual environments are often called .env.
                if path.exists() and not (path.name == ".env" and path.is_dir()):
                    (paths if is_owned else not_owned).append(path)
    elif unquote(chosen):
        paths = [pasted_path(chosen)]
        looked = f"in {paths[0]} alone, as {VARIABLE} says"
    given = {ENVIRONMENT: _ours(os.environ), **{str(path): _read(path) for path in paths}}
    values = {place: settings for place, settings in given.items() if settings}
    return Found(values, looked, tuple(not_owned))


def clone_folder() -> Path | None:
    """Return the folder of ``app.py`` if avatarkit runs from a clone, else None."""
    folder = Path(__file__).resolve().parent.parent
    is_clone = (folder / "app.py").is_file() and (folder / "pyproject.toml").is_file()
    return folder if is_clone else None


def _folders() -> list[Path]:
    folders, clone = [], clone_folder()
    with suppress(OSError):  # the working folder was deleted
        working, home = Path.cwd(), Path(os.path.expanduser("~"))  # noqa: PTH111 - raises nothing
        for folder in (working, *working.parents):
            folders.append(folder)
            if folder == home or (folder / ".git").exists():
                break
    return folders if clone is None or clone in folders else [*folders, clone]


def _read(path: Path) -> dict[str, Any]:
    from pydantic_settings import BaseSettings, DotEnvSettingsSource

    try:
        if path.suffix == ".toml":
            content = tomllib.loads(path.read_text(encoding=_ENCODING))
            table = content.get("avatarkit", {})
            named = table.items() if isinstance(table, dict) else ()
            return _ours({**content, **{f"{_PREFIX}{key}": value for key, value in named}})
        if path.is_dir() or not path.exists():
            raise FileNotFoundError  # which the next line would take for an empty file
        source = DotEnvSettingsSource(BaseSettings, env_file=path, env_file_encoding=_ENCODING)
        return _ours(source.env_vars)
    except tomllib.TOMLDecodeError:
        # The parser's own message could quote the line with the key in it.
        reason = "is not valid TOML; compare it with secrets.example.toml"
    except (OSError, UnicodeDecodeError):
        # The decoder's own message holds the bytes, the key among them.
        reason = "cannot be read; check its permissions, and save it as UTF-8"
    raise ConfigError(f"{path} {reason}.")


def _ours(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name.lower().removeprefix(_PREFIX): value
        for name, value in values.items()
        if name.lower().startswith(_PREFIX) and value not in (None, "")
    }
