"""A real PostgreSQL, for tests whose conftest imports these fixtures.

The server is that of the package ``pgserver``; where that has no wheel, the one that Debian and
others install. Without either the tests are skipped, and fail where the variable ``CI`` is set.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

NONE = (
    "There is no PostgreSQL; install the package pgserver, or Debian's postgresql so that initdb "
    "and pg_ctl are in PATH or in /usr/lib/postgresql/*/bin."
)
SETTINGS = ("fsync = off", "synchronous_commit = off", "full_page_writes = off")
"""Of a server whose data need not survive."""

RESET = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid();
DROP SCHEMA public CASCADE;
CREATE SCHEMA public
"""
"""Empties a database, also if a test left a connection open; quicker than to create one."""


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL that lives as long as the tests."""
    # Not below the temporary folder of the tests, which only their user may enter: a server that
    # is started by root runs as another user.
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        Path(folder).chmod(0o777)
        with started(Path(folder), find_pgserver() or find_programs()) as url:
            engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                for setting in SETTINGS:
                    connection.exec_driver_sql(f"ALTER SYSTEM SET {setting}")
                connection.exec_driver_sql("SELECT pg_reload_conf()")
            engine.dispose()
            yield url


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """The URL of an empty database on it."""
    engine = sa.create_engine(postgres_server)
    with engine.begin() as connection:
        connection.exec_driver_sql(RESET)
    engine.dispose()
    return postgres_server


def find_pgserver() -> Any | None:
    """Return the module ``pgserver``; None if it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says which folder it takes where none is set
        try:
            import pgserver
        except ImportError:
            return None
        return pgserver


def find_programs() -> Path | None:
    """Return the folder with the newest ``initdb`` and ``pg_ctl``; None if there is none."""
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    newest_first = sorted(installed, key=lambda path: -int(path.parent.name))
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, newest_first)])
    # PATH may have a link to one of them alone.
    found = shutil.which("initdb", path=path)
    folder = Path(found).resolve().parent if found else None
    return folder if folder and shutil.which("pg_ctl", path=str(folder)) else None


@contextmanager
def started(folder: Path, source: Any | Path | None) -> Iterator[str]:
    """Start a server on a socket in a folder, and stop it at the end.

    Args:
        folder: An empty folder that every user may enter.
        source: ``pgserver``, or the folder of a server's programs.

    Yields:
        The URL of its database ``postgres``.
    """
    if source is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(NONE)
    if not isinstance(source, Path):
        server = source.get_server(folder / "data")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        server.cleanup()
        return
    data = folder / "data"
    data.mkdir()
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        user = {"user": find_user(), "extra_groups": []}
        for path in (folder, data):
            shutil.chown(path, user["user"])

    def run(program: str, *arguments: str) -> None:
        # Not to a pipe, which a server that goes on would keep open.
        with (folder / f"{program}.txt").open("w+") as output:
            command = [str(source / program), "-D", str(data), *arguments]
            done = subprocess.run(command, stdout=output, stderr=output, cwd=folder, **user)
            output.seek(0)
            assert done.returncode == 0, output.read()

    run("initdb", "--auth=trust", "--encoding=utf8", "--no-sync", "--username=postgres")
    # On a socket only, as other servers may have the port.
    run("pg_ctl", "start", "-w", "-l", str(data / "log"), "-o", f"-h '' -k {folder}")
    try:
        yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
    finally:
        run("pg_ctl", "stop", "-w", "-m", "immediate")


def find_user() -> str:
    """Return the user as which root starts a server: that of Debian's package if it is there."""
    import pwd  # not on Windows

    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
