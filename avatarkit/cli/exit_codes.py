"""How a command ends: a code for the program that called it, and a sentence for a person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import NoReturn

import typer
from pydantic import ValidationError

from avatarkit.errors import AvatarkitError, PersonaEnded, SubmissionUncertain, WaitTimeout
from avatarkit.models import sentence


class Exit(IntEnum):
    """What the process ends with; 2 is the command line's own, for wrong usage."""

    FINE = 0
    ERROR = 1
    USAGE = 2
    ENDED_BADLY = 3
    TIMED_OUT = 4
    UNCERTAIN = 5


@contextmanager
def sentences() -> Iterator[None]:
    """Turn whatever a person can cause into one sentence and an exit code."""
    try:
        yield
    except ValidationError as error:
        end(sentence(error), Exit.USAGE)
    except PersonaEnded as error:
        end(str(error), Exit.ENDED_BADLY)
    except WaitTimeout as error:
        end(str(error), Exit.TIMED_OUT)
    except SubmissionUncertain as error:
        command = "'python -m avatarkit reconcile'"
        end(str(error).replace("reconcile()", command), Exit.UNCERTAIN)
    except AvatarkitError as error:
        end(str(error), Exit.ERROR)


def end(text: str, code: Exit) -> NoReturn:
    """Say it on standard error, and end so."""
    typer.echo(text, err=True)
    raise typer.Exit(code) from None
