"""Visits and lives: what a few polls say about when something began and ended."""

from __future__ import annotations

from dataclasses import dataclass
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
HOUR = timedelta(hours=1)
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
LIFE = ["began_after", "began_before", "seen_from", "ended_after", "ended_before"]
BOUNDS = ["entered_after", "entered_before", "left_after", "left_before"]


def at(hours: float | None) -> datetime | None:
    """Return the moment this many hours into the day on which everything begins."""
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
    moment = at(now)
    assert moment is not None
    return stages.visits(log(*runs), now=moment, personas=creations(created))


def creations(created: dict[str, float | None] | None) -> pd.DataFrame | None:
    """Return the frame of personas that were created at these hours."""
    if created is None:
        return None
    rows = [(persona, at(hours)) for persona, hours in created.items()]
    return pd.DataFrame(rows, columns=["persona_id", "created_at"])


def lives(*runs: tuple[Any, ...], now: float = 1000, created: Any = None) -> pd.DataFrame:
    """Lives of such sightings; ``created`` maps a persona to the hour of its creation."""
    moment = at(now)
    assert moment is not None
    return stages.lives(log(*runs), now=moment, personas=creations(created))


def life(frame: pd.DataFrame) -> tuple[Any, ...]:
    """Status, state and the moments in hours (None where open) of the only row."""
    assert len(frame) == 1
    row = frame.iloc[0]
    hours = (None if pd.isna(row[name]) else (row[name] - DAY) / HOUR for name in LIFE)
    return (row["status"], row["state"], *hours)


def bounds_of(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Return stage, state and the four bounds in hours (None where open), row by row."""
    rows = []
    for _, row in frame.iterrows():
        hours = [
            None if pd.isna(row[name]) else round((row[name] - DAY) / timedelta(hours=1), 6)
            for name in BOUNDS
        ]
        rows.append((row["stage"], row["state"], *hours))
    return rows


def test_a_submitted_persona_has_bounds_between_its_polls() -> None:
    """Each change lies between the last poll at the old status and the first at the new."""
    frame = visits(
        ("a", "pending", 0, 1, 0), ("a", "processing", 2, 5), ("a", "voice_creating", 6, 6.5)
    )

    assert bounds_of(frame) == [
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
        assert bounds_of(frame) == [("reviewing", "finished", 0, 0, 1, 3)]


def test_updated_at_lowers_the_upper_bound_only_inside_the_gap() -> None:
    """reported_at tightens a bound between two polls, and is ignored outside of them."""
    inside = visits(("a", "pending", 0, 1), ("a", "processing", 4, 5, 2))
    assert bounds_of(inside)[0] == ("pending", "finished", 0, 0, 1, 2)
    assert bounds_of(inside)[1] == ("processing", "running", 1, 2, 5, None)
    for outside in (0.5, 1, 4, 4.5, None):
        frame = visits(("a", "pending", 0, 1), ("a", "processing", 4, 5, outside))
        assert bounds_of(frame)[0] == ("pending", "finished", 0, 0, 1, 4)


def test_created_at_begins_the_first_visit_unless_it_is_later_than_the_first_look() -> None:
    """The answer to the create dates the beginning; a clock that runs ahead cannot move it on."""
    for reported, entered in ((-0.25, -0.25), (0.5, 0), (None, 0)):
        frame = visits(("a", "pending", 0, 1, reported, "create"))
        assert bounds_of(frame) == [("pending", "running", entered, entered, 1, None)]


def test_stages_nobody_saw_are_proved_by_a_later_one() -> None:
    """Each stage between two that were seen took between nothing and the whole gap."""
    frame = visits(("a", "pending", 0, 1), ("a", "video_validating", 4, 5, 3))

    assert bounds_of(frame) == [
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

    assert bounds_of(frame) == [
        ("pending", "finished", 0, 0, 1, 2),
        ("reviewing", "running", 3, 5, 6, None),
    ]


def test_an_unknown_status_is_a_visit_and_proves_nothing() -> None:
    """An undocumented status is kept; the known ones around it still prove what they do."""
    frame = visits(("a", "pending", 0, 1), ("a", "polishing", 2, 3), ("a", "voice_creating", 4, 5))
    assert bounds_of(frame) == [
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
    """Its stage was entered between creation and the first poll, the ones before were passed."""
    frame = visits(("a", "voice_creating", 5, 6, None, "list"), created={"a": 1, "b": 0})

    assert bounds_of(frame) == [
        ("pending", "never_seen", 1, 5, 1, 5),
        ("processing", "never_seen", 1, 5, 1, 5),
        ("voice_creating", "running", 1, 5, 6, None),
    ]


def test_a_persona_found_pending_began_at_its_creation() -> None:
    """The status pending is where everything begins, so its beginning is exact."""
    frame = visits(
        ("a", "pending", 5, 6, None, "list"), ("a", "processing", 7, 8), created={"a": 1}
    )
    assert bounds_of(frame)[0] == ("pending", "finished", 1, 1, 6, 7)


def test_without_a_creation_the_beginning_is_open() -> None:
    """Nothing bounds the entry of a persona found midway, so its visit has no greatest length."""
    for created in (None, {"b": 1}, {"a": None}):
        frame = visits(("a", "reviewing", 5, 6, None, "poll"), ("a", "done", 7, 7), created=created)
        assert bounds_of(frame) == [("reviewing", "finished", None, 5, 6, 7)]
        assert frame["max_h"].tolist() == [np.inf]
        assert frame["min_h"].tolist() == [1]


def test_updated_at_tells_when_a_persona_found_midway_was_in_its_stage_already() -> None:
    """The first answer says that the status held since it was last modified at the latest."""
    frame = visits(("a", "reviewing", 5, 6, 3, "list"), created={"a": 4})
    assert bounds_of(frame)[-1] == ("reviewing", "running", 4, 5, 6, None)
    frame = visits(("a", "reviewing", 5, 6, 3, "list"), created={"a": 2})
    assert bounds_of(frame)[-1] == ("reviewing", "running", 2, 3, 6, None)
    assert bounds_of(visits(("a", "reviewing", 5, 6, 3, "list"))) == [
        ("reviewing", "running", None, 3, 6, None)
    ]


def test_a_creation_after_the_first_look_is_cut_to_it() -> None:
    """Two clocks may disagree; a visit never begins after it was seen."""
    frame = visits(("a", "processing", 5, 6, None, "list"), created={"a": 9})
    assert bounds_of(frame)[-1] == ("processing", "running", 5, 5, 6, None)
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
    assert bounds_of(visits(("a", "processing", 0, 1, 0, "create"))) == [
        ("processing", "running", 0, 0, 1, None)
    ]
    frame = visits(("a", "unknown", 0, 1, 0, "create"), ("a", "processing", 2, 3))
    assert bounds_of(frame)[1] == ("pending", "never_seen", 0, 2, 0, 2)


def test_neighbouring_rows_of_one_status_are_one_visit() -> None:
    """Two rows of the same status in a row count as one run from the first to the last poll."""
    frame = visits(("a", "pending", 0, 1, 0), ("a", "pending", 2, 3, 2), ("a", "processing", 4, 4))
    assert bounds_of(frame)[0] == ("pending", "finished", 0, 0, 3, 4)


def test_runs_that_overlap_keep_their_bounds_in_order() -> None:
    """Two machines that poll at once may log overlapping runs; no bound turns around."""
    frame = visits(("a", "pending", 0, 3), ("a", "processing", 2, 4), ("a", "done", 3, 3))
    assert bounds_of(frame)[:2] == [
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
    """What was first seen after now is left out, and the last poll is cut to it."""
    runs = (("a", "pending", 0, 1), ("a", "processing", 2, 8), ("a", "done", 9, 9))
    assert bounds_of(visits(*runs, now=5)) == [
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
        *("persona_id", "visit_no", "stage", "state", *BOUNDS, "min_h", "max_h"),
        *("entered_seen_at", "left_seen_at"),
    ]


def test_estimates_get_the_bounds_of_the_polls_alone() -> None:
    """What updated_at cut is whole again; what was found in pending begins by its first poll."""
    cut = visits(("a", "pending", 0, 1), ("a", "reviewing", 6, 7, 5), ("a", "done", 9, 9, 8))
    whole = stages.poll_bounds(cut)
    assert bounds_of(cut)[0][2:] == (0, 0, 1, 5)
    assert bounds_of(whole)[0][2:] == (0, 0, 1, 6)
    assert whole[["min_h", "max_h"]].iloc[-1].tolist() == [1, 8]
    assert cut[["min_h", "max_h"]].iloc[-1].tolist() == [2, 7]
    found = visits(("a", "pending", 5, 6, None, "list"), ("a", "done", 9, 9), created={"a": 1})
    assert bounds_of(found)[0][2:] == (1, 1, 6, 9)
    assert bounds_of(stages.poll_bounds(found))[0][2:] == (1, 5, 6, 9)
    running = stages.poll_bounds(visits(("a", "pending", 0, 4)))
    assert running[["min_h", "max_h"]].iloc[0].tolist() == [4, np.inf]
    plain = cut.drop(columns=["entered_seen_at", "left_seen_at"])
    assert stages.poll_bounds(plain) is plain


def test_bad_arguments_are_told_in_a_sentence() -> None:
    """A naive now and a frame of another kind are refused with what to do instead."""
    with pytest.raises(ValueError, match=r"now must carry a time zone; .*clock\.now"):
        stages.visits(log(), now=datetime(2026, 1, 1))  # noqa: DTZ001 the mistake itself
    with pytest.raises(ValueError, match=r"no column first_seen_at, .*store\.sightings"):
        stages.visits(log().drop(columns=["first_seen_at", "source"]), now=DAY)
    with pytest.raises(ValueError, match=r"no column created_at; pass store\.personas"):
        stages.visits(log(), now=DAY, personas=pd.DataFrame({"persona_id": ["a"]}))


class TestLives:
    """One row a persona, from its beginning to its end."""

    def test_a_submitted_persona_lives_from_its_creation_to_its_end(self) -> None:
        """The beginning is exact, the end lies between the last two polls."""
        for end in ("done", "failed", "rejected"):
            frame = lives(
                ("a", "pending", 0.5, 1, 0.25), ("a", "reviewing", 3, 4), ("a", end, 6, 9)
            )
            assert life(frame) == (end, end, 0.25, 0.25, 0.25, 4, 6)
            assert (frame["min_h"][0], frame["max_h"][0]) == (3.75, 5.75)

    def test_updated_at_says_nothing_of_the_end(self) -> None:
        """Lives are for estimates, which need the bounds of the polls alone."""
        frame = lives(("a", "pending", 0, 1), ("a", "done", 6, 9, 5))
        assert life(frame)[-2:] == (1, 6)

    def test_who_is_gone_is_marked_unless_it_has_ended(self) -> None:
        """A frame of personas that knows who is gone says so; what was done stays done."""
        runs = log(("a", "pending", 0, 1), ("b", "pending", 0, 1), ("b", "done", 2, 2))
        personas = pd.DataFrame(
            {"persona_id": ["a", "b"], "created_at": [DAY, DAY], "gone": [True, True]}
        )
        frame = stages.lives(runs, now=DAY + 9 * HOUR, personas=personas)
        assert frame["gone"].tolist() == [True, False]
        assert frame["state"].tolist() == ["running", "done"]
        assert not lives(("a", "pending", 0, 1))["gone"].any()

    def test_what_runs_ended_after_its_last_look(self) -> None:
        """ended_before is NaT and max_h infinite; the last poll bounds the age from below."""
        frame = lives(("a", "pending", 0, 1), ("a", "processing", 2, 7))
        assert life(frame) == ("processing", "running", 0, 0, 0, 7, None)
        assert (frame["min_h"][0], frame["max_h"][0]) == (7, np.inf)

    def test_what_runs_again_after_an_end_is_running(self) -> None:
        """The last status decides, and of two ends in a row the later one."""
        again = lives(("a", "pending", 0, 1), ("a", "failed", 2, 3), ("a", "reviewing", 5, 6))
        assert life(again) == ("reviewing", "running", 0, 0, 0, 6, None)
        twice = lives(("a", "pending", 0, 1), ("a", "failed", 2, 3), ("a", "rejected", 5, 6))
        assert life(twice) == ("rejected", "rejected", 0, 0, 0, 3, 5)

    def test_a_persona_found_midway_began_at_its_creation_and_is_followed_since(self) -> None:
        """Its creation dates the beginning, the first poll says since when it is observed."""
        frame = lives(("a", "reviewing", 5, 6, 3, "list"), created={"a": 1})
        assert life(frame) == ("reviewing", "running", 1, 1, 5, 6, None)
        assert frame["min_h"][0] == 5

    def test_an_unknown_creation_leaves_the_beginning_open(self) -> None:
        """began_after is NaT and max_h infinite; it began by its first poll."""
        for reported, begun in ((None, 5), (3, 5), (5.5, 5)):
            for created in (None, {"b": 1}, {"a": None}):
                runs = ("a", "reviewing", 5, 6, reported, "list"), ("a", "done", 8, 8)
                frame = lives(*runs, created=created)
                assert life(frame) == ("done", "done", None, begun, 5, 6, 8)
                assert (frame["min_h"][0], frame["max_h"][0]) == (6 - begun, np.inf)

    def test_a_creation_after_the_first_look_is_cut_to_it(self) -> None:
        """Two clocks may disagree; no persona is seen before it began."""
        frame = lives(("a", "processing", 5, 6, None, "list"), created={"a": 9})
        assert life(frame) == ("processing", "running", 5, 5, 5, 6, None)

    def test_what_is_found_already_ended_ended_after_its_creation(self) -> None:
        """Nothing else bounds its end from below; without a creation nothing does."""
        run = ("a", "failed", 9, 12, None, "list")
        known = lives(run, created={"a": 2})
        assert life(known) == ("failed", "failed", 2, 2, 9, 2, 9)
        assert (known["min_h"][0], known["max_h"][0]) == (0, 7)
        unknown = lives(run)
        assert life(unknown) == ("failed", "failed", None, 9, 9, None, 9)
        assert (unknown["min_h"][0], unknown["max_h"][0]) == (0, np.inf)

    def test_a_create_that_answers_an_end_is_over_at_once(self) -> None:
        """It began and ended at its creation."""
        assert life(lives(("a", "failed", 1, 4, 0.5))) == ("failed", "failed", *[0.5] * 5)

    def test_an_unknown_status_is_kept_and_runs(self) -> None:
        """An undocumented status is no end."""
        frame = lives(("a", "polishing", 0, 1), ("b", "done", 0, 1), ("a", "later", 2, 3))
        assert frame["status"].tolist() == ["later", "done"]
        assert frame["state"].tolist() == ["running", "done"]

    def test_there_is_one_row_a_persona_in_order(self) -> None:
        """Rows of the log may come in any order; the result is by persona."""
        runs = (("b", "pending", 0, 1), ("a", "pending", 3, 4), ("b", "done", 6, 7))
        frame = log(*runs)
        expected = stages.lives(frame, now=DAY + timedelta(days=9))
        assert expected["persona_id"].tolist() == ["a", "b"]
        assert expected.index.tolist() == [0, 1]
        for seed in range(4):
            shuffled = frame.sample(frac=1, random_state=seed)
            again = stages.lives(shuffled, now=DAY + timedelta(days=9))
            pd.testing.assert_frame_equal(again, expected)

    def test_a_past_moment_can_be_replayed(self) -> None:
        """An end that was first seen after now has not been seen yet."""
        runs = (("a", "pending", 0, 1), ("a", "processing", 2, 8), ("a", "done", 9, 9))
        assert life(lives(*runs, now=5)) == ("processing", "running", 0, 0, 0, 5, None)
        assert lives(*runs, now=-1).empty

    def test_an_empty_log_gives_the_same_columns_and_dtypes(self) -> None:
        """Without sightings there is no life, and a page can still compute with the frame."""
        full = lives(("a", "pending", 0, 1), ("a", "done", 4, 4))
        untyped = stages.lives(pd.DataFrame(columns=COLUMNS), now=DAY)
        for empty in (lives(), lives(created={"a": 1}), untyped):
            assert empty.empty
            pd.testing.assert_series_equal(empty.dtypes, full.dtypes)
        assert list(full.columns) == [
            *("persona_id", "status", "state", *LIFE, "min_h", "max_h", "gone", "found_ended")
        ]
        assert {str(full[name].dtype) for name in LIFE} == {"datetime64[us, UTC]"}

    def test_bad_arguments_are_told_in_a_sentence(self) -> None:
        """A naive now and a frame of another kind are refused with what to do instead."""
        with pytest.raises(ValueError, match=r"now must carry a time zone; .*clock\.now"):
            stages.lives(log(), now=datetime(2026, 1, 1))  # noqa: DTZ001 the mistake itself
        with pytest.raises(ValueError, match=r"no column source; pass store\.sightings"):
            stages.lives(log().drop(columns=["source"]), now=DAY)
        with pytest.raises(ValueError, match=r"no column created_at; pass store\.personas"):
            stages.lives(log(), now=DAY, personas=pd.DataFrame({"persona_id": ["a"]}))


@dataclass
class Watched:
    """A true life in minutes since its creation, and what polls of it found."""

    visits: list[tuple[str, int, int]]
    """(stage, entered, left), one after the other."""
    end: str
    ended: int
    runs: list[list[Any]]
    """(status, first poll, last poll, reported_at)"""
    submitted_here: bool
    creation_known: bool

    def frame(self) -> pd.DataFrame:
        """Its sightings."""
        hours = [
            ("a", status, *(None if at is None else at / 60 for at in moments))
            for status, *moments in self.runs
        ]
        source = "create" if self.submitted_here else "list"
        return log((*hours[0], source), *hours[1:])

    def personas(self) -> pd.DataFrame | None:
        """Return what else is known of its creation."""
        if not self.creation_known:
            return None
        return pd.DataFrame({"persona_id": ["a"], "created_at": [DAY]})


@st.composite
def watched(draw: st.DrawFn) -> Watched:
    """Draw a life with stages left out, undocumented ones and any end; submitted or found."""
    names = [STAGES[0].value, *(stage.value for stage in STAGES[1:] if draw(st.integers(0, 9)))]
    end = draw(st.sampled_from(["done", "done", "failed", "rejected"]))
    if end != "done":
        names = names[: draw(st.integers(1, len(names)))]
    if draw(st.integers(0, 3)) == 0:
        names.insert(draw(st.integers(1, len(names))), "polishing")
    long = st.integers(0, 2000) | st.integers(0, 30)
    lengths = draw(st.lists(long, min_size=len(names), max_size=len(names)))
    edges = [0, *np.cumsum(lengths).tolist()]
    visits = list(zip(names, edges[:-1], edges[1:], strict=True))

    here = draw(st.booleans())
    first = draw(st.integers(0, max(lengths[0] - 1, 0) if here else edges[-1] + 100))
    gaps = draw(st.lists(st.integers(1, 1500) | st.integers(1, 30), max_size=25))
    reports = draw(st.booleans()) or here
    runs: list[list[Any]] = []
    for look in (first + np.cumsum([0, *gaps])).tolist():
        status, since = next(
            ((name, entered) for name, entered, left in visits if look < left), (end, edges[-1])
        )
        if runs and runs[-1][0] == status:
            runs[-1][2] = look
            continue
        # It was last modified when its status changed, or later.
        modified = draw(st.integers(since, look)) if reports else None
        runs.append([status, look, look, 0 if here and not runs else modified])
    return Watched(visits, end, edges[-1], runs, here, draw(st.booleans()))


def minutes(moment: pd.Timestamp) -> float:
    """Minutes since the creation, NaN where there is no moment."""
    return float((moment - DAY) / timedelta(minutes=1))


def holds(low: pd.Timestamp, value: float, high: pd.Timestamp) -> bool:
    """Whether a value lies between two moments, of which either may be open."""
    return not (minutes(low) > value or minutes(high) < value)


@settings(max_examples=100, deadline=None)
@given(watched(), st.integers(0, 20_000))
def test_the_bounds_of_visits_contain_the_truth(watched: Watched, now: int) -> None:
    """Whatever the life, polls and moment, each entry, exit and duration lies in its bounds."""
    moment = DAY + timedelta(minutes=now)
    frame = stages.visits(watched.frame(), now=moment, personas=watched.personas())

    truth = {stage: (entered, left) for stage, entered, left in watched.visits}
    seen = [status for status, first, *_ in watched.runs if first <= now]
    for row in frame.itertuples():
        if row.stage not in truth:
            # The life left this stage out, and nobody can know.
            assert row.state == "never_seen"
            assert row.min_h == 0
            continue
        entered, left = truth[row.stage]
        assert holds(row.entered_after, entered, row.entered_before)
        assert holds(row.left_after, left, row.left_before)
        assert 0 <= row.min_h <= row.max_h
        assert row.min_h <= (left - entered) / 60 + 1e-9
        assert (left - entered) / 60 <= row.max_h + 1e-9
        assert (row.state == "running") == (row.stage == seen[-1])
        assert pd.isna(row.left_before) == (row.state == "running")
        assert (row.state == "never_seen") == (row.stage not in seen)
        if row.state == "never_seen":
            assert minutes(row.entered_after) == minutes(row.left_after)
            assert minutes(row.entered_before) == minutes(row.left_before)
    assert [stage for stage in frame["stage"] if stage in seen] == [
        status for status in seen if status not in ("done", "failed", "rejected")
    ]
    # What a create answers first was not preceded by anything.
    begun = seen[:1] == ["pending"] if watched.submitted_here else watched.creation_known
    if begun and seen and seen[-1] == "done":
        assert {stage.value for stage in STAGES} <= set(frame["stage"])


@settings(max_examples=100, deadline=None)
@given(watched(), st.integers(0, 20_000))
def test_the_bounds_of_lives_contain_the_truth(watched: Watched, now: int) -> None:
    """Whatever the life, polls and moment, beginning, end and length lie within their bounds."""
    moment = DAY + timedelta(minutes=now)
    frame = stages.lives(watched.frame(), now=moment, personas=watched.personas())

    seen = [run for run in watched.runs if run[1] <= now]
    assert len(frame) == (1 if seen else 0)
    for row in frame.itertuples():
        assert row.status == seen[-1][0]
        assert row.state == (watched.end if seen[-1][0] == watched.end else "running")
        assert holds(row.began_after, 0, row.began_before)
        known = watched.submitted_here or watched.creation_known
        assert minutes(row.began_before) == 0 or not known
        assert pd.isna(row.began_after) != known
        assert minutes(row.seen_from) == (0 if watched.submitted_here else seen[0][1])
        assert holds(row.ended_after, watched.ended, row.ended_before)
        assert pd.isna(row.ended_before) == (row.state == "running")
        assert row.min_h <= watched.ended / 60 + 1e-9
        assert watched.ended / 60 <= row.max_h + 1e-9
        assert np.isinf(row.max_h) == (row.state == "running" or not known)
