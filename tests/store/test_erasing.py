"""Rows that are erased while another account erases its own."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa

from avatarkit import Persona, Store
from avatarkit.store.database import open_engine
from support.manual_clock import MONDAY

PATIENCE_S = 60


def test_two_accounts_that_erase_at_once(postgres: str) -> None:
    """The second one waits until the first one has ended, and neither fails."""
    inserts = threading.Event()
    with (
        Store(postgres, account="mine") as mine,
        Store(postgres, account="theirs") as theirs,
    ):
        for store in (mine, theirs):
            ada = Persona(id="a", creator_name="Ada", process_status="done")
            store.record(ada, asked_at=MONDAY, answered_at=MONDAY, source="poll")

        def erase_theirs() -> dict[str, int]:
            with theirs.transaction() as connection:

                @sa.event.listens_for(connection, "before_cursor_execute")
                def note(*args: object) -> None:
                    if str(args[2]).startswith("INSERT INTO meta"):
                        inserts.set()

                return theirs.erase_person(theirs.find_person("Ada"))

        with ThreadPoolExecutor(1) as pool:
            with mine.transaction():
                assert mine.erase_person(mine.find_person("Ada"))["personas"] == 1
                erased = pool.submit(erase_theirs)
                assert inserts.wait(PATIENCE_S)
            assert erased.result(PATIENCE_S)["personas"] == 1
    engine = open_engine(postgres)
    with engine.connect() as connection:
        keys = connection.execute(sa.text("SELECT key FROM meta WHERE key = 'erasing'")).all()
    engine.dispose()
    assert len(keys) == 1
