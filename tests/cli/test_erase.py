"""The commands delete and forget, run for real against the sandbox in the data folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from avatarkit import PersonaCreate, Session, open_session
from avatarkit.cli import commands, erase
from avatarkit.cli.exit_codes import Exit


def run(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(commands.app, arguments, input=typed)


@pytest.fixture
def session() -> Iterator[Session]:
    """Keep the sandbox served, which the commands attach to."""
    with open_session() as opened:
        yield opened


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erase, "_has_terminal", lambda: True)


def submitted(session: Session, name: str = "Ada") -> str:
    return session.tracker.submit(PersonaCreate(creator_name=name, gender="f")).id


def deleted(session: Session) -> list[str]:
    personas = session.store.personas()
    return sorted(personas.loc[personas["deleted_at"].notna(), "persona_id"])


@pytest.mark.usefixtures("terminal")
def test_delete_shows_what_it_deletes_and_asks_for_the_name(session: Session) -> None:
    """Another name deletes nothing; the right one does, and the history stays."""
    persona_id = submitted(session)
    refused = run("delete", persona_id, typed="Bob\n")
    assert refused.exit_code == Exit.ERROR
    assert "Nothing was changed" in refused.output
    assert deleted(session) == []
    done = run("delete", persona_id, typed="Ada\n")
    assert done.exit_code == 0, done.output
    assert f"{persona_id}  Ada  pending" in done.stdout
    assert f"{persona_id}  deleted" in done.stdout
    assert deleted(session) == [persona_id]
    assert "Deleted" in run("status").stdout
    history = run("status", persona_id).stdout
    assert "pending" in history
    assert "It was deleted here" in history
    assert "was deleted already" in run("delete", persona_id, "--yes").stdout
    assert "was deleted here" in run("poll", persona_id).output


@pytest.mark.usefixtures("terminal")
def test_delete_asks_for_the_number_of_several(session: Session) -> None:
    """Each counts once, however often it is named."""
    first, second = submitted(session), submitted(session, "Bob")
    done = run("delete", first, second, first, typed="2\n")
    assert done.exit_code == 0, done.output
    assert deleted(session) == sorted([first, second])


def test_without_a_terminal_they_refuse(session: Session) -> None:
    """A script has to say --yes."""
    persona_id = submitted(session)
    for arguments in (("delete", persona_id), ("forget", "Ada")):
        refused = run(*arguments)
        assert refused.exit_code == Exit.ERROR
        assert "give --yes" in refused.output
    assert deleted(session) == []


def test_an_unknown_id_deletes_none_of_the_others(session: Session) -> None:
    """It is one sentence, before anything is deleted."""
    persona_id = submitted(session)
    refused = run("delete", persona_id, "unknown", "--yes")
    assert refused.exit_code == Exit.ERROR
    assert "The log has no avatar unknown" in refused.output
    assert deleted(session) == []


@pytest.mark.usefixtures("terminal")
def test_forget_shows_asks_and_erases(session: Session, tmp_path: Path) -> None:
    """The list is shown before anything is erased, and again after it."""
    footage = tmp_path / "ada.mp4"
    footage.write_bytes(b"not checked by the library")
    request = PersonaCreate(creator_name="Ada", gender="f", lipsync_input=footage)
    persona_id = session.tracker.submit(request).id
    bob = submitted(session, "Bob")
    refused = run("forget", "Ada", typed="no\n")
    assert refused.exit_code == Exit.ERROR
    assert (
        "Would be erased of Ada: rows in personas 1, sightings 1, submissions 1." in refused.stdout
    )
    assert len(session.store.personas()) == 2
    done = run("forget", "Ada", typed="Ada\n")
    assert done.exit_code == 0, done.output
    assert f"Not ours to erase: {footage}" in done.stdout
    assert f"Deleted at the API: {persona_id}" in done.stdout
    assert list(session.store.personas()["persona_id"]) == [bob]
    assert footage.exists()
    again = run("forget", "Adda", "--yes")
    assert again.exit_code == Exit.ERROR
    assert "Nothing is kept here of Adda" in again.output
    assert "Did you mean Bob" in run("forget", "bob", "--yes").output
