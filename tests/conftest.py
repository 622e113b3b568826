"""What every test uses: no network, no keys, no real data folder, clocks that only tests move."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import platformdirs
import pytest
from hypothesis.configuration import set_hypothesis_home_dir

from support import chromium as browsers

if TYPE_CHECKING:
    from avatarkit import Sandbox
    from avatarkit.ui.running import Running

ROOT = Path(__file__).resolve().parent.parent

# Tests run elsewhere; their examples are still kept where the next run finds them.
set_hypothesis_home_dir(ROOT / ".hypothesis")
# No deadline: a slow machine is no defect.
hypothesis.settings.register_profile("local", deadline=None, max_examples=60)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=60, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


class ManualClock:
    """A clock that moves only by ``advance`` and by sleeping on it.

    ``now()`` and ``monotonic()`` advance together; ``slept`` lists the sleeps, in seconds.
    """

    def __init__(self, start: datetime) -> None:
        self._lock = threading.Lock()
        self._start = start.astimezone(UTC)
        self._passed = timedelta(0)
        self.slept: list[float] = []

    def now(self) -> datetime:
        """Return the moment on this clock: aware, UTC."""
        with self._lock:
            return self._start + self._passed

    def monotonic(self) -> float:
        """Return the seconds that have passed on this clock."""
        with self._lock:
            return self._passed.total_seconds()

    def sleep(self, seconds: float, stop: threading.Event | None = None) -> None:
        """Advance by ``seconds`` at once; not at all when ``stop`` is set."""
        if stop is not None and stop.is_set():
            return
        with self._lock:
            self.slept.append(seconds)
            self._passed += timedelta(seconds=max(0.0, seconds))

    def wall_seconds_until(self, moment: datetime) -> float:
        """Return the seconds until this clock shows ``moment``; 0 when it has passed."""
        return max(0.0, (moment - self.now()).total_seconds())

    def advance(self, by: timedelta) -> datetime:
        """Jump ahead; return the moment it shows then."""
        if by < timedelta(0):
            raise ValueError("A clock cannot be set back; advance it by a positive time.")
        with self._lock:
            self._passed += by
            return self._start + self._passed


class StandingClock(ManualClock):
    """A ``ManualClock`` on which a thread that can be stopped sleeps until it is stopped."""

    def sleep(self, seconds: float, stop: threading.Event | None = None) -> None:
        """Advance at once, or wait until ``stop`` is set."""
        if stop is None:
            super().sleep(seconds)
        else:
            stop.wait()


MONDAY = datetime(2026, 1, 5, 9, tzinfo=UTC)


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
    """Leave no keys, proxy, ``.env`` or secrets file, and give the test its own data folder."""
    for name in list(os.environ):
        is_ours = name.upper().startswith("AVATARKIT_") and name.upper() != browsers.OVERRIDE
        if is_ours or name.lower() in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name)
    # Settings reads .env and .streamlit/secrets.toml where it stands.
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    # For processes that a test starts, and for a test that unsets it.
    monkeypatch.setenv("AVATARKIT_DATA_DIR", str(data))
    monkeypatch.setattr(platformdirs, "user_data_dir", lambda *_, **__: str(data))


@pytest.fixture(scope="session")
def talking_head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a real MP4 of 16 seconds: a face whose mouth moves, and a sound like a voice."""
    from avatarkit.sandbox.footage import talking_head as make

    path = tmp_path_factory.mktemp("footage") / "talking_head.mp4"
    make(path, seconds=16)
    return path


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
