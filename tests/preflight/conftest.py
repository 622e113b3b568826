"""The files of the calibration set, made and checked once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from avatarkit import preflight
from support.footage_cases import CASES, CheckedCase


@pytest.fixture(scope="session")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], CheckedCase]:
    """A function that returns a case by its name; each is made and checked once."""
    folder = tmp_path_factory.mktemp("calibration")
    checked: dict[str, CheckedCase] = {}

    def get(name: str) -> CheckedCase:
        if name not in checked:
            case = CASES[name]
            path = folder / (name.replace(" ", "_").replace(",", "") + case.suffix)
            case.make(path)
            checked[name] = CheckedCase(case, path, preflight.check(path))
        return checked[name]

    return get
