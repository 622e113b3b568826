"""What ``track`` prints and writes down while it runs."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from avatarkit import Change, PersonaCreate, Session, Settings, errors, open_session
from avatarkit.api import redaction
from avatarkit.api.redaction import redact_logs
from avatarkit.cli import commands, log_file
from avatarkit.cli.log_file import log_to_file
from avatarkit.cli.track_output import JSONLines, Lines
from support.manual_clock import MONDAY, ManualClock
from support.project import ROOT

KEY = "key-canary-123456"
NAME = "Ada [bold]李[/] \x1b[31m"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(commands.app, [str(argument) for argument in arguments])


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of an avatar with a name that could drive a terminal; it ends within seconds."""
    monkeypatch.setenv("AVATARKIT_SANDBOX_SPEED", "100000")
    with open_session() as session:
        request = PersonaCreate(creator_name=NAME, gender="f", labels=["sandbox:failed"])
        return session.tracker.submit(request).id


class TestJSON:
    def test_each_change_is_an_object_on_a_line(self, submitted: str) -> None:
        """The whole of standard output is JSON lines, with every text as the API has it."""
        tracked = run("track", "--until-done", "--json")
        assert tracked.exit_code == 0, tracked.output
        lines = [json.loads(line) for line in tracked.stdout.splitlines()]
        assert {line["persona_id"] for line in lines} == {submitted}
        assert {line["creator_name"] for line in lines} == {NAME}
        assert [line["before"] for line in lines[1:]] == [line["after"] for line in lines[:-1]]
        assert lines[-1]["after"] == "failed"
        assert lines[-1]["failed_reason"]
        assert set(lines[-1]) == {
            "persona_id", "creator_name", "before", "after", "at", "failed_reason",
        }  # fmt: skip
        assert tracked.stdout.isascii()
        assert "\x1b" not in tracked.stdout

    def test_an_error_is_an_object_too(
        self, submitted: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It has the sentence and its time, and is not printed on standard error as well."""

        def refuse(*_: object, **__: object) -> None:
            raise errors.AuthError("It refused the keys.", method="GET", url="", status_code=401)

        monkeypatch.setattr("avatarkit.api.client.Client.get_persona", refuse)
        tracked = run("track", "--once", "--json")
        assert tracked.exit_code == 1
        (line,) = map(json.loads, tracked.stdout.splitlines())
        assert line["error"].startswith("The API refuses the keys (401)")
        assert re.fullmatch(r"20\d\d-.*\+00:00", line["at"])
        assert "refuses" not in tracked.stderr

    def test_times_are_iso_utc(
        self, manual_clock: ManualClock, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A change at a whole second has its zone, as every other."""
        with JSONLines(manual_clock) as output:
            output.change(Change("p1", None, None, "pending", MONDAY))
        assert json.loads(capsys.readouterr().out)["at"] == "2026-01-05T09:00:00+00:00"


class TestLines:
    def test_a_pipe_gets_plain_lines(self, submitted: str) -> None:
        """Without a terminal there is no live status and no escape sequence."""
        tracked = run("track", "--until-done")
        assert "-> failed (" in tracked.stdout
        assert "in flight" not in tracked.output
        assert "\x1b" not in tracked.output
        assert "Ada [bold]李[/] \ufffd[31m" in tracked.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals.")
class TestATerminal:
    @staticmethod
    def read_all(descriptor: int) -> Iterator[bytes]:
        try:
            while part := os.read(descriptor, 65_536):
                yield part
        except OSError as error:  # so Linux tells of the end
            if error.errno != errno.EIO:
                raise

    def test_the_state_is_shown_below_the_changes(self, submitted: str) -> None:
        """In a terminal each change is a line, and the state is redrawn below, then cleared."""
        import pty

        ours, theirs = pty.openpty()
        environment = {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "60", "LINES": "9"}
        with subprocess.Popen(
            [sys.executable, "-m", "avatarkit", "track", "--until-done"],
            env=os.environ | environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ) as process:
            os.close(theirs)
            shown = b"".join(self.read_all(ours)).decode()
        os.close(ours)
        assert process.returncode == 0, shown
        assert re.search(r"\d\d:\d\d:\d\dZ  1 in flight · [01] due", shown), shown
        changes = [line for line in shown.split("\r\n") if " -> " in line]
        assert f"{submitted}  Ada [bold]李[/] \ufffd[31m" in changes[-1]
        assert "-> failed (" in changes[-1]
        # The last thing is that the state is erased.
        assert shown.rstrip().endswith("\x1b[2K")


class TestALogFile:
    @pytest.fixture(autouse=True)
    def _no_other_keys(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Forget the keys of other tests, which may be short enough to occur in a text."""
        monkeypatch.setattr(redaction, "_keys", set())

    def test_it_has_changes_and_errors_and_no_key(
        self, submitted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every change is in the file, which only its owner can read; more at a lower level."""
        path = tmp_path / "track.log"
        path.touch(0o644)
        tracked = run("track", "--until-done", "--log-file", path, "--log-level", "DEBUG")
        assert tracked.exit_code == 0, tracked.output
        text = path.read_text(encoding="utf-8")
        assert re.search(rf"^20\d\d-\S+ \S+Z INFO {submitted}: \w+ -> failed$", text, re.MULTILINE)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with open_session() as session:
            assert session.sandbox is not None
            assert session.sandbox.api_key not in text

    def test_the_setting_names_it(
        self, submitted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """AVATARKIT_LOG_FILE and AVATARKIT_LOG_LEVEL serve as the options do."""
        monkeypatch.setenv("AVATARKIT_LOG_FILE", str(tmp_path / "track.log"))
        monkeypatch.setenv("AVATARKIT_LOG_LEVEL", "warning")
        assert run("track", "--until-done").exit_code == 0
        assert (tmp_path / "track.log").read_text() == ""

    def test_keys_in_messages_and_exceptions_are_redacted(
        self, tmp_path: Path, manual_clock: ManualClock
    ) -> None:
        """No key gets into the file, through no part of a record, nor an escape sequence."""
        path, logger = tmp_path / "track.log", logging.getLogger("avatarkit")
        redact_logs(KEY, "https://api.example.com")
        with log_to_file(path, "info", manual_clock, on_error=pytest.fail):
            logger.warning("The key is %s. \x1b[31m", KEY)
            try:
                raise ValueError(KEY)
            except ValueError:
                logger.exception("It failed.")
        text = path.read_text(encoding="utf-8")
        assert text.startswith("2026-01-05 09:00:00Z WARNING The key is [key]. \ufffd[31m\n")
        assert "ValueError: [key]" in text
        assert KEY not in text

    def test_it_is_rotated(
        self, tmp_path: Path, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A few older files are kept beside it, all of them private."""
        monkeypatch.setattr(log_file, "MAX_BYTES", 100)
        monkeypatch.setattr(log_file, "KEPT", 2)
        logger = logging.getLogger("avatarkit")
        with log_to_file(tmp_path / "track.log", "info", manual_clock, on_error=pytest.fail):
            for number in range(20):
                logger.info("Record %d with some text to fill the file.", number)
        files = sorted(tmp_path.glob("track.log*"))
        assert [file.name for file in files] == ["track.log", "track.log.1", "track.log.2"]
        assert "Record 19 " in files[0].read_text()
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}

    def test_logging_is_as_before_afterwards(
        self, tmp_path: Path, manual_clock: ManualClock
    ) -> None:
        """Handler and level are taken back."""
        logger = logging.getLogger("avatarkit")
        before = (logger.level, list(logger.handlers))
        with log_to_file(tmp_path / "track.log", "debug", manual_clock, on_error=pytest.fail):
            assert logger.level == logging.DEBUG
        assert (logger.level, logger.handlers) == before

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (("--log-file", "no/folder/track.log"), "cannot be opened (No such file or directory)"),
            (("--log-file", "."), "cannot be opened (Is a directory)"),
            (("--log-level", "loud"), "log_level input should be 'debug', 'info'"),
        ],
    )
    def test_one_that_cannot_be_opened_is_a_sentence(
        self, options: tuple[str, ...], sentence: str
    ) -> None:
        """A wrong path or level ends the command before anything is polled."""
        tracked = run("track", "--once", *options)
        assert tracked.exit_code == 1
        assert sentence in tracked.stderr
        assert "Traceback" not in tracked.output

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="No device that is always full.")
    def test_a_full_disk_is_said_once(self, manual_clock: ManualClock) -> None:
        """Tracking goes on without the log file, and without a traceback."""
        said: list[str] = []
        logger = logging.getLogger("avatarkit")
        with log_to_file(Path("/dev/full"), "info", manual_clock, on_error=said.append):
            logger.warning("First.")
            logger.warning("Second.")
        assert len(said) == 1
        assert "The log file /dev/full cannot be written" in said[0]

    def test_errors_of_polls_are_logged(
        self, tmp_path: Path, manual_clock: ManualClock, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What is printed on standard error is in the file, too."""
        path = tmp_path / "track.log"
        with log_to_file(path, "info", manual_clock, on_error=pytest.fail), Lines() as output:
            output.error("The API does not answer.")
        assert path.read_text().endswith("WARNING The API does not answer.\n")
        assert capsys.readouterr().err == "The API does not answer.\n"
        assert output.errors == ["The API does not answer."]


class TestStandby:
    @pytest.fixture(autouse=True)
    def _tracked(self, submitted: str) -> Iterator[None]:
        """Another tracker, as of another process, holds the lease of the account."""
        with Session(Settings()) as session:
            session.tracker.lease.name = "server-2 (app)\x1b[31m"
            assert session.tracker.lease.keep()
            yield

    def test_a_pass_of_cron_ends_fine(self) -> None:
        """It says who tracks, as a line that drives no terminal; nothing is called."""
        tracked = run("track", "--once")
        assert tracked.exit_code == 0, tracked.output
        assert not tracked.stdout
        assert "tracked by server-2 (app)" in tracked.stderr
        assert "\x1b" not in tracked.stderr

    def test_it_is_an_object_in_json(self) -> None:
        """The notice is an object of its own, with its time."""
        tracked = run("track", "--once", "--json")
        (line,) = map(json.loads, tracked.stdout.splitlines())
        assert "stands by" in line["notice"]
        assert re.fullmatch(r"20\d\d-.*\+00:00", line["at"])
