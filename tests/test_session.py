"""Sessions: opened again, closed, and garbage-collected."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from avatarkit import PersonaCreate, Sandbox, errors, open_session
from avatarkit.clock import SystemClock
from support.manual_clock import MONDAY, ManualClock, StandingClock

CLOSED = "This session is closed; open it again with open_session()."


class Threads:
    """The threads of avatarkit and its sandbox that were started since a test began."""

    def __init__(self) -> None:
        self._before = set(threading.enumerate())

    def names(self) -> list[str]:
        """Return the names of those that run."""
        return sorted(thread.name for thread in self._own())

    def once_ended(self) -> list[str]:
        """Return those that are left after the ones that are ending have ended."""
        for thread in self._own():
            thread.join(timeout=10)
        return self.names()

    def _own(self) -> list[threading.Thread]:
        started = set(threading.enumerate()) - self._before
        return [each for each in started if each.name.startswith(("avatarkit-", "sandbox-"))]


@pytest.fixture
def threads() -> Threads:
    """Return the threads that the test starts."""
    return Threads()


def standing() -> ManualClock:
    """Return a clock on which nothing becomes due by itself."""
    return StandingClock(MONDAY)


def request(**values: object) -> PersonaCreate:
    """Return a create without footage."""
    return PersonaCreate(**{"creator_name": "Ada", "gender": "f"} | values)  # type: ignore[arg-type]


def test_opened_again_it_is_the_same_session(threads: Threads) -> None:
    """Three openings, as by a cell that is run again, have the threads of one; a close ends all."""
    clock = standing()
    session = open_session(clock=clock)
    session.tracker.start()
    for _ in range(2):
        again = open_session(clock=clock)
        again.tracker.start()
        assert again is session
    assert threads.names().count("avatarkit-tracker") == 1
    assert threads.names().count("sandbox-web") == 1
    session.close()
    assert threads.once_ended() == []


def test_a_with_block_closes_only_what_it_opened() -> None:
    """A function that opens the session for itself leaves the caller's open."""
    session = open_session(clock=standing())
    with open_session() as inner:
        assert inner is session
    assert not session.is_closed
    session.close()
    with open_session(clock=standing()) as session:
        pass
    assert session.is_closed


def test_other_settings_close_an_idle_session(caplog: pytest.LogCaptureFixture) -> None:
    """A cell that is changed and run again opens a session with its new settings, and says so."""
    clock = standing()
    first = open_session(clock=clock)
    with open_session(clock=clock, calls_per_hour=50) as second:
        assert first.is_closed
        assert second.tracker.schedule is not first.tracker.schedule
        assert "had other settings; it is closed now" in caplog.text
        assert len(second.store.personas()) == 0


def test_other_settings_leave_a_used_session_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait in another thread goes on, and both sessions can be used."""
    monkeypatch.setattr("avatarkit.tracking.wait.LONGEST_WAIT_S", 0.1)
    with Sandbox(clock=standing()) as sandbox:
        keys = {"base_url": sandbox.url, "api_id": sandbox.api_id, "api_key": sandbox.api_key}
        first = open_session(**keys)
        persona = first.tracker.submit(request())
        waits = threading.Event()
        ended: list[BaseException] = []

        def wait() -> None:
            try:
                first.tracker.wait(persona.id, timeout=60, on_progress=lambda _: waits.set())
            except errors.AvatarkitError as error:
                ended.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        assert waits.wait(30)
        with open_session(calls_per_hour=50, **keys) as second:
            assert second is not first
            assert not first.is_closed
            assert first.tracker.is_used
        first.close()
        thread.join()
        assert [str(error) for error in ended] == [CLOSED]


def test_a_temporary_session_uses_nothing_of_the_account(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also with keys it is a sandbox with a folder of its own, which a close deletes."""
    for name, value in {
        "API_ID": "a",
        "API_KEY": "k" * 20,
        "DATABASE_URL": "sqlite:///x.db",
    }.items():
        monkeypatch.setenv(f"AVATARKIT_{name}", value)
    clock = standing()
    session = open_session(temporary=True, clock=clock)
    assert open_session(temporary=True, clock=clock) is session
    folder = session.settings.folder
    session.tracker.submit(request())
    assert session.mode == "sandbox"
    assert (folder / "avatarkit.db").exists()
    session.close()
    assert not folder.exists()
    with open_session(temporary=True, clock=clock) as again:
        assert again.store.known_ids() == set()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(errors.ConfigError, match="not both"):
        open_session(again.settings, temporary=True)


def test_two_accounts_are_two_sessions() -> None:
    """Sessions of other keys on the same data folder do not close each other."""
    live = {"base_url": "https://api.example.com", "api_key": "k" * 20}
    with open_session(api_id="a", **live) as first, open_session(api_id="b", **live) as second:
        assert first is not second
        assert not first.is_closed


def test_after_close_every_call_is_one_sentence(
    threads: Threads, caplog: pytest.LogCaptureFixture
) -> None:
    """Tracker, store and client say that the session is closed, and its repr does."""
    caplog.set_level(logging.INFO)
    session = open_session(clock=standing())
    session.tracker.start()
    persona = session.tracker.submit(request())
    session.close()
    session.close()
    tracker, store, client = session.tracker, session.store, session.client
    for call in (
        store.personas,
        store.next_look_at,
        client.persona_quota,
        lambda: client.get_persona(persona.id),
        lambda: client.create_persona(request()),
        lambda: tracker.submit(request()),
        lambda: tracker.wait(persona.id, timeout=1),
        lambda: tracker.poll(persona.id),
        lambda: tracker.run(threading.Event()),
        tracker.look,
        tracker.start,
        tracker.state,
        tracker.watch,
        tracker.reconcile,
    ):
        with pytest.raises((errors.StoreError, errors.ConfigError)) as caught:
            call()
        assert str(caught.value) == CLOSED
    assert repr(session).endswith(", closed)")
    assert threads.once_ended() == []
    assert "interrupted" not in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_a_collected_session_leaves_nothing_behind(threads: Threads, tmp_path: Path) -> None:
    """Without any reference to it, its tracker ends, and its sandbox and lease are free again."""
    clock = standing()
    session = open_session(data_dir=tmp_path, clock=clock)
    tracker = session.tracker
    tracker.start()
    while not tracker.has_lease:
        SystemClock().sleep(0.01)
    collected = weakref.ref(session)
    del session
    gc.collect()
    assert collected() is not None, "the tracker is used still"
    del tracker
    until_s = SystemClock().monotonic() + 60
    while collected() is not None and SystemClock().monotonic() < until_s:
        gc.collect()  # the thread may be in a call of the tracker, which ends
        SystemClock().sleep(0.05)
    assert collected() is None
    assert threads.once_ended() == []
    with open_session(data_dir=tmp_path, clock=clock) as again:
        assert isinstance(again.sandbox, Sandbox)
        assert again.tracker.lease.read() is None


def test_a_submit_that_is_out_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that is closed while another thread submits does not lose what became of it."""
    session = open_session(clock=standing())
    create = session.client.create_persona

    def close_meanwhile(*args: object, **values: object) -> object:
        persona = create(*args, **values)  # type: ignore[arg-type]
        closer = threading.Thread(target=session.close)
        closer.start()
        closer.join()
        return persona

    monkeypatch.setattr(session.client, "create_persona", close_meanwhile)
    persona = session.tracker.submit(request())
    assert session.is_closed
    with open_session(clock=standing()) as again:
        assert list(again.store.personas()["persona_id"]) == [persona.id]


def test_one_line_a_change_and_none_a_call(caplog: pytest.LogCaptureFixture) -> None:
    """At level INFO a program that polls logs what has changed, and nothing else."""
    caplog.set_level(logging.INFO)
    clock = ManualClock(MONDAY)
    with open_session(clock=clock) as session:
        persona = session.tracker.submit(request(labels=["sandbox:done"]))
        for number in range(6):
            clock.advance(timedelta(days=1))
            if number % 2:
                session.tracker.run(threading.Event(), once=True)
            else:
                with suppress(errors.WaitTimeout):
                    session.tracker.wait(persona.id, timeout=1)
        seen = len(session.store.sightings())
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == seen - 1
    assert all(line.startswith(persona.id) and " -> " in line for line in lines)
