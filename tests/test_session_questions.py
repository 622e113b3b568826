"""A session's questions, and what its parts look like in a notebook."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from datetime import timedelta

import pandas as pd
import pytest

from avatarkit import Change, Persona, Session, Settings, durations, eta, open_session, stages
from avatarkit.clock import ScaledClock, SystemClock
from avatarkit.models import STAGES
from support.manual_clock import MONDAY, ManualClock

CARRIED = ["creator_name", "gender", "video_scene", "labels"]


def record(session: Session, number: int, *, ends: bool = True) -> None:
    """Log an avatar's way through the stages, five hours in each; every second is a VIP's."""
    store = session.store
    statuses = [stage.value for stage in STAGES] + (["done"] if ends else [])
    for place, status in enumerate(statuses):
        at = MONDAY + timedelta(hours=5 * place + number)
        values = {
            "id": f"p{number}",
            "process_status": status,
            "creator_name": f"Ada {number}",
            "gender": "f",
            "labels": ["vip"] if number % 2 else [],
            "created_at": (MONDAY + timedelta(hours=number)).isoformat(),
        }
        persona = Persona.model_validate(values)
        with store.transaction():
            for asked_at in (at, at + timedelta(hours=4)):
                store.record(persona, asked_at=asked_at, answered_at=asked_at, source="poll")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A session of the sandbox with fourteen avatars in the log, one of them running."""
    clock, folder = ManualClock(MONDAY + timedelta(days=9)), tmp_path_factory.mktemp("session")
    with open_session(api_id=None, api_key=None, data_dir=folder, clock=clock) as opened:
        for number in range(14):
            record(opened, number, ends=number != 13)
        yield opened


def test_a_session_answers_what_three_lines_set_up(session: Session) -> None:
    """Visits, lives, arrivals and the summary are those of the log, until now, with the names."""
    store, now = session.store, session.clock.now()
    log = {"sightings": store.sightings(), "personas": store.personas(), "now": now}
    visits = stages.visits(**log)
    for made, expected in [
        (session.visits(), visits),
        (session.lives(), stages.lives(**log)),
        (session.arrivals(), eta.arrivals(**log)),
    ]:
        assert list(made.columns) == [*expected.columns, *CARRIED]
        pd.testing.assert_frame_equal(made[expected.columns], expected)
    pd.testing.assert_frame_equal(session.summary(), durations.summarize(visits))
    assert session.arrivals()["creator_name"].tolist() == ["Ada 13"]


def test_two_groups_stand_one_below_the_other(session: Session) -> None:
    """A label, a column and a period divide the summary, each group with its own n."""
    summary = session.summary(by="vip")
    reviewing = summary.loc[summary["stage"] == "reviewing"]
    assert reviewing[["group", "finished", "running"]].to_numpy().tolist() == [
        *(["vip", 6, 1], ["without vip", 7, 0])
    ]
    assert set(session.summary(by="gender", freq="W")["group"]) == {"f, week of 2026-01-05"}
    assert session.summary(since=MONDAY + timedelta(hours=9))["finished"].max() == 5


def test_late_stands_beside_its_limit(session: Session) -> None:
    """The limit is that of the stage, and an avatar beyond it is late."""
    row = session.arrivals().iloc[0]
    limit = durations.late_after(session.visits())["reviewing"]
    assert row["late_after_h"] == pytest.approx(limit)
    assert row["late"] == (row["in_stage_h"] > limit)
    columns = session.arrivals().columns.tolist()
    assert columns[columns.index("late") + 1] == "late_after_h"


def test_open_session_names_every_setting() -> None:
    """Completion offers all settings, and the documentation has each."""
    parameters = inspect.signature(open_session).parameters
    assert list(parameters) == ["settings", "clock", "temporary", *Settings.model_fields]
    text = open_session.__doc__ or ""
    assert [name for name in Settings.model_fields if f"``{name}``" not in text] == []


def test_frames_show_moments_to_the_minute_and_reasons_in_full(session: Session) -> None:
    """As text and as HTML, also of a part; other long texts are cut, and values stay exact."""
    frame = session.visits()[["persona_id", "entered_after"]].head(1)
    for shown in (repr(frame), frame._repr_html_()):
        assert "2026-01-05 09:00Z" in shown
        assert ":00:00" not in shown
    note = "not enough yet: " + "why " * 60
    texts = session.summary().head(1).assign(note=note, stage="long " * 60)[["stage", "note"]]
    for shown in (repr(texts), texts._repr_html_()):
        assert note.strip() in shown
        assert "long …" in shown or "lon…" in shown or "long long…" in shown
    assert texts["stage"][0] == "long " * 60
    many = pd.concat([session.visits()] * 3)
    assert "[252 rows x 16 columns]" in repr(many)
    assert "252 rows" in many._repr_html_()


def test_a_persona_shows_what_is_set() -> None:
    """Its repr has no empty field, and no address that may hold a token."""
    values = {
        "id": "p1",
        "process_status": "done",
        "failed_reason": "",
        "created_at": "2026-01-09T12:26:10-08:00",
        "webhook_url": "https://example.com/secret",
        "new_field": 3,
    }
    assert repr(Persona.model_validate(values)) == (
        "Persona(id='p1', process_status='done', created_at='2026-01-09 20:26 UTC', new_field=3)"
    )


def test_clocks_changes_and_trackers_say_what_they_are(session: Session) -> None:
    """A clock shows its time and pace, a change both statuses, a tracker whether it polls."""
    clock = ScaledClock(MONDAY, 2400, wall=lambda: 0.0, started_s=0.0)
    assert repr(clock) == "ScaledClock(2026-01-05 09:00 UTC, 2,400 times as fast)"
    clock.stop()
    assert repr(clock) == "ScaledClock(2026-01-05 09:00 UTC, stopped)"
    assert repr(SystemClock()).startswith("SystemClock(20")
    change = Change("p1", "Ada", "processing", "failed", MONDAY, "No face.")
    assert repr(change) == (
        "Change('Ada', p1: processing → failed, seen 2026-01-05 09:00 UTC, No face.)"
    )
    assert repr(session.tracker).endswith("not polling in the background)")
