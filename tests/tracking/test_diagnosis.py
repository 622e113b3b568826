"""What ``doctor`` says of a good installation, and of broken ones; all of it on real things."""

from __future__ import annotations

import http.server
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from avatarkit import PersonaCreate, Sandbox, Store, open_session
from avatarkit.cli import commands
from avatarkit.clock import SystemClock
from avatarkit.store import tables
from avatarkit.tracking.diagnosis import Check, Outcome, diagnose, machine, storage
from avatarkit.tracking.diagnosis.check import run as run_probes

KEY = "key-of-the-account-0123456789"
QUOTA = b'{"max_count": 100, "current_count": 3}'

Serve = Callable[..., str]


def doctor(*options: str) -> Result:
    return CliRunner().invoke(commands.app, ["doctor", *options])


def found(name: str) -> list[Check]:
    return [check for check in diagnose() if check.name == name]


def one(name: str) -> Check:
    (check,) = found(name)
    return check


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Yield a function that serves one answer to every GET on loopback; it returns the URL."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def serve(
        body: bytes = QUOTA, *, status: int = 200, type_: str = "application/json", **headers: str
    ) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response_only(404 if "_sandbox" in self.path else status)
                fields = {"Date": format_datetime(datetime.now(UTC), usegmt=True)}  # noqa: TID251
                for field, value in (fields | headers).items():
                    self.send_header(field, value)
                self.send_header("Content-Type", type_)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that sets keys of an account at a URL."""

    def live(url: str) -> None:
        monkeypatch.setenv("AVATARKIT_BASE_URL", url)
        monkeypatch.setenv("AVATARKIT_API_ID", "id-of-the-account")
        monkeypatch.setenv("AVATARKIT_API_KEY", KEY)

    return live


def opened() -> Path:
    """Open and close a session, so that there is a database with a backup; return its folder."""
    with open_session() as session:
        session.tracker.ask_quota()
        session.store.back_up(SystemClock().now())
        return session.settings.folder


class TestGood:
    def test_everything_is_ok_and_nothing_changes(
        self, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
    ) -> None:
        """With keys that work every line is ok, the exit code 0, and no file is another."""
        monkeypatch.setenv("AVATARKIT_BASE_URL", sandbox.url)
        monkeypatch.setenv("AVATARKIT_API_ID", sandbox.api_id)
        monkeypatch.setenv("AVATARKIT_API_KEY", sandbox.api_key)
        folder = opened()

        def contents() -> dict[Path, bytes]:
            return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

        before = contents()
        result = doctor()
        assert result.exit_code == 0, result.output
        assert {line.split()[0] for line in result.stdout.splitlines()} == {"ok"}
        names = {line.split()[1] for line in result.stdout.splitlines()}
        parts = {"settings", "host", "keys", "clock", "database", "tracker", "disk", "backups"}
        assert names == parts | {"versions"}
        assert sandbox.api_key not in result.output
        assert contents() == before

    def test_nothing_is_created(self) -> None:
        """Without keys and data it says what the first start creates, and creates nothing."""
        result = doctor("--json")
        assert result.exit_code == 0
        checks = [json.loads(line) for line in result.stdout.splitlines()]
        assert {check["outcome"] for check in checks} == {"ok"}
        assert "sandbox" in next(check for check in checks if check["name"] == "keys")["sentence"]
        assert not Path(os.environ["AVATARKIT_DATA_DIR"]).exists()

    def test_a_live_host(self, serve: Serve, live: Callable[[str], None]) -> None:
        """A host that is no sandbox is named with how long it took, and its clock is compared."""
        live(serve())
        assert "answers in" in one("host").sentence
        assert one("keys").sentence.endswith("3 of 100.")
        assert one("clock").outcome is Outcome.OK


class TestBroken:
    def test_refused_keys(self, sandbox: Sandbox, live: Callable[[str], None]) -> None:
        """Keys that are not accepted are wrong; the host and the database are not."""
        live(sandbox.url)
        result = doctor()
        assert result.exit_code == 1
        assert "WRONG    keys       The API did not accept the API id and key" in result.stdout
        assert "ok       host" in result.stdout
        assert "ok       database" in result.stdout
        assert KEY not in result.output

    @pytest.mark.parametrize("status", [200, 403, 404, 511])
    def test_login_page_of_a_network(
        self, serve: Serve, live: Callable[[str], None], status: int
    ) -> None:
        """HTML in place of the API's answer is the host's fault, and says nothing of the keys."""
        page = b"<html><title>Welcome to the hotel</title></html>"
        live(serve(page, status=status, type_="text/html"))
        assert one("host").outcome is Outcome.WRONG
        assert one("keys").outcome is Outcome.WARNING
        assert status == 511 or "login page" in one("host").fix

    def test_nothing_listens(self, live: Callable[[str], None]) -> None:
        """A host that cannot be reached is named with the reason."""
        live("http://127.0.0.1:9")
        assert "No server listens at 127.0.0.1:9" in one("host").sentence
        assert one("clock").outcome is Outcome.WARNING

    def test_rate_limit_is_a_warning(self, serve: Serve, live: Callable[[str], None]) -> None:
        """An API that asks to wait says nothing of the keys."""
        live(serve(b'{"detail": "slow down"}', status=429, **{"Retry-After": "60"}))
        assert one("keys").outcome is Outcome.WARNING
        assert one("host").outcome is Outcome.OK

    @pytest.mark.parametrize(("days", "way"), [(2, "behind"), (-2, "ahead of")])
    def test_clock_two_days_off(
        self, serve: Serve, live: Callable[[str], None], days: int, way: str
    ) -> None:
        """The clock is compared with the ``Date`` of the API's answer."""
        then = datetime.now(UTC) + timedelta(days=days)  # noqa: TID251 - it is the machine's
        live(serve(Date=format_datetime(then, usegmt=True)))
        result = doctor()
        assert result.exit_code == 1
        assert f"WRONG    clock      This machine's clock is 2 d {way} the API's" in result.stdout

    def test_damaged_database(self, serve: Serve, live: Callable[[str], None]) -> None:
        """A file that is no database is wrong; the keys are tried all the same."""
        live(serve())
        folder = opened()
        (folder / "avatarkit.db").write_bytes(b"not a database" * 1000)
        assert one("database").outcome is Outcome.WRONG
        assert "copy the newest backup" in one("database").sentence
        assert one("keys").outcome is Outcome.OK
        assert one("tracker").sentence == "Not known, as the database does not work."

    def test_damaged_page(self, serve: Serve, live: Callable[[str], None]) -> None:
        """A page that is overwritten within a database that opens is found."""
        live(serve())
        path = opened() / "avatarkit.db"
        with path.open("r+b") as file:
            file.seek(8 * 4096)
            file.write(b"\xff" * 4096 * 4)
        assert one("database").outcome is Outcome.WRONG

    def test_folder_in_place_of_the_database(self, live: Callable[[str], None]) -> None:
        """A folder of the database's name is wrong."""
        live("http://127.0.0.1:9")
        path = Path(os.environ["AVATARKIT_DATA_DIR"]) / "live" / "avatarkit.db"
        path.mkdir(parents=True)
        assert one("database").outcome is Outcome.WRONG

    def test_file_in_place_of_the_data_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A data folder that cannot be created is wrong for disk and database."""
        monkeypatch.setenv("AVATARKIT_DATA_DIR", __file__)
        for name in ("disk", "database"):
            assert one(name).outcome is Outcome.WRONG
            assert f"{__file__} is no folder" in one(name).sentence

    def test_full_disk(self) -> None:
        """A folder that takes no file is wrong; here a limit of the process stands for its disk."""
        resource = pytest.importorskip("resource")
        opened()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (storage.TRIAL_BYTES // 2, limits[1]))
        try:
            checks = found("disk")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert checks[0].outcome is Outcome.WRONG
        assert "cannot be written (File too large)" in checks[0].sentence

    @pytest.mark.parametrize("is_new", [True, False])
    def test_little_room(self, monkeypatch: pytest.MonkeyPatch, is_new: bool) -> None:
        """A disk on which no upload fits is wrong, also before the first start."""
        if not is_new:
            opened()
        monkeypatch.setattr(storage, "ENOUGH_BYTES", 10**18)
        assert found("disk")[0].outcome is Outcome.WARNING
        monkeypatch.setattr(storage, "LEAST_BYTES", 10**18)
        assert found("disk")[0].outcome is Outcome.WRONG

    def test_postgres_is_down(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A database server that is not there is named without its password."""
        url = "postgresql+psycopg://user:secret-word@127.0.0.1:9/avatarkit?password=other-word"
        monkeypatch.setenv("AVATARKIT_DATABASE_URL", url)
        result = doctor()
        assert result.exit_code == 1
        assert "WRONG    database   postgresql+psycopg://user:***@127.0.0.1:9" in result.stdout
        assert "refused" in result.stdout
        assert "-word" not in result.output
        assert "ok       disk" in result.stdout

    @pytest.mark.parametrize("url", ["no url", "mysql://host/x", "sqlite:////nowhere/at/all.db"])
    def test_wrong_database_url(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        """A URL of no database that can be used is wrong, also if its folder is not there."""
        monkeypatch.setenv("AVATARKIT_DATABASE_URL", url)
        assert one("database").outcome is Outcome.WRONG
        assert one("versions").outcome is Outcome.OK

    def test_newer_schema(self) -> None:
        """A database of a newer avatarkit is wrong, and stays as it is."""
        folder = opened()
        engine = sa.create_engine(f"sqlite:///{folder / 'avatarkit.db'}")
        with engine.begin() as connection:
            connection.execute(tables.meta.update().values(value="99").where(
                tables.meta.c.key == "schema_version"))  # fmt: skip
        engine.dispose()
        assert "made by a newer avatarkit (schema 99)" in one("database").sentence

    def test_data_of_the_other_kind(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A database of the sandbox is wrong for the live account; the API is not asked."""
        with open_session() as session:
            session.tracker.submit(PersonaCreate(creator_name="Ada", gender="f"))
            url = session.settings.store_url
        monkeypatch.setenv("AVATARKIT_DATABASE_URL", url)
        # One key alone is wrong, so nothing is called; the database is checked as a live one's.
        monkeypatch.setenv("AVATARKIT_API_ID", "alone")
        assert one("settings").outcome is Outcome.WRONG
        assert "holds sandbox data" in one("database").sentence
        assert not found("host")

    def test_addresses_of_messages(
        self, monkeypatch: pytest.MonkeyPatch, serve: Serve, live: Callable[[str], None]
    ) -> None:
        """An address that is none is named by its number, and none is shown or sent to."""
        live(serve())
        urls = "nosuch://secret-word, mailto://secret-word, json://127.0.0.1:9/secret-word"
        monkeypatch.setenv("AVATARKIT_NOTIFY", urls)
        result = doctor()
        assert result.exit_code == 1
        lines = [line for line in result.stdout.splitlines() if " messages " in line]
        assert [line.split()[0] for line in lines] == ["WRONG", "WRONG", "ok"]
        assert "address 1 (nosuch)" in lines[0]
        assert lines[2].endswith("Address 3 (json) can be used.")
        sent = [line for line in doctor("--send-test").stdout.splitlines() if "3 (json)" in line]
        assert sent[0].startswith("WRONG    messages   Address 3 (json) did not take a test")
        assert "secret-word" not in result.output + str(sent)

    def test_wrong_setting_hides_no_other_check(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A setting that does not fit is named, and the rest is checked with its default."""
        monkeypatch.setenv("AVATARKIT_BACKUPS", "many")
        assert "set AVATARKIT_BACKUPS to another value" in one("settings").sentence
        assert one("disk").outcome is Outcome.OK

    def test_unreadable_settings(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A file of settings that is no TOML is named; what needs no settings is checked."""
        path = tmp_path / "secrets.toml"
        path.write_text("AVATARKIT_API_ID = ")
        monkeypatch.setenv("AVATARKIT_ENV_FILE", str(path))
        assert [check.name for check in diagnose()] == ["settings", "versions"]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such permissions")
class TestWarnings:
    def test_open_file_of_secrets(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A file with keys that other users can read is a warning, which is no failure."""
        path = tmp_path / ".env"
        path.write_text(f"AVATARKIT_BACKUPS=3\nAVATARKIT_KEY={KEY}\n")
        path.chmod(0o644)
        monkeypatch.setenv("AVATARKIT_ENV_FILE", str(path))
        result = doctor()
        assert result.exit_code == 0
        assert f"warning  secrets    Other users of this machine can read {path}." in result.stdout
        assert "warning  settings   AVATARKIT_KEY in" in result.stdout
        assert KEY not in result.output
        path.chmod(0o600)
        assert one("secrets").outcome is Outcome.OK

    def test_open_data_folder_and_no_backup(self) -> None:
        """A data folder that others can read, and a database without a backup, are warnings."""
        with open_session() as session:
            folder = session.settings.folder
        folder.chmod(0o755)
        assert [check.outcome for check in found("disk")] == [Outcome.OK, Outcome.WARNING]
        assert one("backups").outcome is Outcome.WARNING

    def test_network_file_system(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A database on a network file system is a warning."""
        opened()
        monkeypatch.setattr(storage, "_file_system", lambda _: "nfs4")
        assert [check.outcome for check in found("database")] == [Outcome.OK, Outcome.WARNING]

    @pytest.mark.parametrize(("url", "outcome"), [
        ("https://hooks.example.com", Outcome.OK), ("http://hooks.example.com", Outcome.WARNING),
    ])  # fmt: skip
    def test_public_url(self, url: str, outcome: Outcome) -> None:
        """A public URL that is not encrypted is a warning, as the token of webhooks lies in it."""
        (check,) = machine.check_public_url(SimpleNamespace(public_url=url))
        assert check.outcome is outcome
        assert not list(machine.check_public_url(SimpleNamespace(public_url=None)))

    def test_tracker(self) -> None:
        """The holder of the lease is named; without one, avatars in flight are a warning."""
        with open_session() as session:
            session.tracker.submit(PersonaCreate(creator_name="Ada", gender="f"))
            account, url = session.client.account, session.settings.store_url
        assert one("tracker").sentence == "None runs, and 1 avatar is still to be polled."
        now_us = tables.to_us(SystemClock().now())
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            lease = {"account": account, "owner": "x", "name": "server-2", "taken_us": now_us}
            lease |= {"process": "server-2|1|1"}
            lease |= {"renewed_us": now_us - 14_000_000, "expires_us": now_us + 60_000_000}
            connection.execute(tables.leases.insert().values(lease))
        engine.dispose()
        assert one("tracker").sentence.startswith("server-2 tracks, seen 1")

    @pytest.mark.parametrize(
        "values",
        [
            {"process": f"{socket.gethostname()}|4000000|1"},
            {"expires_us": tables.to_us(SystemClock().now() + timedelta(days=9))},
        ],
        ids=["ended", "expires far ahead"],
    )
    def test_a_lease_that_other_trackers_may_take(self, values: dict[str, Any]) -> None:
        """One whose process has ended here, or that a wrong clock wrote, is no running tracker."""
        now_us = tables.to_us(SystemClock().now())
        with open_session() as session:
            lease = {"account": session.client.account, "owner": "x", "name": "server-2"}
            lease |= {"process": "server-2|1|1", "taken_us": now_us, "renewed_us": now_us}
            lease |= {"expires_us": now_us + 60_000_000, **values}
            with session.store.transaction() as connection:
                connection.execute(tables.leases.insert().values(lease))
            lease_now = session.tracker.lease.read()
            assert lease_now is not None
            assert lease_now.is_free
        assert one("tracker").sentence == "None runs, and no avatar is to be polled."


class TestPostgres:
    def test_empty_whole_and_not_permitted(
        self, monkeypatch: pytest.MonkeyPatch, postgres: str
    ) -> None:
        """A PostgreSQL is found empty, then writable; a user who may create nothing is told so."""
        monkeypatch.setenv("AVATARKIT_DATABASE_URL", postgres)
        assert "the first start creates its tables" in one("database").sentence
        engine = sa.create_engine(postgres)
        with engine.begin() as connection:
            assert not sa.inspect(connection).get_table_names()
            connection.exec_driver_sql("DROP USER IF EXISTS reader")
            connection.exec_driver_sql("CREATE USER reader PASSWORD 'secret-word'")
            connection.exec_driver_sql("GRANT USAGE ON SCHEMA public TO reader")
        reader = engine.url.set(username="reader", password="secret-word")  # noqa: S106 - a test's
        monkeypatch.setenv("AVATARKIT_DATABASE_URL", reader.render_as_string(hide_password=False))
        assert "its user may not create any" in one("database").sentence
        monkeypatch.setenv("AVATARKIT_DATABASE_URL", postgres)
        Store(postgres).close()
        assert "is whole and writable" in one("database").sentence
        assert one("tracker").outcome is Outcome.OK
        now_us = tables.to_us(SystemClock().now())
        with engine.begin() as connection:
            lease = {"account": "a", "owner": "x", "name": "server-2", "taken_us": now_us}
            lease |= {"process": "server-2|1|1"}
            lease |= {"renewed_us": now_us, "expires_us": now_us + 60_000_000}
            connection.execute(tables.leases.insert().values(lease))
        assert one("tracker").sentence.startswith("server-2 tracks, seen ")
        with engine.begin() as connection:
            keys = connection.scalars(sa.select(tables.meta.c.key)).all()
            connection.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
        assert "doctor" not in keys
        monkeypatch.setenv("AVATARKIT_DATABASE_URL", reader.render_as_string(hide_password=False))
        assert "permission denied" in one("database").sentence
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP OWNED BY reader")
            connection.exec_driver_sql("DROP USER reader")
        engine.dispose()


def test_a_check_that_hangs_or_fails_hides_no_other() -> None:
    """What hangs is reported at the deadline, what fails by its type, and the rest as it is."""
    release = threading.Event()

    def hangs() -> Iterator[Check]:
        yield Check("slow", Outcome.OK, "The first part.")
        release.wait()

    def fails() -> Iterator[Check]:
        raise ZeroDivisionError("with a secret-word")
        yield

    def works() -> Iterator[Check]:
        yield Check("good", Outcome.OK, "Fine.")

    probes = {"slow": hangs, "bad": fails, "good": works}
    checks = run_probes(probes, clock=SystemClock(), deadline_s=0.2)
    release.set()
    assert [(check.name, check.outcome) for check in checks] == [
        ("slow", "ok"), ("slow", "wrong"), ("bad", "wrong"), ("good", "ok"),
    ]  # fmt: skip
    assert "secret-word" not in str(checks)
