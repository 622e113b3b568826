"""Open the session of a command, and print what the API or a person wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from avatarkit.cli.exit_codes import exit_on_error
from avatarkit.text import printable

if TYPE_CHECKING:
    from avatarkit.session import Session


def echo(text: object, *, err: bool = False) -> None:
    """Print a line; escape sequences, which texts of the API may hold, are made visible.

    Args:
        text: What to print.
        err: To standard error.
    """
    typer.echo(printable(text), err=err)


@contextmanager
def open_cli_session(**values: Any) -> Iterator[Session]:
    """Open the session of a command, and end the command with a sentence after an error.

    Args:
        **values: Settings that the command's options give.
    """
    from avatarkit.session import open_session

    with exit_on_error(), open_session(**values) as session:
        if session.sandbox is not None:
            found = session.settings.found
            echo(f"No keys found: this is the sandbox. {found}", err=True)
        yield session
