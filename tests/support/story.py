"""A sandbox with a story that is the same each time, for the pictures of the README.

Its clock moves only by ``advance``. Ids, keys and the port are fixed: with them the lives of
the avatars and the moments of the polls are the same each time.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

from avatarkit import PersonaCreate, Sandbox, Settings
from avatarkit.clock import ScaledClock
from avatarkit.preflight import check_field
from avatarkit.sandbox import footage
from avatarkit.sandbox.state.files import Keys, write_private
from avatarkit.session import Session
from avatarkit.tracking.tracker import Tracker
from avatarkit.ui import cache, running
from avatarkit.ui.draft import Draft
from avatarkit.ui.running import Running

HOUR = timedelta(hours=1)
START = datetime(2026, 9, 7, 7, tzinfo=UTC)
"""A Monday."""
SEED = 11
SANDBOX_PORT = 8598
KEYS = Keys(api_id="sandbox-0123456789ab", api_key="0" * 40)
STEP = timedelta(minutes=20)
"""What falls due within it is polled at once."""

NAMES = (
    "Amara Okafor", "Benedikt Vogel", "Chiara Conti", "Daniel Brandt", "Esther Levi",
    "Farid Haddad", "Greta Lindqvist", "Hugo Marchand", "Ines Duarte", "Jonas Weber",
    "Keiko Tanaka", "Liam Byrne", "Mina Park", "Nils Eriksen", "Olga Nowak",
    "Priya Raman", "Quentin Roux", "Rosa Jimenez", "Samir Patel", "Tessa de Vries",
    "Umut Kaya", "Vera Horvat", "Wen Li", "Ximena Rojas", "Yusuf Demir", "Zoe Laurent",
)  # fmt: skip
SCENES, TEAMS = ("office", "studio", "kitchen"), ("sales", "training", "support")


@dataclass(frozen=True)
class Part:
    """An avatar of a story.

    Attributes:
        at_h: When it is submitted, in hours since ``START``.
        name: The creator's name.
        gender: The gender.
        labels: The labels, which may request an outcome.
        has_sound: None: its footage is a URL. Else a file is made, with or without sound.
    """

    at_h: float
    name: str
    gender: str = "f"
    labels: tuple[str, ...] = ()
    has_sound: bool | None = None


class StoryClock(ScaledClock):
    """The clock of a sandbox that says that it runs, and moves only by ``advance``."""

    def __init__(self) -> None:
        super().__init__(START, Settings().sandbox_speed, wall=lambda: 0.0)

    def monotonic(self) -> float:
        """Return the seconds that have passed on this clock."""
        return (self.now() - START).total_seconds()

    def wall_now(self) -> datetime:
        """Return a moment that never moves, so that no visit of a browser ends."""
        return START

    def sleep(self, seconds: float, stop: threading.Event | None = None) -> None:
        """Wait until ``stop`` is set; without it return at once."""
        if stop is not None:
            stop.wait()


def weeks() -> list[Part]:
    """Return the story of an account: four weeks, in which one in three is in flight at the end."""
    parts = []
    for number, name in enumerate(NAMES):
        at_h = 25.0 * number if number < 18 else 25.0 * 18 + 11.5 * (number - 18)
        labels, has_sound = (TEAMS[number % 3],), None
        if name == "Rosa Jimenez":
            labels += ("sandbox:stuck",)
        elif name == "Umut Kaya":
            has_sound = False
        elif name == "Ximena Rojas":
            has_sound = True
        parts.append(Part(at_h, name, "fm"[number % 2], labels, has_sound))
    return parts


def days() -> list[Part]:
    """Return the story of six avatars that are submitted on one morning."""
    ends = ("done", "done", "rejected", "done", "failed", "done")
    return [
        Part(number / 4, name, "fm"[number % 2], (f"sandbox:{end}",))
        for number, (name, end) in enumerate(zip(NAMES, ends, strict=False))
    ]


def open_app(folder: Path) -> Running:
    """Open the app's session on a new sandbox in a folder; its tracker does not run yet.

    Args:
        folder: The data folder; what it holds is deleted.
    """
    # A page waits until its estimates are computed, however slow the machine.
    cache.FIRST_WAIT_S = cache.LOG_WAIT_S = cache.REFRESH_WAIT_S = 300.0
    shutil.rmtree(folder, ignore_errors=True)
    api = folder / "sandbox" / "api"
    api.mkdir(parents=True)
    write_private(api / "keys.json", KEYS)

    def sandbox(settings: Settings, clock: StoryClock, _speed: float) -> Sandbox:
        path = settings.folder / "api"
        return Sandbox(path, clock=clock, port=SANDBOX_PORT, seed=SEED).start()

    with mock.patch("avatarkit.session._sandbox", sandbox), mock.patch.object(Tracker, "start"):
        return running.get(clock=StoryClock(), data_dir=folder)


def tell(app: Running, parts: Iterable[Part], until_h: float) -> None:
    """Submit the avatars of a story when it is their time, and poll until ``until_h``."""
    for number, part in enumerate(parts):
        advance(app.session, part.at_h)
        _submit(app, part, number)
        app.session.tracker.refresh_schedule()
    advance(app.session, until_h)


def advance(session: Session, until_h: float) -> None:
    """Move the clock ahead, and poll what falls due on the way.

    Args:
        session: The session.
        until_h: The hour at which to stop, since ``START``.
    """
    clock, end = session.clock, START + until_h * HOUR
    assert isinstance(clock, StoryClock)
    while (now := clock.now()) < end:
        due_at = session.store.next_look_at() or end
        clock.advance(min(max(due_at - now, STEP), end - now))
        session.tracker.look()


def _submit(app: Running, part: Part, number: int) -> None:
    request = PersonaCreate(
        creator_name=part.name,
        gender=part.gender,
        video_scene=SCENES[number % len(SCENES)],
        labels=list(part.labels),
        lipsync_input=f"https://videos.example.com/{part.name.split()[0].lower()}.mp4",
    )
    if part.has_sound is None:
        app.session.tracker.submit(request)
        return
    draft = Draft(app.outbox.uploads.draft("story").folder, {})
    path = draft.folder / f"{number:032x}" / f"{part.name.split()[0].lower()}.mp4"
    path.parent.mkdir(parents=True)
    footage.talking_head(path, seconds=16, audio=part.has_sound)
    request = request.model_copy(update={"lipsync_input": path})
    reports = {"lipsync_input": check_field(path, "lipsync_input")}
    submission_id = app.outbox.send(request, draft, reports)
    app.outbox.wait(submission_id, timeout_s=300)
    app.outbox.dismiss(submission_id)
