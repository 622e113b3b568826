"""Print what is wrong with this installation."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from avatarkit.cli.console import echo
from avatarkit.cli.exit_codes import Exit


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
    send_test: Annotated[
        bool, typer.Option("--send-test", help="Send a test to the addresses of messages.")
    ] = False,
) -> None:
    """Check keys, host, clock, database, disk and settings, and say what is wrong.

    Nothing is changed or submitted; the API is asked for the quota, once. Exit code 1 if anything
    is wrong, 0 with warnings alone.
    """
    from avatarkit.tracking.diagnosis import Outcome, diagnose

    checks = diagnose(send_test=send_test)
    for check in checks:
        if as_json:
            typer.echo(json.dumps(asdict(check)))
        else:
            mark = check.outcome.upper() if check.outcome is Outcome.WRONG else check.outcome
            echo(f"{mark:8} {check.name:10} {check.text}")
    if any(check.outcome is Outcome.WRONG for check in checks):
        raise typer.Exit(Exit.ERROR)
