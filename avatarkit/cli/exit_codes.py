"""Turn errors into exit codes and one sentence on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import NoReturn

import typer
from pydantic import ValidationError

from avatarkit.errors import AvatarkitError, PersonaEnded, SubmissionUncertain, WaitTimeout
from avatarkit.models import error_sentence


class Exit(IntEnum):
    """Exit codes; click itself ends wrong usage with 2."""

    FINE = 0
    ERROR = 1
    USAGE = 2
    ENDED_BADLY = 3
    TIMED_OUT = 4
    UNCERTAIN = 5


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Exit with one sentence and an exit code if the block raises an error of avatarkit."""
    try:
        yield
    except ValidationError as error:
        exit_with(error_sentence(error), Exit.USAGE)
    except PersonaEnded as error:
        exit_with(str(error), Exit.ENDED_BADLY)
    except WaitTimeout as error:
        exit_with(str(error), Exit.TIMED_OUT)
    except SubmissionUncertain as error:
        command = "'python -m avatarkit reconcile'"
        exit_with(str(error).replace("reconcile()", command), Exit.UNCERTAIN)
    except AvatarkitError as error:
        exit_with(str(error), Exit.ERROR)


def exit_with(text: str, code: Exit) -> NoReturn:
    """Print a sentence on standard error and exit with a code."""
    typer.echo(text, err=True)
    raise typer.Exit(code) from None
