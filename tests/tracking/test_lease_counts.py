"""The calls of one, two and four trackers of one account, and what a killed one delays."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from avatarkit import PersonaCreate
from avatarkit.sandbox.web.app import Api
from avatarkit.store import tables
from support.log_check import assert_true
from support.sandbox_client import until
from support.tracking_process import Work, kill, needs_signals, running, serving

pytestmark = [pytest.mark.long, needs_signals]

SPEED = 3_600
"""An hour of the sandbox takes a second."""

AVATARS = 60
HOURS = 60
"""How long they are tracked, on the sandbox's clock; about half of them end."""

MOST = 1.15
"""Two runs of one tracker differ by up to a tenth, as polls fall on other moments of the lives; two
trackers that both polled would make nearly twice as many calls."""

DONE = PersonaCreate(creator_name="Ada", gender="f", labels=["sandbox:done"])


class Calls:
    """Counts the calls that the sandbox of this process answers."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        admit = Api._admit

        def counted(api: Api, request: object) -> None:
            self.count += 1
            admit(api, request)  # type: ignore[arg-type]

        patch.setattr(Api, "_admit", counted)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    """Return the URL of a PostgreSQL; None for the SQLite file in the data folder."""
    return request.getfixturevalue("postgres") if request.param == "postgres" else None


def test_several_trackers_make_the_calls_of_one(
    url: str | None, calls: Calls, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two and four make no more calls than one, but for chance; each change is logged once.

    The list fails, so that every avatar is polled by its id: that is most calls.
    """
    counts: dict[int, int] = {}
    for number in (1, 2, 4):
        folder = tmp_path / str(number)
        folder.mkdir()
        work = Work(folder, database_url=url, spins=False)
        if url is not None:
            empty(url)
        with serving(folder, speed=SPEED, seed=1) as (sandbox, _), work.open() as session:
            for avatar in range(AVATARS):
                session.tracker.submit(DONE.model_copy(update={"creator_name": f"a{avatar}"}))
            sandbox.fail_share("500-html", 1.0, method="GET", path="/api/personas_v2/")
            before = calls.count
            with running(*[work] * number):
                session.clock.sleep(HOURS * 3_600 / SPEED)
                counts[number] = calls.count - before
            sandbox.heal()
            compared = assert_true(session.store, sandbox)
        with capsys.disabled():
            share = counts[number] / counts[1]
            print(f"\n{number}: {counts[number]} calls, {share:.2f} of one; {compared}")  # noqa: T201
    assert max(counts.values()) <= MOST * counts[1]


@pytest.mark.parametrize(("elsewhere", "longest_s"), [(False, 20), (True, 120)])
def test_the_owner_is_killed(
    elsewhere: bool,
    longest_s: float,
    url: str | None,
    calls: Calls,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Another tracker goes on in seconds on the same machine, within two minutes on others."""
    work = Work(tmp_path, database_url=url, spins=False)
    with serving(tmp_path, speed=SPEED) as (sandbox, _), work.open() as session:
        for _ in range(10):
            session.tracker.submit(DONE.model_copy(update={"labels": ["sandbox:stuck"]}))
        lease, clock = session.tracker.lease, session.clock
        with running(work) as (owner,):
            until(lambda: lease.read() is not None, 60)
            held = lease.read()
            with running(work):
                clock.sleep(10)
                kill(owner)
                if elsewhere:
                    with session.store.transaction() as connection:
                        connection.execute(tables.leases.update().values(process="server-2|7|7"))
                answered, began_s = calls.count, clock.monotonic()
                until(lambda: calls.count > answered, 150)
                waited_s = clock.monotonic() - began_s
                taken = lease.read()
        assert held is not None
        assert taken is not None
        assert taken.owner != held.owner
        assert_true(session.store, sandbox)
    with capsys.disabled():
        where = "another machine" if elsewhere else "this machine"
        print(f"\nkilled on {where}: called again after {waited_s:.0f} s")  # noqa: T201
    assert waited_s < longest_s


def empty(url: str) -> None:
    """Empty a database on PostgreSQL, as the keys of each sandbox are another account's."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    engine.dispose()
