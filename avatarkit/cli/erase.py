"""The commands that delete avatars and forget people."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from avatarkit.cli.console import echo, open_cli_session
from avatarkit.cli.exit_codes import Exit
from avatarkit.errors import APIError, AvatarkitError, ConfigError
from avatarkit.text import printable


def delete(
    persona_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="The avatars.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete avatars at the API, for good; their history stays in the log.

    Shows them and asks first. Frees their places of the plan, also of those that have not ended.
    """
    with open_cli_session() as session:
        persona_ids = list(dict.fromkeys(persona_ids))
        names: list[str] = []
        for persona_id in persona_ids:
            persona = session.store.persona(persona_id)
            if persona is None:
                raise ConfigError(
                    f"The log has no avatar {persona_id}, and nothing was deleted; check the id "
                    "with 'status' alone."
                )
            names.append(persona.creator_name or persona_id)
            echo(f"{persona_id}  {persona.creator_name or ''}  {persona.status_text}")
        if len(names) == 1:
            _confirm(names[0], f"Type the name to delete it ({names[0]})", yes=yes)
        else:
            count = str(len(names))
            _confirm(count, f"Type their number to delete all of them ({count})", yes=yes)
        failed = False
        for persona_id in persona_ids:
            try:
                was_found = session.tracker.delete(persona_id)
            except APIError as error:
                failed = True
                echo(f"{persona_id} is not deleted: {error}", err=True)
            else:
                echo(f"{persona_id}  {'deleted' if was_found else 'was deleted already'}")
        if failed:
            raise typer.Exit(Exit.ERROR)


def forget(
    who: Annotated[
        str, typer.Argument(metavar="NAME_OR_ID", help="A creator_name, or an avatar's id.")
    ],
    at_api: Annotated[
        bool, typer.Option("--at-api", help="Delete the person's avatars at the API, too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase what is kept here of a person.

    Rows, answers, uploads and drafts, in backups too. Shows first what would be erased and what is
    not ours to erase, and asks.
    """
    with open_cli_session() as session:
        echo(session.tracker.forget(who, at_api=at_api, dry_run=True))
        _confirm(who, f"Type {who} to erase this for good", yes=yes)
        forgotten = session.tracker.forget(who, at_api=at_api)
        echo(forgotten)
        if forgotten.failed:
            raise typer.Exit(Exit.ERROR)


def _confirm(expected: str, question: str, *, yes: bool) -> None:
    """Ask a person to type a text.

    Raises:
        AvatarkitError: They typed another one, or there is no terminal to ask in.
    """
    if yes:
        return
    if not _has_terminal():
        raise AvatarkitError("Nothing was changed: there is no terminal to ask in; give --yes.")
    typed = typer.prompt(printable(question), default="", show_default=False)
    if typed.strip() != printable(expected).strip():
        raise AvatarkitError("Nothing was changed: another text was typed.")


def _has_terminal() -> bool:
    return sys.stdin.isatty()
