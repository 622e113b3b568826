"""Check the database, whether a tracker runs, the data folder with its disk, and the backups."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from avatarkit.clock import Clock
from avatarkit.errors import StoreError
from avatarkit.settings import Settings, is_loopback
from avatarkit.store import backup, database, lease, sqlite_file, tables
from avatarkit.text import format_hours
from avatarkit.tracking.diagnosis.check import Check, Outcome

CONNECT_S = 5
SLOW_S = 0.1
"""A round trip to the database that takes longer makes pages and passes slow."""
LEAST_BYTES = 200_000_000
ENOUGH_BYTES = 5_000_000_000
"""Free bytes below which no upload fits, and below which two large ones fill the disk."""
TRIAL_BYTES = 1_000_000

_NETWORK_FILE_SYSTEMS = {
    "9p", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.glusterfs", "fuse.sshfs", "glusterfs",
    "lustre", "nfs", "nfs4", "smb3", "smbfs",
}  # fmt: skip

_SERVER_S = "SELECT extract(epoch FROM clock_timestamp())"
_UPLOADS = ("drafts", "uploads")
"""The folders of the app's uploads in the data folder."""


def check_database(settings: Settings, clock: Clock) -> Iterator[Check]:
    """Yield the check ``database``: it opens, is whole, and can be written. None is created."""
    engine = database.make_engine(settings.store_url)
    file = sqlite_file.path_of(engine.url)
    if file is None and engine.dialect.name == "sqlite":
        sentence = "It is in memory, and lost at the end of the program."
        yield Check("database", Outcome.WARNING, sentence, "Set AVATARKIT_DATABASE_URL to a file.")
    elif file is not None and not file.exists():
        yield _missing(file, settings)
    else:
        with _connect(engine) as connection:
            yield _opened(connection, settings, clock, database.shown_url(engine.url))
    if file is not None and (kind := _file_system(file)) in _NETWORK_FILE_SYSTEMS:
        sentence = f"{file} lies on a network file system ({kind}), where locks can fail."
        fix = "Move it to a disk of this machine (AVATARKIT_DATA_DIR), or use PostgreSQL."
        yield Check("database", Outcome.WARNING, sentence, fix)


def check_tracker(settings: Settings, clock: Clock, account: str | None) -> Iterator[Check]:
    """Yield the check ``tracker``: one holds the lease of the account, or none is needed.

    Args:
        settings: The settings.
        clock: The machine's clock.
        account: The fingerprint of the account; None for every account in the database.
    """
    try:
        leases, left, now_us = _tracked(settings, clock, account)
    except StoreError:
        yield Check("tracker", Outcome.WARNING, "Not known, as the database does not work.")
        return
    one_machine = settings.store_url.startswith("sqlite")
    running = [each for each in leases if lease.is_running(each, now_us, one_machine=one_machine)]
    if running:
        last = max(running, key=lambda each: each.renewed_us)
        ago = format_hours(max(0, now_us - last.renewed_us) / 3_600_000_000)
        yield Check("tracker", Outcome.OK, f"{last.name} tracks, seen {ago} ago.")
    elif left:
        waiting = "1 avatar is" if left == 1 else f"{left} avatars are"
        fix = "Start the app, or 'python -m avatarkit track'."
        sentence = f"None runs, and {waiting} still to be polled."
        yield Check("tracker", Outcome.WARNING, sentence, fix)
    else:
        yield Check("tracker", Outcome.OK, "None runs, and no avatar is to be polled.")


def check_disk(settings: Settings) -> Iterator[Check]:
    """Yield the check ``disk``: the data folder can be written and has room. None is created."""
    folder = settings.folder
    if not folder.exists():
        fault = _fault_of_new(folder.parent)
        if fault:
            sentence = f"The data folder {folder} cannot be created: {fault}."
            yield Check("disk", Outcome.WRONG, sentence, "Set AVATARKIT_DATA_DIR to another one.")
        else:
            free = shutil.disk_usage(_nearest(folder)).free
            sentence = f"The first start creates the data folder {folder}; "
            yield _room(free, f"{sentence}{free / 1e9:,.1f} GB are free there.")
        return
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(TRIAL_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        sentence = f"The data folder {folder} cannot be written ({error.strerror})."
        fix = "Make room there, give yourself the right to write, or set AVATARKIT_DATA_DIR."
        yield Check("disk", Outcome.WRONG, sentence, fix)
        return
    free = shutil.disk_usage(folder).free
    used = _size_of_uploads(folder)
    sentence = f"{free / 1e9:,.1f} GB are free in {folder}; uploads take {used / 1e9:,.1f} GB."
    yield _room(free, sentence)
    if os.name == "posix" and folder.stat().st_mode & 0o077:
        sentence = f"Other users of this machine can read {folder}."
        yield Check("disk", Outcome.WARNING, sentence, f"Run chmod 700 {folder}.")


def _room(free: int, sentence: str) -> Check:
    """Return the check of the room on the disk."""
    if free >= ENOUGH_BYTES:
        return Check("disk", Outcome.OK, sentence)
    outcome = Outcome.WRONG if free < LEAST_BYTES else Outcome.WARNING
    return Check("disk", outcome, sentence, "Make room: one upload can take 2 GB.")


def check_backups(settings: Settings, clock: Clock) -> Iterator[Check]:
    """Yield the check ``backups``: the newest one was made within the last day."""
    try:
        url = database.make_engine(settings.store_url).url
    except StoreError:
        return  # as the check of the database says
    file = sqlite_file.path_of(url)
    if file is None:
        if url.get_backend_name() == "postgresql":
            sentence = "avatarkit makes none of a PostgreSQL."
            yield Check("backups", Outcome.OK, sentence, "Let pg_dump run once a day.")
    elif not file.exists():
        yield Check("backups", Outcome.OK, "None yet, as there is no database.")
    elif not settings.backups:
        fix = "Set AVATARKIT_BACKUPS to 5, or make your own by 'python -m avatarkit backup'."
        yield Check("backups", Outcome.WARNING, "None are made (AVATARKIT_BACKUPS is 0).", fix)
    elif backup.is_due(file, clock.now()):
        newest = next(reversed(backup.backups(file)), None)
        last = f"The newest is {newest}" if newest else "There is none"
        fix = "The tracker makes one a day while it runs; 'python -m avatarkit backup' makes one."
        yield Check("backups", Outcome.WARNING, f"{last}; one is due.", fix)
    else:
        found = backup.backups(file)
        sentence = f"{len(found)} in {backup.folder_of(file)}, the newest of the last day."
        yield Check("backups", Outcome.OK, sentence)


def _tracked(
    settings: Settings, clock: Clock, account: str | None
) -> tuple[Sequence[Any], int, int]:
    """Return the leases, how many avatars are still to be polled, and the moment for the leases.

    Raises:
        StoreError: The database does not work.
    """
    engine, now_us = database.make_engine(settings.store_url), tables.to_us(clock.now())
    file = sqlite_file.path_of(engine.url)
    if file is not None and not file.exists():
        return [], 0, now_us
    columns = tables.leases.c
    names = ("name", "process", "renewed_us", "expires_us")
    leases = sa.select(*(columns[name] for name in names))
    personas = sa.select(sa.func.count()).where(tables.personas.c.next_look_us.is_not(None))
    if account is not None:
        leases = leases.where(columns.account == account)
        personas = personas.where(tables.personas.c.account == account)
    with _connect(engine) as connection:
        present = sa.inspect(connection).get_table_names()
        found = connection.execute(leases).all() if tables.leases.name in present else []
        left = connection.scalar(personas) if tables.personas.name in present else 0
        if engine.dialect.name == "postgresql":  # whose own clock is that of its leases
            now_us = round(float(connection.scalar(sa.text(_SERVER_S)) or 0) * 1e6)
        return found, left or 0, now_us


def _missing(file: Path, settings: Settings) -> Check:
    if backup.backups(file):
        sentence = f"{file} is missing, and there are backups."
        return Check("database", Outcome.WARNING, sentence, f"{_how_to_restore(file)}.")
    fault = _fault_of_new(file.parent)
    if not (file.parent.exists() or file.parent == settings.folder.absolute()):
        fault = f"there is no folder {file.parent}"  # only the data folder is created
    if fault:
        fix = "Set AVATARKIT_DATA_DIR or AVATARKIT_DATABASE_URL to another place."
        sentence = f"{file} is not there, and cannot be created: {fault}."
        return Check("database", Outcome.WRONG, sentence, fix)
    return Check("database", Outcome.OK, f"None yet; the first start creates {file}.")


def _how_to_restore(file: Path) -> str:
    how = backup.how_to_restore(file)
    return how[0].upper() + how[1:]


def _fault_of_new(folder: Path) -> str:
    """Return why a file cannot be created in a folder that may have to be created too."""
    parent = _nearest(folder)
    if not parent.is_dir():
        return f"{parent} is no folder"
    return "" if os.access(parent, os.W_OK | os.X_OK) else f"you may not write to {parent}"


def _nearest(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents) if os.path.lexists(path))


@contextmanager
def _connect(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a connection that creates and upgrades nothing.

    Raises:
        StoreError: The database cannot be opened, or a statement in the block fails.
    """
    file, shown = sqlite_file.path_of(engine.url), database.shown_url(engine.url)
    if file is not None:
        # The engine of the store would switch any SQLite file to a write-ahead log.
        engine = sa.create_engine(
            "sqlite://", creator=lambda: backup.connect(file), poolclass=sa.NullPool
        )
    elif engine.dialect.name == "postgresql":
        options = {"connect_timeout": str(CONNECT_S), **engine.url.query}
        engine = database.make_engine(engine.url.set(query=options))
    try:
        with engine.connect() as connection:
            yield connection
    except (sa.exc.SQLAlchemyError, UnicodeError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0].rstrip(".")
        way_out = sqlite_file.way_out(error, file) if file else _way_out_of_server(error)
        raise StoreError(f"{shown} does not work ({reason}); {way_out}.") from None
    finally:
        engine.dispose()


def _way_out_of_server(error: Exception) -> str:
    if isinstance(error, sa.exc.OperationalError):
        return (
            "check that it runs, and host, port, name, user and password in AVATARKIT_DATABASE_URL"
        )
    return "give its user the right to read, write and create its tables"


def _opened(connection: sa.Connection, settings: Settings, clock: Clock, shown: str) -> Check:
    is_sqlite = connection.dialect.name == "sqlite"
    begun_s = clock.monotonic()
    connection.execute(sa.select(1))
    took_s = clock.monotonic() - begun_s
    if is_sqlite:
        problem = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
        if problem != "ok":
            file = Path(str(connection.exec_driver_sql("PRAGMA database_list").one()[2]))
            sentence = f"{shown} is damaged ({problem.splitlines()[-1]})."
            fix = f"Stop all programs that use it, and {backup.how_to_restore(file)}."
            return Check("database", Outcome.WRONG, sentence, fix)
    kept = _content(connection)
    if isinstance(kept, str):
        return Check("database", Outcome.WRONG, f"{shown} {kept}")
    if kind := _other_kind(settings, kept.get("kind")):
        sentence = f"{shown} holds {kept['kind']} data, which {kind} data must not join."
        fix = "Set AVATARKIT_DATABASE_URL to another database."
        return Check("database", Outcome.WRONG, sentence, fix)
    version = kept.get("schema_version", "")
    is_newer = version.isdecimal() and int(version) > tables.SCHEMA_VERSION
    if is_newer:
        sentence = f"{shown} was made by a newer avatarkit (schema {version})."
        return Check("database", Outcome.WRONG, sentence, "Update avatarkit.")
    sentence = f"{shown} {'is whole and writable' if kept else 'opens'}: {_size(connection)}"
    if not is_sqlite:
        server = ".".join(map(str, connection.dialect.server_version_info or ()))
        sentence += f", PostgreSQL {server}, {took_s * 1000:.0f} ms away"
    if not kept:
        sentence += "; the first start creates its tables"
    elif version != str(tables.SCHEMA_VERSION):
        sentence += f"; the next start upgrades its tables (schema {version or 'unknown'})"
    if took_s > SLOW_S and not is_sqlite:
        fix = "Take a database near this machine, as each page asks it several times."
        return Check("database", Outcome.WARNING, f"{sentence}.", fix)
    return Check("database", Outcome.OK, f"{sentence}.")


def _content(connection: sa.Connection) -> dict[str, str] | str:
    """Write a row and take it back.

    Returns:
        The rows of ``meta``, empty if there are no tables yet; or the end of a sentence about what
        is wrong.
    """
    if not sa.inspect(connection).has_table(tables.meta.name):
        if connection.dialect.name == "postgresql" and not connection.scalar(
            sa.text("SELECT has_schema_privilege(current_schema(), 'CREATE')")
        ):
            return (
                "has no tables, and its user may not create any: run GRANT CREATE, USAGE ON SCHEMA "
                "public TO that user, or make it the owner of the database."
            )
        return {}
    rows = {row.key: row.value for row in connection.execute(sa.select(tables.meta))}
    connection.rollback()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    connection.execute(tables.meta.insert().values(key="doctor", value=""))
    connection.rollback()
    return rows


def _other_kind(settings: Settings, kind: str | None) -> str:
    """Return the kind of data of these settings if the database is for the other kind."""
    if kind is None or (not settings.is_sandbox and is_loopback(settings.base_url)):
        return ""  # what answers at a loopback address says which it is
    own = "sandbox" if settings.is_sandbox else "live"
    return own if own != kind else ""


def _size(connection: sa.Connection) -> str:
    if connection.dialect.name == "sqlite":
        query = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    else:
        query = "SELECT pg_database_size(current_database())"
    return f"{float(connection.scalar(sa.text(query)) or 0) / 1e6:,.1f} MB"


def _file_system(path: Path) -> str:
    """Return the type of the file system of a path, which need not be there yet."""
    mounted = {
        Path(each.mountpoint): each.fstype.lower() for each in psutil.disk_partitions(all=True)
    }
    resolved = path.resolve()
    return next((mounted[each] for each in resolved.parents if each in mounted), "")


def _size_of_uploads(folder: Path) -> int:
    size = 0
    for path in (path for name in _UPLOADS for path in (folder / name).rglob("*")):
        with suppress(FileNotFoundError):  # it was sent meanwhile
            size += path.stat().st_size
    return size
