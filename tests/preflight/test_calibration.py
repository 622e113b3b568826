"""Each fault of a real file is found, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from avatarkit import preflight
from avatarkit.errors import ConfigError
from avatarkit.preflight import (
    Severity,
    checks,
)
from support import footage_cases as cases
from support.footage_cases import CheckedCase, checks_of, finding_of

VARIANTS = (
    "good, portrait",
    "upside down",
    "4K",
    "lit from the right",
    "on its left side",
    "on its right side",
    "lit from the left",
    "scrolled page",
    "loud",
    "soft",
    "dim",
    "mirrored",
    "poster of text",
    "rotated",
    "two cameras",
    "declared 100 times too long",
    "silent second track",
    "page",
    "leaves",
    "flash",
    "sound at first",
    "soft voice",
    "voice on the left",
    "silent first track",
    "declared 3000 times too long",
    "empty frames",
    "black at first",
    "jump",
    "slow frames",
    "trimmed",
    "far away",
    "low resolution",
    "variable rate",
    "clipped",
    "quiet",
    "scratched",
    "channels cancel",
    "one empty frame",
    "header last, cut off",
)
"""Cases much like another one, which are checked with the long tests."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.long if name in VARIANTS else ())
        for name in cases.CASES
    ],
)
def test_each_fault_is_found_and_nothing_else(
    name: str, calibration: Callable[[str], CheckedCase]
) -> None:
    """A made file gets exactly the findings that its fault deserves, in whole sentences."""
    made = calibration(name)
    assert checks_of(made.report.fatal) - made.case.open == made.case.fatal - made.case.open
    assert checks_of(made.report.warnings) - made.case.open == made.case.warning - made.case.open
    for finding in made.report.findings:
        assert finding.message[0].isupper()
        assert finding.message.endswith(".")
        assert finding.value
        assert finding.limit
        assert ";" in finding.message or finding.severity is Severity.FINE


@pytest.mark.long
def test_the_confusion_table(
    calibration: Callable[[str], CheckedCase], capsys: pytest.CaptureFixture[str]
) -> None:
    """Over all files no fault is missed and no fault is invented; the table is printed."""
    everything = [calibration(name) for name in cases.CASES]
    checks = list(dict.fromkeys(f.check for made in everything for f in made.report.findings))
    marks = {Severity.FATAL: "F", Severity.WARNING: "w", Severity.FINE: "."}
    lines = [" " * 29 + " ".join(f"{check:>10}" for check in checks)]
    missed = invented = 0
    for name, made in zip(cases.CASES, everything, strict=True):
        got = {finding.check: finding.severity for finding in made.report.findings}
        row = "".join(f"{marks.get(got.get(check), ''):>11}" for check in checks)  # type: ignore[call-overload]
        lines.append(f"{name:<28}{row}")
        expected = made.case.fatal | made.case.warning
        bad = checks_of(made.report.fatal) | checks_of(made.report.warnings)
        missed += len(expected - bad - made.case.open)
        invented += len(bad - expected - made.case.open)
    with capsys.disabled():
        print("\n" + "\n".join(lines) + "\nF fatal, w warning, . fine, blank not judged")  # noqa: T201
        print(f"faults missed: {missed}, invented: {invented}")  # noqa: T201
    assert (missed, invented) == (0, 0)


def test_a_good_video_is_ok(calibration: Callable[[str], CheckedCase]) -> None:
    """Without a fatal finding there is no reason against it, and it reads as a table."""
    report = calibration("good").report
    assert report.ok
    assert report.reason is None
    assert {finding.severity for finding in report.findings} == {Severity.FINE}
    assert finding_of(report, "resolution").value == "720 x 720"
    assert finding_of(report, "loudness").value == "-20.0 LUFS"


@pytest.mark.long
def test_a_consent_video_is_judged_more_mildly(calibration: Callable[[str], CheckedCase]) -> None:
    """Its sound and its faces are warnings only, and nothing is known about its length."""
    for name in ("no sound", "silent", "two faces"):
        made = calibration(name)
        report = preflight.check(made.path, kind="consent")
        assert report.ok
        assert checks_of(report.warnings) == made.case.fatal
        assert "duration" not in checks_of(report.findings)


def test_the_field_of_a_video_decides_its_kind(calibration: Callable[[str], CheckedCase]) -> None:
    """The footage without sound is fatal, the consent video without sound is a warning."""
    path = calibration("no sound").path
    assert checks_of(preflight.check_field(path, "lipsync_input").fatal) == {"audio"}
    assert preflight.check_field(path, "consent_video").ok


def test_another_kind_is_refused(tmp_path: Path) -> None:
    """A misspelt kind is the caller's mistake, not the file's."""
    with pytest.raises(ValueError, match="kind must be 'lipsync' or 'consent'"):
        preflight.check(tmp_path, kind="other")  # type: ignore[arg-type]


def test_without_its_libraries_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are an extra, and their absence says nothing about the file."""
    monkeypatch.setattr(checks, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"avatarkit\[preflight\]"):
        preflight.check(tmp_path)


def test_importing_it_is_light() -> None:
    """No decoder, no arrays and no tables are loaded before a file is checked."""
    code = (
        "import sys, avatarkit.preflight;"
        "print({'av', 'numpy', 'skimage', 'pandas', 'PIL', 'scipy'} & set(sys.modules))"
    )
    root = Path(preflight.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
