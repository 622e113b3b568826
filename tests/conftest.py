"""What every test uses: no network, no keys, no real data folder, clocks that only tests move."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import platformdirs
import pytest
from hypothesis.configuration import set_hypothesis_home_dir

from support import chromium as browsers
from support.lines_of_code import lines_by_folder
from support.manual_clock import MONDAY, ManualClock, StandingClock
from support.project import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from avatarkit import Sandbox
    from avatarkit.ui.running import Running


# Tests run elsewhere; their examples are still kept where the next run finds them.
set_hypothesis_home_dir(ROOT / ".hypothesis")
# No deadline: a slow machine is no defect.
hypothesis.settings.register_profile("local", deadline=None, max_examples=25)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

OF_THE_NETWORK = {
    "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    "ssl_cert_file", "ssl_cert_dir", "sslkeylogfile",
}  # fmt: skip
"""Variables, in lower case, that a machine may set and no test should depend on."""


SLOWEST = (
    "test_accessibility_journey.py",
    "test_avatars_journey.py",
    "test_journey.py",
    "test_notebooks.py",
    "test_serving_journey.py",
    "test_submit_many_journey.py",
    "test_webhooks_journey.py",
)
"""Tests that wait for a minute; they start first, while the other processors go on."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the slowest tests first."""
    items.sort(key=lambda item: item.path.name not in SLOWEST)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the lines of code of each folder where ``tests/test_package.py`` limits them."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    if not any(report.nodeid.startswith("tests/test_package.py") for report in reports):
        return
    lines = lines_by_folder()
    terminalreporter.section("lines of code")
    for folder, count in {**lines, "in all": sum(lines.values())}.items():
        terminalreporter.write_line(f"{folder:10} {count:6,}")


@pytest.fixture
def manual_clock() -> ManualClock:
    """Return a ``ManualClock`` that shows Monday, 5 January 2026, 09:00 UTC."""
    return ManualClock(MONDAY)


@pytest.fixture
def app_clock() -> ManualClock:
    """Return the clock of ``app``, which moves only by ``advance``."""
    return StandingClock(MONDAY)


@pytest.fixture
def restart(
    app_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Running]]:
    """Yield a function that opens the app again on the same clock, its tracker stopped."""
    from avatarkit.ui import cache, running

    # A page waits until its estimates are computed, however slow the machine.
    monkeypatch.setattr(cache, "FIRST_WAIT_S", 300.0)
    monkeypatch.setattr(cache, "LOG_WAIT_S", 300.0)
    monkeypatch.setattr(cache, "REFRESH_WAIT_S", 300.0)

    def restart(**settings: object) -> Running:
        running.close()
        opened = running.get(clock=app_clock, **settings)
        opened.session.tracker.stop()
        return opened

    yield restart
    running.close()


@pytest.fixture
def app(restart: Callable[..., Running]) -> Running:
    """Open the app on ``app_clock``, with a sandbox on the same clock."""
    return restart()


@pytest.fixture(autouse=True)
def _nothing_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave no keys, proxy, certificates, ``.env`` or secrets file, and give it a data folder."""
    for name in list(os.environ):
        is_ours = name.upper().startswith("AVATARKIT_") and name.upper() != browsers.OVERRIDE
        if is_ours or name.lower() in OF_THE_NETWORK:
            monkeypatch.delenv(name)
    # Else the keys of a developer could reach the live account.
    monkeypatch.setenv("AVATARKIT_ENV_FILE", "")
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    # For processes that a test starts, and for a test that unsets it.
    monkeypatch.setenv("AVATARKIT_DATA_DIR", str(data))
    monkeypatch.setattr(platformdirs, "user_data_dir", lambda *_, **__: str(data))


@pytest.fixture(scope="session")
def talking_head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a real MP4 of 16 seconds: a face whose mouth moves, and a sound like a voice."""
    from avatarkit.sandbox.footage import talking_head as make

    base = tmp_path_factory.getbasetemp()
    # Made once for all processes that run tests, as that takes seconds.
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "talking_head.mp4"
    if not shared.exists():
        path = tmp_path_factory.mktemp("footage") / shared.name
        make(path, seconds=16)
        path.replace(shared)
    return shared


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Yield a running sandbox on a free port, with a folder of its own, at a day a second."""
    from avatarkit.sandbox import Sandbox

    with Sandbox(speed=86_400) as running:
        yield running


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Return the path of a Chromium that starts; without one the test fails with a sentence."""
    try:
        return browsers.find()
    except browsers.NoChromium as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def browser(chromium: Path) -> Iterator[Browser]:
    """Start a headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=str(chromium),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Page:
    """Open a page as wide as a desktop, in which elements are waited for as long as it takes."""
    opened = browser.new_page(viewport={"width": 1280, "height": 1300})
    opened.set_default_timeout(120_000)
    return opened
