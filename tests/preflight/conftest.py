"""The files of the calibration set, made and checked once."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable

import pytest

from avatarkit import files, preflight
from support.footage_cases import CASES, CheckedCase


@pytest.fixture(scope="session")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], CheckedCase]:
    """A function that returns a case by its name; each is made and checked once."""
    folder = tmp_path_factory.mktemp("calibration")
    # What another worker of pytest-xdist has checked already is taken from it.
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    reports = folder.parent.parent if is_worker else folder

    def get(name: str) -> CheckedCase:
        case, file_name = CASES[name], name.replace(" ", "_").replace(",", "")
        report = reports / f"{file_name}.report"
        if not report.exists():
            path = folder / (file_name + case.suffix)
            case.make(path)
            files.replace_file(report, pickle.dumps((path, preflight.check(path))))
        return CheckedCase(case, *pickle.loads(report.read_bytes()))  # noqa: S301 - our own

    return get
