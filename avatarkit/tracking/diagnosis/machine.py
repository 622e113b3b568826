"""Check what is set: the settings and their files, the versions, addresses of messages, the URL."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

from avatarkit.errors import ConfigError
from avatarkit.settings import Settings
from avatarkit.tracking.addresses import Addresses
from avatarkit.tracking.diagnosis.check import Check, Outcome

_TEST = ("avatarkit", "A test, sent by 'python -m avatarkit doctor --send-test'.")
_KEYS = {"api_id", "api_key", "base_url"}


def read_settings() -> tuple[Settings | None, bool, list[Check]]:
    """Read the settings; one that is wrong is replaced by its default.

    Returns:
        The settings, None if they cannot be read; whether the API may be called with them; and the
        check ``settings``.
    """
    try:
        settings = Settings()
    except ConfigError as error:
        found = [Check("settings", Outcome.WRONG, str(error))]
        for name, field in Settings.model_fields.items():
            # The keys must go to no host that was not meant.
            values = dict.fromkeys(("api_id", "api_key"), "unusable") if name in _KEYS else {}
            default = field.get_default(call_default_factory=True)
            try:
                repaired = Settings(**{name: default} | values)
            except ConfigError:
                continue
            return repaired, name not in _KEYS, found
        return None, False, found
    notices = [Check("settings", Outcome.WARNING, notice) for notice in settings.notices]
    return settings, True, notices or [Check("settings", Outcome.OK, settings.found)]


def check_secrets(settings: Settings) -> Iterator[Check]:
    """Yield the check ``secrets``: no other user can read the files with the settings."""
    is_open = [
        path
        for path in map(Path, settings.files)
        if os.name == "posix" and path.stat().st_mode & 0o077
    ]
    for path in is_open:
        sentence = f"Other users of this machine can read {path}."
        yield Check("secrets", Outcome.WARNING, sentence, f"Run chmod 600 {path}.")
    if settings.files and not is_open:
        yield Check("secrets", Outcome.OK, "Only you can read the files with the settings.")


def check_versions() -> Iterator[Check]:
    """Yield the check ``versions``."""
    # Not by an import: the package's own names lead to every layer.
    number = getattr(sys.modules[__name__.partition(".")[0]], "__version__", "unknown")
    names = {"Streamlit": "streamlit", "SQLAlchemy": "sqlalchemy", "httpx": "httpx"}
    found = {"avatarkit": number, "Python": platform.python_version()}
    for name, package in names.items():
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            found[name] = "not installed"
    found["SQLite"] = sqlite3.sqlite_version
    text = ", ".join(f"{name} {found[name]}" for name in found)
    yield Check("versions", Outcome.OK, f"{text}, on {sys.platform}.")


def check_messages(settings: Settings, *, send_test: bool = False) -> Iterator[Check]:
    """Yield the check ``messages`` if addresses are set: each can be used.

    Args:
        settings: The settings.
        send_test: Send a message to each.
    """
    if settings.notify is None:
        return
    addresses = Addresses(settings.notify.get_secret_value())
    usable = addresses.open()
    for problem in addresses.problems:
        yield Check("messages", Outcome.WRONG, problem)
    for address in usable:
        error = address.send(*_TEST) if send_test else None
        sentence = f"{str(address).capitalize()} {'took a test' if send_test else 'can be used'}."
        if error is not None:
            sentence = f"{str(address).capitalize()} did not take a test: {error}"
        yield Check("messages", Outcome.OK if error is None else Outcome.WRONG, sentence)


def check_public_url(settings: Settings) -> Iterator[Check]:
    """Yield the check ``public URL`` if one is set: the API can call it, and it is encrypted."""
    url = settings.public_url
    if not url:
        return
    parts = urlsplit(str(url))
    if parts.scheme != "https":
        sentence = f"{url} does not begin with https://, so webhooks and their token are readable."
        fix = "Let a reverse proxy serve it with a certificate."
        yield Check("public URL", Outcome.WARNING, sentence, fix)
    else:
        yield Check("public URL", Outcome.OK, f"Webhooks are asked for at {url}.")
