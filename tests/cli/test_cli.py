"""The command line, run for real against the sandbox in the data folder."""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from avatarkit import Persona, PersonaCreate, Sandbox, Settings, Store, errors, open_session
from avatarkit.cli import commands
from avatarkit.clock import SystemClock
from avatarkit.store import database
from avatarkit.tracking import tracker


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(commands.app, [str(one) for one in arguments])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox in which a life takes seconds."""
    monkeypatch.setenv("AVATARKIT_SANDBOX_SPEED", "100000")


@pytest.mark.usefixtures("quick")
class TestTheWholeStory:
    def test_submit_track_status_export(self, talking_head: Path, tmp_path: Path) -> None:
        """A video is submitted, tracked to its end, listed, and exported as CSV."""
        sent = run(
            "submit", "Ada", "--gender", "f", "--lipsync-input", talking_head,
            "--label", "sandbox:done", "--label", "x",
        )  # fmt: skip
        assert sent.exit_code == 0, sent.output
        persona_id = sent.stdout.strip()

        tracked = run("track", "--until-done")
        assert tracked.exit_code == 0, tracked.output
        assert f"{persona_id}  Ada" in tracked.stdout
        assert "-> done" in tracked.stdout

        listed = run("status")
        assert "sandbox account" in listed.stdout
        assert persona_id in listed.stdout
        history = run("status", persona_id)
        assert "pending" in history.stdout
        assert "done" in history.stdout

        exported = run("export")
        frame = pd.read_csv(io.StringIO(exported.stdout))
        assert list(frame["persona_id"]) == [persona_id]
        assert list(frame["status"]) == ["done"]
        assert json.loads(frame["labels"][0]) == ["sandbox:done", "x"]
        for table in ("stage-times", "percentiles", "sightings", "submissions"):
            path = tmp_path / f"{table}.csv"
            assert run("export", table, "--output", path).exit_code == 0
            assert len(pd.read_csv(path)) >= 1

        for table in ("statuses", "stage-times", "sightings", "submissions"):
            printed = run("export", table, "--for-spreadsheets").stdout_bytes
            assert printed.startswith(b"\xef\xbb\xbf")
            frame = pd.read_csv(io.BytesIO(printed))
            assert set(frame["creator_name"]) == {"Ada"}
            assert set(frame["end"]) == {"done"}
            assert frame["end_seen_at (UTC)"].str.fullmatch(r"[-0-9]{10} [:0-9]{8}").all()

    def test_fields_of_another_type_are_named(self) -> None:
        """The status of one avatar names the fields of its answers that are not as documented."""
        answer = {"id": "a", "process_status": "failed", "failed_reason": {"code": 7}}
        with open_session() as session:
            now = session.clock.now()
            persona = Persona.model_validate(answer)
            session.store.record(persona, asked_at=now, answered_at=now, source="list")
        assert '{"code": 7}' in run("status").stdout
        assert "kept as they came: failed_reason" in run("status", "a").stdout

    def test_when_each_is_ready(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """The table has a range for what runs, and the CSV says what it rests on."""
        monkeypatch.setenv("AVATARKIT_SANDBOX_SPEED", "1")
        assert run("submit", "Ada", "--gender", "f", "--force").exit_code == 0
        listed = run("status")
        assert "ready" in listed.stdout
        assert " to " in listed.stdout
        path = tmp_path / "arrivals.csv"
        assert run("export", "arrivals", "--output", path).exit_code == 0
        assert pd.read_csv(path)["basis"].tolist() == ["the vendor's claim, not your data"]

    def test_submit_and_wait(self) -> None:
        """--wait ends with the persona; the exit code tells how."""
        options = ("--force", "--wait", "60")
        done = run("submit", "Ada", "--gender", "f", "--label", "sandbox:done", *options)
        assert done.exit_code == commands.Exit.FINE, done.output
        failed = run("submit", "Bo", "--gender", "m", "--label", "sandbox:failed", *options)
        assert failed.exit_code == commands.Exit.ENDED_BADLY
        assert "failed: " in failed.stderr
        slow = run("submit", "Cy", "--gender", "nb", "--wait", "0.01", "--force")
        assert slow.exit_code == commands.Exit.TIMED_OUT

    def test_track_once_polls_once(self) -> None:
        """--once is one pass, for cron."""
        run("submit", "Ada", "--gender", "f", "--force")
        assert run("track", "--once").exit_code == 0


class TestPause:
    def test_status_and_track_say_until_when_and_a_person_may_poll(self) -> None:
        """While the API has asked to wait, both say so in a sentence; 'poll' is sent all the same.

        It was asked by an earlier run: the pause lies in the database.
        """
        persona_id = run("submit", "Ada", "--gender", "f", "--force").stdout.strip()
        with open_session() as session:
            assert session.sandbox is not None
            session.store.make_due(persona_id, session.clock.now())
            session.sandbox.fail_next("429-seconds", retry_after_s=3600)
            session.tracker.look()
            pause = session.tracker.pause
        assert pause is not None
        said = f"The API asked to wait until {pause.until:%Y-%m-%d %H:%M} UTC"
        assert said in run("status").stdout
        tracked = run("track", "--once")
        assert tracked.exit_code == 1
        assert tracked.stderr.count(said) == 1
        polled = run("poll", persona_id)
        assert polled.exit_code == 0, polled.output
        assert persona_id in polled.stdout
        assert run("poll", "nobody").exit_code == 1


class TestALockedDatabase:
    @pytest.fixture
    def lock(self, monkeypatch: pytest.MonkeyPatch, quick: None) -> Iterator[Callable[[int], None]]:
        """Lock the database, from another connection, for this many passes of ``track``."""
        monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 1)
        monkeypatch.setattr("avatarkit.tracking.run.SHORTEST_PAUSE_S", 0.05)
        monkeypatch.setattr("avatarkit.tracking.run.RECONCILE_PAUSE_S", 0.0)
        sent = run("submit", "Ada", "--gender", "f", "--label", "sandbox:done", "--force")
        assert sent.exit_code == 0, sent.output
        path, reconcile = Settings().folder / "avatarkit.db", tracker.Tracker.reconcile
        with closing(sqlite3.connect(path, check_same_thread=False)) as holder:

            def lock(passes: int) -> None:
                begun: list[int] = []

                def first(itself: tracker.Tracker, **options: bool) -> object:
                    begun.append(1)
                    if len(begun) == 1:
                        holder.execute("BEGIN IMMEDIATE")
                    if len(begun) == passes + 1:
                        holder.rollback()
                    return reconcile(itself, **options)

                monkeypatch.setattr(tracker.Tracker, "reconcile", first)

            yield lock

    @pytest.mark.long
    def test_track_goes_on_when_it_is_free_again(self, lock: Callable[[int], None]) -> None:
        """The error is printed once, and the avatar is followed to its end."""
        lock(3)
        tracked = run("track", "--until-done")
        assert tracked.exit_code == 0, tracked.output
        assert tracked.stderr.count("locked") == 1
        assert "-> done" in tracked.stdout

    def test_once_ends_with_an_error(self, lock: Callable[[int], None]) -> None:
        """For cron: a pass that could not be written down is exit code 1."""
        lock(9)
        tracked = run("track", "--once")
        assert tracked.exit_code == 1
        assert tracked.stderr.count("locked") == 1

    def test_an_interruption_is_never_said_to_be_before_the_create(
        self, quick: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ctrl-C while it is sent, and a log that cannot be written: uncertain all the same."""

        def interrupt(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        def fail(*_: object, **__: object) -> None:
            raise errors.StoreError("The database is locked.")

        monkeypatch.setattr("avatarkit.api.client.Client.create_persona", interrupt)
        monkeypatch.setattr(Store, "uncertain", fail)
        sent = run("submit", "Ada", "--gender", "f", "--force")
        assert sent.exit_code == commands.Exit.UNCERTAIN
        assert "Do not send it again" in sent.stderr


class TestBackup:
    def test_it_prints_where_it_is(self, tmp_path: Path) -> None:
        """By default in the folder of backups, or in the file that is named; it can be opened."""
        with open_session() as session:
            folder = session.settings.folder
        for path, arguments in ((tmp_path / "x.db", ["x.db"]), (None, [])):
            made = run("backup", *arguments)
            assert made.exit_code == 0, made.output
            copy = Path(made.stdout.strip())
            assert copy.resolve() == path or copy.parent == folder / "backups"
            with Store(f"sqlite:///{copy}") as store:
                assert store.personas().empty

    def test_one_that_is_there_is_not_overwritten(self, tmp_path: Path) -> None:
        """It is a sentence and exit code 1."""
        open_session().close()
        (tmp_path / "x.db").write_text("mine")
        result = run("backup", "x.db")
        assert result.exit_code == 1
        assert "exists already" in result.stderr
        assert (tmp_path / "x.db").read_text() == "mine"

    def test_without_a_database_none_is_made(self, tmp_path: Path) -> None:
        """Nothing to copy is a sentence, and leaves nothing behind."""
        result = run("backup")
        assert result.exit_code == 1
        assert "no database" in result.stderr
        assert not Settings().folder.exists()


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "code", "sentence"),
        [
            (["submit", "A", "--gender", "x"], 2, "x"),
            (["submit", "A"], 2, "gender"),
            (["submit", "A" * 256, "--gender", "m"], 2, "at most 255 characters"),
            (["submit", "A", "--gender", "m", "--label", ""], 2, "label must not be empty"),
            (["submit", "A", "--gender", "m", "--webhook-url", "nope"], 2, "URL"),
            (["submit", "A", "--gender", "m", "--lipsync-input", "no.mp4"], 2, "does not exist"),
            (["submit", "A", "--gender", "m", "--lipsync-input", "."], 2, "is a directory"),
            (["status", "nobody"], 1, "nobody"),
            (["sandbox", "--speed", "0"], 1, "speed must be positive"),
            (["sandbox", "--fault", "430"], 1, "There is no fault '430'"),
            (["sandbox", "--fault", "429:often"], 1, "write NAME:SHARE, such as 429:0.1"),
            (["sandbox", "--fault", "429:1.5"], 1, "share must be above 0 and at most 1"),
            (["sandbox", "--behaviour", "page_size"], 1, "write NAME=VALUE"),
            (["sandbox", "--behaviour", "pages=2"], 1, "write NAME=VALUE"),
            (["sandbox", "--behaviour", "page_size=0"], 1, "page_size: Input should be greater"),
            (["export", "nonsense"], 2, "nonsense"),
        ],
    )
    def test_it_is_a_sentence_and_an_exit_code(
        self, arguments: list[str], code: int, sentence: str
    ) -> None:
        """Wrong usage is reported in a sentence, without a traceback."""
        result = run(*arguments)
        assert result.exit_code == code, result.output
        assert sentence in result.stderr
        assert "Traceback" not in result.output

    def test_a_poll_that_fails_is_said_once_and_an_exit_code(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """For cron: wrong keys are a sentence and exit code 1, not silence."""
        monkeypatch.setenv("AVATARKIT_SANDBOX_SPEED", "100000")
        assert run("submit", "Ada", "--gender", "f", "--force").exit_code == 0

        def refuse(*_: object, **__: object) -> None:
            raise errors.AuthError(
                "The API did not accept the API id and key; check both.",
                method="GET",
                url="",
                status_code=401,
            )

        monkeypatch.setattr("avatarkit.api.client.Client.get_persona", refuse)
        result = run("track", "--once")
        assert result.exit_code == 1
        assert result.stderr.count("The API refuses the keys (401)") == 1

    def test_status_tries_the_keys(self, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
        """A wrong key, or a host that does not answer, is said; the log is printed all the same."""
        monkeypatch.setenv("AVATARKIT_BASE_URL", sandbox.url)
        monkeypatch.setenv("AVATARKIT_API_ID", sandbox.api_id)
        monkeypatch.setenv("AVATARKIT_API_KEY", "wrong")
        result = run("status")
        assert (result.exit_code, "submit one" in result.stdout) == (0, True), result.output
        assert "did not accept the API id and key" in result.stderr
        assert "wrong" not in result.output
        tracked = run("track", "--once")
        assert (tracked.exit_code, tracked.stderr.count("refuses the keys (401)")) == (1, 1)
        # It is read from the log, and holds for these keys only.
        again = run("status")
        assert "refuses the keys (401); set AVATARKIT_API_ID and" in again.stdout
        assert again.stderr == ""
        monkeypatch.setenv("AVATARKIT_API_KEY", sandbox.api_key)
        assert "refuses the keys" not in run("status").output
        sandbox.stop()
        assert "No server listens at 127.0.0.1" in run("status").stderr

    @pytest.mark.parametrize(
        ("raised", "said"),
        [
            (KeyboardInterrupt(), "Interrupted while it was sent"),
            (
                errors.ConnectionFailed("It broke off.", method="POST", url="u", maybe_sent=True),
                "Do not send it again; 'python -m avatarkit reconcile' finds out",
            ),
        ],
    )
    def test_a_create_whose_fate_is_uncertain_has_a_code_of_its_own(
        self, monkeypatch: pytest.MonkeyPatch, raised: BaseException, said: str
    ) -> None:
        """Ctrl-C in the middle of an upload is as uncertain as a broken connection."""

        def fail(*_: object, **__: object) -> None:
            raise raised

        monkeypatch.setattr("avatarkit.api.client.Client.create_persona", fail)
        result = run("submit", "Ada", "--gender", "f", "--force")
        assert result.exit_code == 5
        assert said in result.stderr
        assert "reconcile()" not in result.stderr
        assert "uncertain:" in run("status").stdout

    def test_an_interrupt_before_it_is_sent_is_an_error(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing left, so nothing is uncertain."""

        def interrupt(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("avatarkit.api.client.Client.persona_quota", interrupt)
        result = run("submit", "Ada", "--gender", "f", "--force")
        assert (result.exit_code, "before it was sent" in result.stderr) == (1, True)

    def test_names_that_are_no_text_are_a_sentence(self, tmp_path: Path) -> None:
        """A terminal may hand over bytes that are no UTF-8."""
        path = tmp_path / "e\udcff.mp4"
        path.touch()
        for arguments in (
            ("submit", "A\udcff", "--gender", "f"),
            ("submit", "Ada", "--gender", "f", "--lipsync-input", str(path)),
            ("status", "A\udcff"),
        ):
            result = run(*arguments)
            assert result.exit_code in (1, 2)
            assert isinstance(result.exception, SystemExit)

    def test_all_videos_are_checked_before_it_says_no(self, tmp_path: Path) -> None:
        """Findings on the consent video are printed as well."""
        for name in ("a.mp4", "b.mp4"):
            (tmp_path / name).write_text("no video")
        files = ("--lipsync-input", tmp_path / "a.mp4", "--consent-video", tmp_path / "b.mp4")
        result = run("submit", "Ada", "--gender", "f", *files)
        assert result.exit_code == 1
        assert "lipsync_input: fatal" in result.stderr
        assert "consent_video: fatal" in result.stderr

    def test_a_word_about_no_submission_is_wrong_usage(self) -> None:
        """--never-arrived without an id would settle nothing."""
        assert run("reconcile", "--never-arrived").exit_code == 2
        assert run("sandbox", "--speed", "1e300").exit_code == 2

    def test_a_text_file_named_mp4_is_not_sent(self, tmp_path: Path) -> None:
        """A file that is no video is stopped before it is sent; --force sends it."""
        path = tmp_path / "notes.mp4"
        path.write_text("not a video " * 100)
        result = run("submit", "Ada", "--gender", "f", "--lipsync-input", path)
        assert result.exit_code == 1
        assert "--force" in result.stderr
        assert run("status").stdout.strip().endswith("submit one with 'submit'.")
        forced = run("submit", "Ada", "--gender", "f", "--lipsync-input", path, "--force")
        assert forced.exit_code == 0, forced.output

    def test_no_footage_is_not_sent(self) -> None:
        """A create without footage is stopped before it is sent; --force sends it."""
        result = run("submit", "Ada", "--gender", "f")
        assert result.exit_code == 1
        assert "fatal: There is no footage" in result.stderr
        assert "Nothing was sent; add the footage, or send it with --force." in result.stderr
        assert run("status").stdout.strip().endswith("submit one with 'submit'.")
        forced = run("submit", "Ada", "--gender", "f", "--force")
        assert forced.exit_code == 0, forced.output

    def test_urls_are_warned_about_and_sent(self) -> None:
        """What the API may not be able to fetch is a warning; hosts only on the live account."""
        page, nas = "https://youtu.be/1", "http://nas.local/a.mp4"
        result = run(
            "submit", "Ada", "--gender", "f", "--lipsync-input", page, "--consent-video", nas
        )
        assert result.exit_code == 0, result.output
        assert "warning: lipsync_input: this is a page of YouTube" in result.stderr
        assert "nas.local" not in result.stderr

    def test_a_drive_link_and_fields_of_the_api_are_sent(self) -> None:
        """--gdown-url is footage; --extra sends what has no option, a repeated one as a list."""
        link = "https://drive.google.com/file/d/1/view"
        result = run(
            "submit", "Ada", "--gender", "f", "--gdown-url", link,
            "--extra", "voice=x=y", "--extra", "tag=a", "--extra", "tag=b",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        with open_session() as session:
            submission_id = session.store.submissions()["submission_id"][0]
            [submission] = session.store.some_submissions([submission_id])
        assert submission.request["gdown_url"] == link
        assert submission.request["extra"] == {"voice": "x=y", "tag": ["a", "b"]}
        for given in ("voice", "gender=m"):
            assert run("submit", "Ada", "--gender", "f", "--extra", given).exit_code == 2

    def test_footage_that_may_be_missing_is_said(self, tmp_path: Path) -> None:
        """Status says which avatar may have none, and what to do."""
        path = tmp_path / "a.mp4"
        path.write_text("not a video " * 100)
        with open_session() as session:
            session.sandbox.fail_next("closed-during-made", method="POST")
            request = PersonaCreate(creator_name="Ada", gender="f", lipsync_input=path)
            with pytest.raises(errors.SubmissionUncertain):
                session.tracker.submit(request)
            [verdict] = session.tracker.reconcile()
        persona_id = verdict.persona.id
        for listed in (run("status"), run("status", persona_id)):
            assert "Its footage may be missing, as the connection broke after" in listed.stdout

    def test_one_key_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One key without the other is a sentence that names the missing one."""
        monkeypatch.setenv("AVATARKIT_API_ID", "only-one")
        result = run("status")
        assert result.exit_code == 1
        assert "AVATARKIT_API_KEY" in result.stderr

    def test_a_port_that_is_taken(self) -> None:
        """A taken port is a sentence that names it."""
        import socket

        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            result = run("sandbox", "--port", port)
        assert result.exit_code == 1
        assert port in result.stderr

    def test_a_database_that_cannot_be_opened(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """A database in a folder that is not there is a sentence."""
        monkeypatch.setenv("AVATARKIT_DATABASE_URL", f"sqlite:///{tmp_path}/no/such/x.db")
        result = run("status")
        assert result.exit_code == 1
        assert "cannot be opened" in result.stderr


class TestReconcile:
    def test_tracking_settles_what_a_killed_program_left(self) -> None:
        """A create that was being sent is found in the list by the next poll, and listed before."""
        with open_session() as session:
            store, sent_at = session.store, session.clock.now()
            request = PersonaCreate(creator_name="Ada", gender="f")
            submission_id = store.prepare(request, sent_at)
            store.sending(submission_id, sent_at)
            made = session.client.create_persona(request).id
            store.uncertain(submission_id, session.clock.now(), "It broke.")
        assert f"uncertain: {submission_id}" in run("status").stdout
        assert run("track", "--once").exit_code == 0
        assert made in run("status").stdout

    def test_nothing_to_settle(self) -> None:
        """Without uncertain creates it ends well and says nothing."""
        result = run("reconcile")
        assert (result.exit_code, result.stdout) == (0, "")

    def test_it_is_settled_from_the_list_or_by_a_word(self) -> None:
        """What was made is found; of two that fit a person names the one, or says never."""
        ids = []
        with open_session() as session:
            store, sent_at = session.store, session.clock.now()
            for _ in range(2):
                request = PersonaCreate(creator_name="Ada", gender="f")
                ids.append(store.prepare(request, sent_at))
                store.sending(ids[-1], sent_at)
            made = session.client.create_persona(PersonaCreate(creator_name="Ada", gender="f")).id
            # After it was made: an hour of this clock is a second and a half.
            broke_at = session.clock.now()
            for submission_id in ids:
                store.uncertain(submission_id, broke_at, "It broke.")
        first = run("reconcile")
        assert first.exit_code == commands.Exit.UNCERTAIN
        assert f"may be {made}" in first.stdout
        assert run("reconcile", ids[0]).exit_code == 1
        assert run("reconcile", ids[0], "--became", made).exit_code == 0
        assert run("reconcile", ids[1], "--never-arrived").exit_code == 0
        assert run("reconcile").exit_code == 0
        exported = pd.read_csv(io.StringIO(run("export", "submissions").stdout))
        assert sorted(exported["state"]) == ["accepted", "refused"]


def test_texts_of_the_api_do_not_drive_the_terminal() -> None:
    """Escape sequences in a name, a status or a reason are printed as replacement characters."""
    with open_session() as session:
        odd = {
            "creator_name": "A\x1b]0;t\x07B",
            "process_status": "x\x07y",
            "failed_reason": "\x9b1m",
        }
        now = session.clock.now()
        persona = Persona.model_validate({"id": "p1", **odd})
        session.store.record(persona, asked_at=now, answered_at=now, source="poll")
    for command in (["status"], ["status", "p1"]):
        printed = run(*command).output
        assert "\ufffd" in printed
        assert not {"\x1b", "\x07", "\x9b"} & set(printed)


def test_help_reads_well() -> None:
    """--help lists the commands, what they do, and the exit codes."""
    result = run("--help")
    assert result.exit_code == 0
    for word in ("submit", "track", "status", "export", "sandbox", "Exit codes"):
        assert word in result.stdout


def test_the_module_serves_the_sandbox_alone() -> None:
    """python -m avatarkit sandbox serves as options and environment say, and prints its address."""
    import httpx

    options = ["--fault", "503:1:DELETE", "--behaviour", "quota_status=402"]
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "avatarkit", "sandbox", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(Path(commands.__file__).parents[2]),
            "AVATARKIT_SANDBOX_PLAN": "1",
        },
    )
    assert process.stdout is not None
    lines = [process.stdout.readline().strip() for _ in range(3)]
    given = dict(line.split("=", 1) for line in lines)
    keys = {"X-API-ID": given["AVATARKIT_API_ID"], "X-API-KEY": given["AVATARKIT_API_KEY"]}
    with httpx.Client(base_url=given["AVATARKIT_BASE_URL"], headers=keys) as api:
        create = {"gender": "f", "creator_name": "Ada"}
        made = [api.post("/api/personas_v2/", json=create).status_code for _ in range(2)]
        assert made == [201, 402]
        counted = api.get("/api/personas_v2/count/").json()
        assert counted == {"max_count": 1, "current_count": 1}
        assert api.delete("/api/personas/x/").status_code == 503
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr


def test_the_plan_of_the_sandbox_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """AVATARKIT_SANDBOX_PLAN is how many avatars fit, with a clock of one's own too."""
    monkeypatch.setenv("AVATARKIT_SANDBOX_PLAN", "3")
    for clock in (None, SystemClock()):
        with open_session(clock=clock) as session:
            assert session.client.persona_quota().max_count == 3


def test_nothing_is_kept_of_a_refused_submission() -> None:
    """Wrong usage leaves no record at all."""
    run("submit", "A", "--gender", "m", "--lipsync-input", "no.mp4")
    settings = Settings()
    if settings.folder.exists():
        with Store(settings.store_url) as store:
            assert store.submissions().empty
