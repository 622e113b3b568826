"""The PostgreSQL of the tests: where it comes from, and that no machine of CI does without."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from avatarkit import Store
from support.postgres import find_pgserver, find_programs, started


def test_installed_programs_serve_where_pgserver_has_no_wheel() -> None:
    """A server that is started with initdb and pg_ctl, also by root, holds a log."""
    programs = find_programs()
    if programs is None and (pgserver := find_pgserver()):
        programs = Path(pgserver.__file__).parent / "pginstall" / "bin"
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        Path(folder).chmod(0o777)
        with started(Path(folder), programs) as url, Store(url, account="mine") as store:
            assert store.personas().empty


def test_without_a_server_tests_are_skipped_at_home_and_fail_in_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both say what to install."""
    for is_ci, outcome in (("", pytest.skip.Exception), ("true", pytest.fail.Exception)):
        monkeypatch.setenv("CI", is_ci)
        with pytest.raises(outcome, match="install the package pgserver"), started(tmp_path, None):
            pass
