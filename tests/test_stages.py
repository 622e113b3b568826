"""Visits: what follows from looks at a few moments about when stages began and ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarkit import stages
from avatarkit.models import STAGES

DAY = datetime(2026, 3, 2, tzinfo=UTC)
COLUMNS = [
    "persona_id",
    "status",
    "first_seen_at",
    "last_seen_at",
    "times_seen",
    "reported_at",
    "failed_reason",
    "source",
]
BOUNDS = ["entered_after", "entered_before", "left_after", "left_before"]


def at(hours: float | None) -> datetime | None:
    """The moment so many hours into the day on which everything begins."""
    return None if hours is None else DAY + timedelta(hours=hours)


def log(*runs: tuple[Any, ...]) -> pd.DataFrame:
    """Sightings from (persona, status, first, last[, reported[, source]]), moments in hours."""
    rows = []
    seen: set[str] = set()
    for run in runs:
        persona, status, first, last, reported, source = (*run, None, None)[:6]
        source = source or ("poll" if persona in seen else "create")
        seen.add(persona)
        rows.append((persona, status, at(first), at(last), 1, at(reported), None, source))
    frame = pd.DataFrame(rows, columns=COLUMNS)
    moments = dict.fromkeys(["first_seen_at", "last_seen_at", "reported_at"], "datetime64[us, UTC]")
    return frame.astype({"persona_id": "str", "status": "str", "source": "str", **moments})


def visits(*runs: tuple[Any, ...], now: float = 1000, created: Any = None) -> pd.DataFrame:
    """Visits of such sightings; ``created`` maps a persona to the hour of its creation."""
    personas = None
    if created is not None:
        rows = [(persona, at(hours)) for persona, hours in created.items()]
        personas = pd.DataFrame(rows, columns=["persona_id", "created_at"])
    moment = at(now)
    assert moment is not None
    return stages.visits(log(*runs), now=moment, personas=personas)


def told(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Stage, state and the four bounds in hours (None where open), row by row."""
    rows = []
    for _, row in frame.iterrows():
        hours = [
            None if pd.isna(row[name]) else round((row[name] - DAY) / timedelta(hours=1), 6)
            for name in BOUNDS
        ]
        rows.append((row["stage"], row["state"], *hours))
    return rows


def test_a_submitted_persona_has_bounds_between_its_looks() -> None:
    """Each change lies between the last look at the old status and the first at the new."""
    frame = visits(
        ("a", "pending", 0, 1, 0), ("a", "processing", 2, 5), ("a", "voice_creating", 6, 6.5)
    )

    assert told(frame) == [
        ("pending", "finished", 0, 0, 1, 2),
        ("processing", "finished", 1, 2, 5, 6),
        ("voice_creating", "running", 5, 6, 6.5, None),
    ]
    assert frame["visit_no"].tolist() == [1, 2, 3]
    assert frame["min_h"].tolist() == [1, 3, 0.5]
    assert frame["max_h"].tolist() == [2, 5, np.inf]


def test_terminal_statuses_end_the_visit_before_and_are_none() -> None:
    """done, failed and rejected leave no visit of their own and nothing running."""
    for end in ("done", "failed", "rejected"):
        frame = visits(("a", "reviewing", 0, 1), ("a", end, 3, 9))
        assert told(frame) == [("reviewing", "finished", 0, 0, 1, 3)]


def test_updated_at_lowers_the_upper_bound_only_inside_the_gap() -> None:
    """reported_at tightens a bound between two looks, and is ignored outside of them."""
    inside = visits(("a", "pending", 0, 1), ("a", "processing", 4, 5, 2))
    assert told(inside)[0] == ("pending", "finished", 0, 0, 1, 2)
    assert told(inside)[1] == ("processing", "running", 1, 2, 5, None)
    for outside in (0.5, 1, 4, 4.5, None):
        frame = visits(("a", "pending", 0, 1), ("a", "processing", 4, 5, outside))
        assert told(frame)[0] == ("pending", "finished", 0, 0, 1, 4)


def test_created_at_begins_the_first_visit_unless_it_is_later_than_the_first_look() -> None:
    """The answer to the create dates the beginning; a clock that runs ahead cannot move it on."""
    for reported, entered in ((-0.25, -0.25), (0.5, 0), (None, 0)):
        frame = visits(("a", "pending", 0, 1, reported, "create"))
        assert told(frame) == [("pending", "running", entered, entered, 1, None)]


def test_stages_nobody_saw_are_proved_by_a_later_one() -> None:
    """Each stage between two that were seen took between nothing and the whole gap."""
    frame = visits(("a", "pending", 0, 1), ("a", "video_validating", 4, 5, 3))

    assert told(frame) == [
        ("pending", "finished", 0, 0, 1, 3),
        ("processing", "never_seen", 1, 3, 1, 3),
        ("voice_creating", "never_seen", 1, 3, 1, 3),
        ("video_validating", "running", 1, 3, 5, None),
    ]
    assert frame["min_h"].tolist()[1:3] == [0, 0]
    assert frame["max_h"].tolist()[1:3] == [2, 2]


def test_done_proves_every_stage_and_the_other_ends_prove_none() -> None:
    """The status done says that all was passed; failed and rejected can follow any stage."""
    done = visits(("a", "pending", 0, 1), ("a", "done", 7, 7))
    assert done["stage"].tolist() == [stage.value for stage in STAGES]
    assert done["state"].tolist() == ["finished", *["never_seen"] * 5]
    for end in ("failed", "rejected"):
        assert len(visits(("a", "pending", 0, 1), ("a", end, 7, 7))) == 1


def test_nothing_is_concluded_across_an_end() -> None:
    """What a persona did after failed may have begun anywhere."""
    frame = visits(("a", "pending", 0, 1), ("a", "failed", 2, 3), ("a", "reviewing", 5, 6))

    assert told(frame) == [
        ("pending", "finished", 0, 0, 1, 2),
        ("reviewing", "running", 3, 5, 6, None),
    ]


def test_an_unknown_status_is_a_visit_and_proves_nothing() -> None:
    """A status nobody has heard of is kept; the known ones around it still prove what they do."""
    frame = visits(("a", "pending", 0, 1), ("a", "polishing", 2, 3), ("a", "voice_creating", 4, 5))
    assert told(frame) == [
        ("pending", "finished", 0, 0, 1, 2),
        ("polishing", "finished", 1, 2, 3, 4),
        ("processing", "never_seen", 1, 4, 1, 4),
        ("voice_creating", "running", 3, 4, 5, None),
    ]
    assert len(visits(("a", "pending", 0, 1), ("a", "polishing", 2, 3))) == 2


def test_a_stage_seen_again_is_a_further_visit() -> None:
    """Going back proves nothing unseen; going on again from there does."""
    frame = visits(("a", "reviewing", 0, 1), ("a", "processing", 2, 3), ("a", "reviewing", 5, 6))

    assert list(zip(frame["visit_no"], frame["stage"], frame["state"], strict=True)) == [
        (1, "reviewing", "finished"),
        (2, "processing", "finished"),
        (3, "voice_creating", "never_seen"),
        (4, "video_validating", "never_seen"),
        (5, "crop_and_matte", "never_seen"),
        (6, "reviewing", "running"),
    ]


def test_a_persona_found_midway_began_after_its_creation() -> None:
    """Its stage was entered between creation and the first look, the ones before were passed."""
    frame = visits(("a", "voice_creating", 5, 6, None, "list"), created={"a": 1, "b": 0})

    assert told(frame) == [
        ("pending", "never_seen", 1, 5, 1, 5),
        ("processing", "never_seen", 1, 5, 1, 5),
        ("voice_creating", "running", 1, 5, 6, None),
    ]


def test_a_persona_found_pending_began_at_its_creation() -> None:
    """The status pending is where everything begins, so its beginning is exact."""
    frame = visits(
        ("a", "pending", 5, 6, None, "list"), ("a", "processing", 7, 8), created={"a": 1}
    )
    assert told(frame)[0] == ("pending", "finished", 1, 1, 6, 7)


def test_without_a_creation_the_beginning_is_open() -> None:
    """Nothing bounds the entry of a persona found midway, so its visit has no greatest length."""
    for created in (None, {"b": 1}, {"a": None}):
        frame = visits(("a", "reviewing", 5, 6, None, "poll"), ("a", "done", 7, 7), created=created)
        assert told(frame) == [("reviewing", "finished", None, 5, 6, 7)]
        assert frame["max_h"].tolist() == [np.inf]
        assert frame["min_h"].tolist() == [1]


def test_updated_at_tells_when_a_persona_found_midway_was_in_its_stage_already() -> None:
    """The first answer says that the status held since it was last modified at the latest."""
    frame = visits(("a", "reviewing", 5, 6, 3, "list"), created={"a": 4})
    assert told(frame)[-1] == ("reviewing", "running", 4, 5, 6, None)
    frame = visits(("a", "reviewing", 5, 6, 3, "list"), created={"a": 2})
    assert told(frame)[-1] == ("reviewing", "running", 2, 3, 6, None)
    assert told(visits(("a", "reviewing", 5, 6, 3, "list"))) == [
        ("reviewing", "running", None, 3, 6, None)
    ]


def test_a_creation_after_the_first_look_is_cut_to_it() -> None:
    """Two clocks may disagree; a visit never begins after it was seen."""
    frame = visits(("a", "processing", 5, 6, None, "list"), created={"a": 9})
    assert told(frame)[-1] == ("processing", "running", 5, 5, 6, None)
    assert (frame["max_h"] >= frame["min_h"]).all()


def test_a_persona_first_seen_done_has_only_unseen_stages() -> None:
    """A finished persona that is found proves its six stages when its creation is known."""
    frame = visits(("a", "done", 9, 9, None, "list"), created={"a": 1})
    assert frame["state"].tolist() == ["never_seen"] * 6
    assert frame["visit_no"].tolist() == [1, 2, 3, 4, 5, 6]
    assert frame["max_h"].tolist() == [8] * 6
    assert len(visits(("a", "done", 9, 9, None, "list"))) == 0


def test_what_a_create_answers_first_was_not_preceded_by_anything() -> None:
    """The first status of a submitted persona is where it began, whichever it is."""
    assert told(visits(("a", "processing", 0, 1, 0, "create"))) == [
        ("processing", "running", 0, 0, 1, None)
    ]
    frame = visits(("a", "unknown", 0, 1, 0, "create"), ("a", "processing", 2, 3))
    assert told(frame)[1] == ("pending", "never_seen", 0, 2, 0, 2)


def test_neighbouring_rows_of_one_status_are_one_visit() -> None:
    """Two rows of the same status in a row count as one run from the first to the last look."""
    frame = visits(("a", "pending", 0, 1, 0), ("a", "pending", 2, 3, 2), ("a", "processing", 4, 4))
    assert told(frame)[0] == ("pending", "finished", 0, 0, 3, 4)


def test_runs_that_overlap_keep_their_bounds_in_order() -> None:
    """Two machines that look at once may log overlapping runs; no bound turns around."""
    frame = visits(("a", "pending", 0, 3), ("a", "processing", 2, 4), ("a", "done", 3, 3))
    assert told(frame)[:2] == [
        ("pending", "finished", 0, 0, 2, 2),
        ("processing", "finished", 2, 2, 3, 3),
    ]
    assert (frame["max_h"] >= frame["min_h"]).all()


def test_the_order_of_the_rows_does_not_matter() -> None:
    """Rows may come in any order; the result is by persona and time."""
    runs = [
        ("b", "pending", 0, 1, 0, "create"),
        ("b", "reviewing", 4, 5),
        ("a", "pending", 3, 4, 3, "create"),
        ("a", "processing", 6, 7),
    ]
    frame = log(*runs)
    frame.loc[[1, 3], "source"] = "poll"
    now = DAY + timedelta(days=9)
    expected = stages.visits(frame, now=now)
    assert expected["persona_id"].tolist() == ["a"] * 2 + ["b"] * 6
    for seed in range(4):
        shuffled = frame.sample(frac=1, random_state=seed)
        pd.testing.assert_frame_equal(stages.visits(shuffled, now=now), expected)


def test_a_past_moment_can_be_replayed() -> None:
    """What was first seen after now is left out, and the last look is cut to it."""
    runs = (("a", "pending", 0, 1), ("a", "processing", 2, 8), ("a", "done", 9, 9))
    assert told(visits(*runs, now=5)) == [
        ("pending", "finished", 0, 0, 1, 2),
        ("processing", "running", 1, 2, 5, None),
    ]
    assert visits(*runs, now=-1).empty


def test_an_empty_log_gives_the_same_columns_and_dtypes() -> None:
    """Without sightings there are no visits, and a page can still compute with the frame."""
    full = visits(("a", "pending", 0, 1), ("a", "done", 4, 4))
    for empty in (visits(), visits(created={"a": 1})):
        assert empty.empty
        pd.testing.assert_series_equal(empty.dtypes, full.dtypes)
    untyped = stages.visits(pd.DataFrame(columns=COLUMNS), now=DAY)
    pd.testing.assert_series_equal(untyped.dtypes, full.dtypes)
    assert list(full.columns) == [
        *("persona_id", "visit_no", "stage", "state", *BOUNDS, "min_h", "max_h")
    ]


def test_bad_arguments_are_told_in_a_sentence() -> None:
    """A naive now and a frame of another kind are refused with what to do instead."""
    with pytest.raises(ValueError, match=r"now must carry a time zone; .*clock\.now"):
        stages.visits(log(), now=datetime(2026, 1, 1))  # noqa: DTZ001 the mistake itself
    with pytest.raises(ValueError, match=r"no column first_seen_at, .*store\.sightings"):
        stages.visits(log().drop(columns=["first_seen_at", "source"]), now=DAY)
    with pytest.raises(ValueError, match=r"no column created_at; pass store\.personas"):
        stages.visits(log(), now=DAY, personas=pd.DataFrame({"persona_id": ["a"]}))


@st.composite
def watched_life(draw: st.DrawFn) -> tuple[list[tuple[str, float, float]], list[float]]:
    """True visits (stage, entered, left) of one persona, and the moments it was looked at."""
    lengths = draw(st.lists(st.floats(0.01, 50), min_size=6, max_size=6))
    ends = np.cumsum([0, *lengths])
    life = [
        (stage.value, float(entered), float(left))
        for stage, entered, left in zip(STAGES, ends[:-1], ends[1:], strict=True)
    ]
    gaps = draw(st.lists(st.floats(0.01, 40), min_size=1, max_size=30))
    return life, [0.0, *np.cumsum(gaps).tolist()]


@settings(max_examples=150, deadline=None)
@given(watched_life(), st.booleans())
def test_the_bounds_contain_the_truth(
    watched: tuple[list[tuple[str, float, float]], list[float]], reports: bool
) -> None:
    """Whatever the life and the looks, entry, exit and duration lie within their bounds."""
    life, looks = watched
    runs: list[list[Any]] = []
    for look in looks:
        index = next((i for i, (_, _, left) in enumerate(life) if look < left), None)
        status = "done" if index is None else life[index][0]
        changed = life[-1][2] if index is None else life[index][1]
        if runs and runs[-1][1] == status:
            runs[-1][3] = look
        else:
            runs.append(["a", status, look, look, changed if reports else None, None])
    frame = visits(*(tuple(run) for run in runs), now=5000)

    fuzz = 1e-9
    by_stage = {stage: (entered, left) for stage, entered, left in life}
    for (stage, state, after, before, left_after, left_before), (_, row) in zip(
        told(frame), frame.iterrows(), strict=True
    ):
        entered, left = by_stage[stage]
        assert after - 1e-6 <= entered <= before + 1e-6
        assert left_after - 1e-6 <= left
        assert state == "running" or left <= left_before + 1e-6
        if state != "running":
            assert row["min_h"] - 1e-6 <= left - entered <= row["max_h"] + 1e-6
        assert 0 <= row["min_h"] <= row["max_h"] + fuzz
    last = "done" if runs[-1][1] == "done" else None
    if last:
        assert frame["stage"].tolist() == [stage.value for stage in STAGES]
