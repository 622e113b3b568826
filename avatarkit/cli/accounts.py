"""Commands about the whole account: what it has beyond the log, and what is followed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from avatarkit.cli.console import echo, open_cli_session

if TYPE_CHECKING:
    from avatarkit.models import Persona
    from avatarkit.session import Session


def print_other_accounts(session: Session, *, err: bool = False) -> bool:
    """Print which other accounts have rows in the database; return whether any has."""
    others = session.tracker.other_accounts()
    for other in others:
        echo(other.sentence, err=err)
    return bool(others)


def adopt(
    persona_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="The avatars to follow.")
    ] = None,
    adopt_all: Annotated[bool, typer.Option("--all", help="Follow all of them.")] = False,
) -> None:
    """Follow avatars of the account that were not submitted here.

    Without an id or --all, lists those that the account has and the log does not.
    """
    if persona_ids and adopt_all:
        raise typer.BadParameter("give either ids or --all.")
    with open_cli_session() as session:
        tracker = session.tracker
        if persona_ids or adopt_all:
            adopted = tracker.adopt(persona_ids or None)
            _print_personas(adopted)
            avatars = "1 avatar is" if len(adopted) == 1 else f"{len(adopted):,} avatars are"
            echo(f"{avatars} followed now that the log did not have.", err=True)
            return
        unknown = tracker.unknown()
        _print_personas(unknown)
        if unknown:
            echo("Not followed here; 'adopt --all' or 'adopt ID' follows them.", err=True)
        else:
            echo("Every avatar in the account's list is in the log.", err=True)


def follow(
    persona_id: Annotated[str, typer.Argument(help="The avatar, also one that is not in the log.")],
) -> None:
    """Poll an avatar until it ends; takes 'unfollow' back."""
    with open_cli_session() as session:
        _print_personas([session.tracker.follow(persona_id)])


def unfollow(
    persona_id: Annotated[str, typer.Argument(help="The avatar; nothing is deleted.")],
) -> None:
    """Poll an avatar no longer; its history stays."""
    with open_cli_session() as session:
        _print_personas([session.tracker.unfollow(persona_id)])


def _print_personas(personas: list[Persona]) -> None:
    for persona in personas:
        created = "" if persona.created_at is None else f"  {persona.created_at:%Y-%m-%d %H:%M}"
        echo(f"{persona.id}  {persona.creator_name or ''}  {persona.status_text}{created}")
