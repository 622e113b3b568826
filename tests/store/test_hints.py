"""What the store does with webhooks: one token an account, and polls brought forward."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from avatarkit import PersonaCreate, Store
from avatarkit.models import Persona
from avatarkit.store import tables
from support.manual_clock import MONDAY as NOW

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'log.db'}"
    return str(request.getfixturevalue("postgres"))


@pytest.fixture
def store(url: str) -> Any:
    """Yield a store of an account."""
    with Store(url, account="mine") as opened:
        yield opened


def add(store: Store, persona_id: str, status: str = "pending", **columns: Any) -> None:
    """Log a persona that was polled an hour ago and is polled in ten hours."""
    persona = Persona(id=persona_id, process_status=status)
    store.record(persona, asked_at=NOW - HOUR, answered_at=NOW - HOUR, source="poll")
    if status == "pending":
        store.plan(persona_id, NOW + 10 * HOUR, NOW - HOUR)
    if columns:
        key = tables.is_persona("mine", persona_id)
        with store.transaction() as connection:
            connection.execute(tables.personas.update().where(key).values(**columns))


def due(store: Store, after: timedelta = timedelta(0)) -> list[str]:
    """Return the ids of what is due."""
    return sorted(each.persona_id for each in store.due(NOW + after))


def test_several_processes_make_one_token(url: str) -> None:
    """The first token is kept; all who ask at once get the same; another account has its own."""
    with Store(url, account="mine") as store, Store(url, account="other") as other:
        assert store.webhook_token() is None

        def ask(number: int) -> str | None:
            with Store(url, account="mine") as own:
                return own.webhook_token(f"token-{number}")

        with ThreadPoolExecutor(4) as threads:
            tokens = set(threads.map(ask, range(8)))
        assert tokens == {store.webhook_token()}
        assert other.webhook_token() is None


def test_a_hint_makes_due_what_it_names_and_nothing_else(store: Store) -> None:
    """Neither another one, nor one that has ended, is not followed, or is another account's."""
    for persona_id in ("named", "other"):
        add(store, persona_id)
    add(store, "ended", "done")
    add(store, "left", followed=False)
    add(store, "theirs", account="theirs")
    ids = ["named", "ended", "left", "theirs", "unknown", "'; DROP TABLE personas --"]
    assert store.hint(ids) == 1
    assert due(store) == ["named"]
    assert store.hint(ids) == 0, "it is due already"


def test_a_hint_that_names_none_makes_all_due(store: Store) -> None:
    """All that are in flight and followed; what is gone is polled daily as before."""
    for persona_id in ("a", "b"):
        add(store, persona_id)
    add(store, "gone", gone=True)
    add(store, "ended", "failed")
    add(store, "left", followed=False)
    assert store.hint(None) == 2
    assert due(store) == ["a", "b"]


def test_a_gone_one_that_is_named_is_polled(store: Store) -> None:
    """A webhook tells of it, so it may be there again."""
    add(store, "gone", gone=True)
    assert store.hint(["gone"]) == 1


@pytest.mark.parametrize("column", ["asked_us", "last_error_us"])
def test_one_that_was_just_polled_is_polled_when_it_has_rested(store: Store, column: str) -> None:
    """Not at once, whether that poll was answered or failed; and not hours later either."""
    add(store, "p", **{column: tables.to_us(NOW - MINUTE / 4)})
    assert store.hint(["p"]) == 1
    assert due(store) == []
    assert due(store, MINUTE * 0.75) == ["p"]


def test_a_poll_of_a_clock_that_was_ahead_keeps_nothing_back(store: Store) -> None:
    """A poll that lies in the future is not rested from."""
    add(store, "p", asked_us=tables.to_us(NOW + HOUR))
    store.hint(["p"])
    assert due(store) == ["p"]


def test_a_hint_delays_no_poll(store: Store) -> None:
    """What is due before stays so."""
    add(store, "p", asked_us=tables.to_us(NOW), next_look_us=tables.to_us(NOW))
    store.hint(["p"])
    store.hint(None, NOW + HOUR)
    assert due(store) == ["p"]


def test_all_can_be_made_due_later(store: Store) -> None:
    """Those that are planned for a later moment are polled then."""
    add(store, "p")
    add(store, "soon", next_look_us=tables.to_us(NOW + MINUTE))
    assert store.hint(None, NOW + 5 * MINUTE) == 1
    assert due(store) == []
    assert due(store, 5 * MINUTE) == ["p", "soon"]


def poll(store: Store, number: int, asked_at: datetime, error: str | None = None) -> None:
    """Log the answer to a call about p, and plan the next poll."""
    persona = Persona(id="p", process_status="pending")
    if error is None:
        store.record(
            persona, asked_at=asked_at, answered_at=asked_at, source="poll", asked_no=number
        )
    else:
        store.record_error("p", error, at=asked_at, missing=False, asked_no=number)
    store.plan("p", NOW + 10 * HOUR, NOW)


@pytest.mark.parametrize("error", [None, "The API did not answer."])
def test_a_poll_in_progress_does_not_answer_a_hint(store: Store, error: str | None) -> None:
    """It may have been answered before the end; the next poll, answered or not, was asked later."""
    add(store, "p")
    number = store.ask()
    assert store.hint(["p"]) == 1
    poll(store, number, NOW, error)
    assert due(store) == []
    assert due(store, MINUTE) == ["p"]
    poll(store, store.ask(), NOW + 2 * MINUTE, error)
    assert due(store, 2 * HOUR) == []


def test_the_frame_does_not_show_the_token(store: Store) -> None:
    """A frame is exported and shared; another address is shown as it is."""
    base = {"creator_name": "Ada", "gender": "f"}
    own = "https://a.example/webhooks/personas/s3cret"
    for url in (own, "https://b.example/hook", None):
        store.prepare(PersonaCreate(**base, webhook_url=url), NOW)
    shown = store.submissions()["webhook_url"].tolist()
    assert "https://a.example/webhooks/personas/[token]" in shown
    assert "https://b.example/hook" in shown
    with store.transaction(reading=True) as connection:
        kept = connection.scalars(sa.select(tables.submissions.c.request)).all()
    assert sum(own in request for request in kept) == 1
