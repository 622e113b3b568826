"""``notify``: say where messages go, and try it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from avatarkit.cli.console import echo, open_cli_session
from avatarkit.cli.exit_codes import Exit
from avatarkit.errors import AvatarkitError

if TYPE_CHECKING:
    from avatarkit.store.notifications import Notification
    from avatarkit.tracking.notify import Notifier

LAST = 10
"""How many of the last messages are printed."""


def notify(
    test: Annotated[bool, typer.Option("--test", help="Send a test to each address.")] = False,
) -> None:
    """Print where messages go, and the last ones.

    Messages say that avatars have ended, are late or uncertain, or that the keys are refused.
    AVATARKIT_NOTIFY holds the addresses: URLs of Apprise, such as mailto:// or ntfy://.
    """
    with open_cli_session() as session:
        notifier = session.tracker.notifier
        if notifier is None:
            raise AvatarkitError(
                "No address is set; set AVATARKIT_NOTIFY to URLs of Apprise, such as "
                "ntfy://a-topic-that-is-hard-to-guess, separated by spaces."
            )
        if test:
            _test(notifier)
            return
        for number, scheme in enumerate(notifier.addresses.schemes, 1):
            echo(f"address {number}: {scheme}")
        notifier.addresses.open()
        for problem in notifier.addresses.problems:
            echo(problem, err=True)
        for notification in session.store.last_notifications(LAST):
            echo(_format(notification))


def _test(notifier: Notifier) -> None:
    errors = 0
    for address, error in notifier.try_addresses():
        echo(f"{address}: {'taken' if error is None else f'not taken: {error}'}")
        errors += error is not None
    for problem in notifier.addresses.problems:
        echo(problem, err=True)
        errors += 1
    if errors:
        raise typer.Exit(Exit.ERROR)


def _format(notification: Notification) -> str:
    state = "waiting"
    if notification.sent_at is not None:
        state = f"sent {notification.sent_at:%Y-%m-%d %H:%M} UTC"
    elif notification.next_attempt_at is None:
        state = "given up"
    error = f" ({notification.error})" if notification.error else ""
    return f"{notification.created_at:%Y-%m-%d %H:%M}Z  {notification.text}  {state}{error}"
