"""Find out what is wrong with an installation; nothing is changed, created or submitted."""

from __future__ import annotations

from functools import partial

from avatarkit.api.client import Client
from avatarkit.clock import Clock, SystemClock
from avatarkit.errors import ConfigError
from avatarkit.settings import Settings
from avatarkit.tracking.diagnosis import check, machine, network, storage
from avatarkit.tracking.diagnosis.check import Check, Outcome

__all__ = ["Check", "Outcome", "diagnose"]

DEADLINE_S = 30.0


def diagnose(
    *, clock: Clock | None = None, deadline_s: float = DEADLINE_S, send_test: bool = False
) -> list[Check]:
    """Check settings, keys, host, clock, database, tracker, disk and what else is set.

    The API is asked for the quota, once. The checks run side by side, and one that fails hides no
    other. In the database a row is written and taken back, in the data folder a temporary file.

    Args:
        clock: The machine's clock.
        deadline_s: Wall seconds for all checks.
        send_test: Send a message to each address of ``notify``.

    Returns:
        What was found, a check or more for each part.
    """
    clock = clock or SystemClock()
    settings, may_call, found = machine.read_settings()
    probes: dict[str, check.Probe] = {}
    if settings is not None:
        if may_call:
            probes["host"] = partial(network.check_network, settings, clock)
        probes |= {
            "database": partial(storage.check_database, settings, clock),
            "tracker": partial(storage.check_tracker, settings, clock, _account(settings)),
            "disk": partial(storage.check_disk, settings),
            "backups": partial(storage.check_backups, settings, clock),
            "secrets": partial(machine.check_secrets, settings),
            "messages": partial(machine.check_messages, settings, send_test=send_test),
            "public URL": partial(machine.check_public_url, settings),
        }
    probes["versions"] = machine.check_versions
    return found + check.run(probes, clock=clock, deadline_s=deadline_s)


def _account(settings: Settings) -> str | None:
    """Return the fingerprint of the account; None for a sandbox, which is alone in its database."""
    if settings.is_sandbox:
        return None
    try:
        with Client(settings=settings) as client:
            return client.account
    except ConfigError:
        return None
