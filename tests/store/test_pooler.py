"""The log works through a pooler that gives each transaction another connection."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from avatarkit import Store
from avatarkit.errors import StoreError
from avatarkit.models import Persona
from avatarkit.store.database import open_engine
from support.manual_clock import MONDAY

# Debian installs it where only root looks for programs.
PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
CONFIG = """
[databases]
postgres = host={host} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
{user}
"""


@pytest.fixture
def pooled(postgres: str) -> Iterator[str]:
    """The URL of a PgBouncer in transaction mode before the PostgreSQL."""
    if PGBOUNCER is None:
        pytest.skip("PgBouncer is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    host = Path(str(sa.make_url(postgres).query["host"]))
    # It refuses to run as root, and the server's socket is its owner's only.
    user = f"user = {host.owner()}" if os.geteuid() == 0 else ""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        config = Path(folder) / "pgbouncer.ini"
        config.write_text(CONFIG.format(host=host, port=port, user=user))
        log = Path(folder) / "log"
        with (
            log.open("w") as output,
            subprocess.Popen([PGBOUNCER, str(config)], stdout=output, stderr=output) as process,
        ):
            try:
                url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
                while not _is_open(port):
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(0.05)
                        pytest.fail(log.read_text())
                yield url
            finally:
                process.kill()


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.long
def test_several_stores_share_few_connections(pooled: str) -> None:
    """Six stores write and read at once over three connections, and none of them breaks."""
    reasons: list[str] = []

    def write(number: int) -> None:
        try:
            with Store(pooled, account="pooled") as store:
                persona = Persona(id=f"p{number}", process_status="pending")
                for _ in range(20):
                    store.record(persona, asked_at=MONDAY, answered_at=MONDAY, source="poll")
                    store.due(MONDAY)
                    store.personas()
        except StoreError as error:
            reasons.append(str(error))

    Store(pooled, account="pooled").close()
    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reasons == []
    with Store(pooled, account="pooled") as store:
        assert set(store.personas()["persona_id"]) == {f"p{number}" for number in range(6)}


def test_no_statement_is_prepared(postgres: str) -> None:
    """The driver prepares what is repeated by default, which a pooler loses."""
    engine = open_engine(postgres)
    with engine.connect() as connection:
        for _ in range(20):
            connection.execute(sa.text("SELECT count(*) FROM meta"))
        count = connection.scalar(sa.text("SELECT count(*) FROM pg_prepared_statements"))
    engine.dispose()
    assert count == 0
