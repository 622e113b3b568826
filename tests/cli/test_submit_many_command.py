"""``submit-many``: a sheet is checked as a whole, sent once, and gone on with."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from avatarkit import open_session
from avatarkit.cli import commands
from avatarkit.preflight import Report
from avatarkit.preflight.findings import Finding, Severity, Source
from avatarkit.tracking import batch, sheet
from avatarkit.tracking.sheet import COLUMNS


def run(*arguments: str | Path, stdin: str | None = None) -> Result:
    command = [str(argument) for argument in ("submit-many", *arguments)]
    return CliRunner().invoke(commands.app, command, input=stdin)


def results_of(result: Result) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(result.stdout), keep_default_na=False)


def created() -> Counter[str]:
    """The names of the avatars that the account has."""
    with open_session() as session:
        return Counter(persona.creator_name or "" for persona in session.client.list_personas())


@pytest.fixture
def videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a video, which is looked at no further."""
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "film.mp4").write_bytes(b"film" * 1000)
    (folder / "bad.mp4").write_bytes(b"bad")

    def check_field(path: Path, _: str) -> Report:
        severity = Severity.FATAL if path.name == "bad.mp4" else Severity.FINE
        return Report(path, (Finding("sound", severity, "It is silent.", "", "", Source.OWN),))

    monkeypatch.setattr(sheet, "check_field", check_field)
    return folder


def write(path: Path, *rows: str) -> Path:
    lines = ["creator_name,gender,lipsync_input,labels", *rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_twelve_rows_become_twelve_avatars(videos: Path, tmp_path: Path) -> None:
    """Their ids are in the CSV, and the same command again sends nothing and prints them again."""
    rows = [f"n{number},f,film,sandbox:done" for number in range(12)]
    path, output = write(videos / "batch.csv", *rows), tmp_path / "results.csv"
    first = run(path, "--output", output)
    assert first.exit_code == 0, first.output
    assert "12 rows: 12 accepted." in first.stderr
    frame = pd.read_csv(output)
    assert list(frame["number"]) == list(range(1, 13))
    assert frame["persona_id"].nunique() == 12
    again = run(path)
    assert again.exit_code == 0, again.output
    assert list(results_of(again)["persona_id"]) == list(frame["persona_id"])
    assert created() == Counter(f"n{number}" for number in range(12))


def test_bad_rows_and_twins_are_named_and_nothing_is_sent(videos: Path) -> None:
    """Until they are corrected, or left out or asked for on purpose."""
    path = write(
        videos / "batch.csv",
        "n1,f,film,sandbox:done",
        *("n2,x,film,", "n3,f,none,", "n4,f,bad,"),
        *("n5,f,film,sandbox:done", 'N5,f,film,"sandbox:done,b"'),
    )
    unnamed = run(write(videos / "unnamed.csv", ",f,film,"))
    assert "row 1: bad: creator_name" in unnamed.stderr
    assert "--twins" not in unnamed.stderr
    refused = run(path)
    assert refused.exit_code == commands.Exit.USAGE
    for line in (
        "row 2, n2: bad: gender:",
        "row 3, n3: bad: lipsync_input: none is not in",
        "row 4, n4: bad: lipsync_input: It is silent.",
        "row 5, n5: twin: Row 6 has the same name, N5.",
        "Nothing was sent, as 5 of 6 rows cannot be sent as they are: correct the sheet, or leave",
    ):
        assert line in refused.stderr
    assert "Traceback" not in refused.output
    assert not created()
    dry = run(path, "--skip-bad", "--dry-run")
    assert dry.exit_code == 0
    assert "1 of 6 rows can be sent." in dry.stderr
    assert not created()
    # Not a success, as a script would take it for one.
    assert run(write(videos / "bad.csv", "n2,x,film,"), "--skip-bad").exit_code == refused.exit_code
    frame = results_of(run(path, "--skip-bad"))
    assert list(frame["state"]) == ["accepted", *["not sent"] * 5]
    assert "gender" in frame["error"][1]
    frame = results_of(run(path, "--skip-bad", "--twins"))
    assert list(frame["state"]) == ["accepted", *["not sent"] * 3, "accepted", "accepted"]
    assert created() == Counter(["n1", "n5", "N5"])


def test_results_that_cannot_be_written_are_refused_first(videos: Path, tmp_path: Path) -> None:
    """Nothing is sent, and the sheet is not overwritten by its results."""
    path = write(videos / "batch.csv", "n1,f,film,")
    text = path.read_text()
    for output, why in ((tmp_path / "none" / "a.csv", "cannot be written"), (path, "the sheet")):
        result = run(path, "--output", output)
        assert (result.exit_code, why in result.stderr) == (commands.Exit.ERROR, True)
    assert path.read_text() == text
    assert not created()


def test_a_full_plan_lets_the_rest_wait(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, and the same command sends the rest when there are places."""
    monkeypatch.setenv("AVATARKIT_SANDBOX_PLAN", "2")
    path = write(videos / "batch.csv", *(f"n{number},f,film,sandbox:done" for number in range(4)))
    first = run(path)
    assert first.exit_code == commands.Exit.ERROR
    assert "4 rows: 2 accepted, 2 waiting." in first.stderr
    assert "The rest waits; the same command sends it: The plan is full: 2 of 2" in first.stderr
    listed = CliRunner().invoke(commands.app, ["status"])
    assert "waiting: 2 of 4 rows of a batch" in listed.stdout
    with open_session() as session:
        for persona_id in list(session.store.personas()["persona_id"]):
            session.tracker.delete(persona_id)
    again = run(path)
    assert again.exit_code == 0, again.output
    assert created() == Counter(["n2", "n3"])


def test_ctrl_c_prints_the_results(videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was accepted until then is in the CSV, and how many wait is said."""
    path = write(videos / "batch.csv", *(f"n{number},f,film,sandbox:done" for number in range(4)))
    wait_for = batch.wait_for

    def interrupted(_: object) -> None:
        monkeypatch.setattr(batch, "wait_for", wait_for)
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "wait_for", interrupted)
    stopped = run(path)
    assert stopped.exit_code == commands.Exit.ERROR, stopped.output
    assert "of 4 wait; do it again to send them." in stopped.stderr
    waiting = (results_of(stopped)["state"] == "prepared").sum()
    assert waiting >= 1
    assert created().total() == 4 - waiting
    assert run(path).exit_code == 0
    assert created() == Counter(f"n{number}" for number in range(4))


def test_a_template_is_written_and_what_is_no_sheet_is_a_sentence(tmp_path: Path) -> None:
    """The example has every column; a sheet may come from standard input."""
    printed = run("--template")
    assert printed.stdout.splitlines()[0] == ",".join(COLUMNS)
    path = tmp_path / "batch.csv"
    assert run("--template", "-o", path).exit_code == 0
    assert path.read_text("utf-8") == printed.stdout
    assert run().exit_code == commands.Exit.USAGE
    assert "cannot be read" in run(tmp_path / "none.csv").stderr
    assert "no column gender" in run("-", stdin="creator_name\nAda\n").stderr
    assert "cannot be written" in run("--template", "-o", tmp_path).stderr
