"""Consoles without some letters, pipes, and folders without keys."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from avatarkit import PersonaCreate, Settings, env_files, open_session
from avatarkit.cli import commands
from support.project import ROOT

NAME = "李 Łukasz"


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """An avatar whose name few consoles can print."""
    monkeypatch.setenv("AVATARKIT_SANDBOX_SPEED", "1")
    with open_session() as session:
        session.tracker.submit(PersonaCreate(creator_name=NAME, gender="m"))


def run(monkeypatch: pytest.MonkeyPatch, encoding: str, *arguments: str) -> tuple[int, bytes]:
    """Run a command on standard output of that encoding; return exit code and bytes."""
    output = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "argv", ["avatarkit", *arguments])
    with pytest.raises(SystemExit) as ended:
        commands.main()
    output.flush()
    return int(ended.value.code or 0), output.buffer.getvalue()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("submitted")
class TestAConsoleWithoutSomeLetters:
    @pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
    @pytest.mark.parametrize("command", ["status", "track --once", "submit 王 --gender m --force"])
    def test_every_command_prints(
        self, monkeypatch: pytest.MonkeyPatch, encoding: str, command: str
    ) -> None:
        """Letters that it lacks become question marks (click takes ASCII for UTF-8)."""
        code, printed = run(monkeypatch, encoding, *command.split())
        assert code == 0
        if command == "status":
            expected = "? ?ukasz" if encoding == "cp1252" else NAME
            assert expected in printed.decode("utf-8" if encoding == "ascii" else encoding)

    @pytest.mark.parametrize("table", ["statuses", "submissions"])
    def test_an_export_is_utf_8(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, table: str
    ) -> None:
        """A pipe or a redirected file gets the bytes that -o writes."""
        path = tmp_path / "table.csv"
        assert run(monkeypatch, "cp1252", "export", table, "-o", str(path))[0] == 0
        code, printed = run(monkeypatch, "cp1252", "export", table)
        assert (code, printed) == (0, path.read_bytes())
        assert NAME in printed.decode()

    @pytest.mark.long
    def test_the_module_does_the_same(self) -> None:
        """python -m avatarkit prints on such a console, too."""
        ended = subprocess.run(
            [sys.executable, "-m", "avatarkit", "status"],
            env={**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert b"? ?ukasz" in ended.stdout


class TestAFolderWithoutKeys:
    @pytest.mark.parametrize("command", ["track --once", "status", "export"])
    def test_it_is_said_where_keys_were_looked_for(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        command: str,
    ) -> None:
        """A cron job in another folder does not follow an empty sandbox in silence."""
        monkeypatch.delenv("AVATARKIT_ENV_FILE")
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setattr(env_files, "clone_folder", lambda: None)
        code, printed = run(monkeypatch, "utf-8", *command.split())
        found = Settings().found
        assert code == 0
        assert str(tmp_path) in found
        assert f"No keys found: this is the sandbox. {found}" in capsys.readouterr().err
        assert b"No keys found" not in printed

    @pytest.mark.parametrize("command", ["status", "track --once"])
    def test_where_keys_were_found_is_said(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        command: str,
    ) -> None:
        """On the live account status and track name the file of the keys, and no value of it."""
        path = tmp_path / "live.env"
        path.write_text(
            "AVATARKIT_API_ID=id-canary\nAVATARKIT_API_KEY=key-canary-1\n"
            "AVATARKIT_BASE_URL=http://127.0.0.1:9\n"
        )
        monkeypatch.setenv("AVATARKIT_ENV_FILE", str(path))
        code, printed = run(monkeypatch, "utf-8", *command.split())
        output = printed.decode() + capsys.readouterr().err
        assert code == (1 if command == "track --once" else 0)  # no API answers there
        assert f"Settings from the environment and {path}; looked in" in output
        assert "canary" not in output
        assert "No keys found" not in output
