"""Flow: who stands where at the end of each day, and how waiting times change."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit import flow, stages
from avatarkit.models import ProcessStatus

MONDAY = pd.Timestamp("2026-03-02", tz="UTC")
KNOWN = [status.value for status in ProcessStatus]
MOMENT = "datetime64[us, UTC]"


def at(hours: float) -> datetime:
    """Return the moment this many hours after a Monday began."""
    return (MONDAY + timedelta(hours=hours)).to_pydatetime()


def log(*runs: tuple[str, str, float]) -> pd.DataFrame:
    """Sightings from (persona, status, hour first seen)."""
    frame = pd.DataFrame(runs, columns=["persona_id", "status", "hour"])
    seen = MONDAY + pd.to_timedelta(frame["hour"].astype("float64"), unit="h")
    kinds = {"persona_id": "str", "status": "str"}
    moments = dict.fromkeys(["first_seen_at", "last_seen_at"], seen.astype(MOMENT))
    frame = frame.drop(columns="hour").astype(kinds)
    return frame.assign(**moments, reported_at=pd.NaT, source="poll")


def lives(*rows: tuple[float | None, float, str, float, float]) -> pd.DataFrame:
    """Lives from (began after, began before, state, min_h, max_h), the first two in hours."""
    frame = pd.DataFrame(rows, columns=["after", "before", "state", "min_h", "max_h"])
    bounds = {
        f"began_{name}": (MONDAY + pd.to_timedelta(frame[name].astype("float64"), unit="h")).astype(
            MOMENT
        )
        for name in ("after", "before")
    }
    ids = pd.Series([f"p{i:03}" for i in range(len(frame))], dtype="str")
    kinds = {"state": "str", "min_h": "float64", "max_h": "float64"}
    frame = frame.drop(columns=["after", "before"]).astype(kinds)
    return frame.assign(persona_id=ids, **bounds)


def standing(frame: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return the counts that are not 0, by day and status."""
    some = frame.loc[frame["personas"] != 0]
    found: dict[str, dict[str, int]] = {}
    for day, status, personas in some.itertuples(index=False):
        found.setdefault(f"{day:%m-%d}", {})[status] = personas
    return found


class TestCumulative:
    def test_a_hand_solved_log(self) -> None:
        """A persona counts from its first day on, in the status last seen by the day's end."""
        sightings = log(
            *[("a", "pending", 1), ("a", "processing", 5), ("a", "done", 50)],
            *[("b", "pending", 23.99), ("b", "failed", 24), ("c", "reviewing", 71)],
        )
        frame = flow.cumulative(sightings, now=at(80))
        assert standing(frame) == {
            "03-02": {"pending": 1, "processing": 1},
            "03-03": {"processing": 1, "failed": 1},
            "03-04": {"reviewing": 1, "done": 1, "failed": 1},
            "03-05": {"reviewing": 1, "done": 1, "failed": 1},
        }
        assert len(frame) == 4 * 9
        assert frame["status"].tolist() == KNOWN * 4
        assert dict(frame.dtypes.astype(str)) == {
            "day": MOMENT,
            "status": "str",
            "personas": "int64",
        }

    def test_who_is_gone_is_in_flight_no_more(self) -> None:
        """A gone persona counts until the day of its last poll; what was done stays."""
        sightings = log(("a", "pending", 1), ("b", "pending", 2), ("c", "pending", 3))
        sightings = pd.concat([sightings, log(("c", "done", 30))], ignore_index=True)
        sightings["last_seen_at"] = sightings["first_seen_at"] + pd.Timedelta(hours=30)
        personas = pd.DataFrame({"persona_id": ["a", "b", "c"], "gone": [True, False, True]})
        frame = flow.cumulative(sightings, now=at(80), personas=personas)
        assert standing(frame) == {
            "03-02": {"pending": 3},
            "03-03": {"pending": 2, "done": 1},
            "03-04": {"pending": 1, "done": 1},
            "03-05": {"pending": 1, "done": 1},
        }

    def test_days_are_those_of_a_time_zone(self) -> None:
        """In New York Monday begins and ends five hours later; a change of clocks shifts no day."""
        zone, sightings = ZoneInfo("America/New_York"), log(("a", "pending", 4), ("a", "done", 28))
        frame = flow.cumulative(sightings, now=at(53), zone=zone)
        assert standing(frame) == {
            "03-01": {"pending": 1},
            "03-02": {"done": 1},
            "03-03": {"done": 1},
            "03-04": {"done": 1},
        }
        assert str(frame["day"].dtype) == MOMENT
        weeks = flow.cumulative(sightings, now=at(24 * 14), zone=zone)["day"]
        assert weeks.drop_duplicates().diff().dropna().eq(pd.Timedelta(days=1)).all()

    def test_a_past_moment_knows_nothing_of_later(self) -> None:
        """What was first seen after ``now`` does not count, nor do days after it."""
        sightings = log(("a", "pending", 1), ("a", "done", 30), ("b", "pending", 40))
        assert standing(flow.cumulative(sightings, now=at(29))) == {
            "03-02": {"pending": 1},
            "03-03": {"pending": 1},
        }
        assert flow.cumulative(sightings, now=at(0.5)).empty

    def test_statuses_that_nobody_has_heard_of_come_last(self) -> None:
        """They are counted as they came, by name, and a missing one as unknown."""
        sightings = log(("a", "zeta", 1), ("b", "alpha", 2), ("c", "pending", 3))
        sightings.loc[2, "status"] = None
        frame = flow.cumulative(sightings, now=at(4))
        assert frame["status"].tolist() == [*KNOWN, "alpha", "unknown", "zeta"]
        assert frame["personas"].tolist() == [0] * 9 + [1, 1, 1]

    def test_an_empty_log_has_the_same_columns(self) -> None:
        """Without a sighting there is no day, and every column has its kind."""
        frame = flow.cumulative(log(), now=at(0))
        assert frame.empty
        full = flow.cumulative(log(("a", "pending", 0)), now=at(0))
        assert (frame.dtypes == full.dtypes).all()

    def test_bad_input_is_a_sentence(self) -> None:
        """A moment without a zone and a missing column are refused in one sentence."""
        with pytest.raises(ValueError, match=r"now must carry a time zone; use .*clock\.now"):
            flow.cumulative(log(), now=datetime(2026, 3, 2))  # noqa: DTZ001
        with pytest.raises(ValueError, match=r"no column status; pass store\.sightings\(\)"):
            flow.cumulative(log().drop(columns="status"), now=at(0))

    @given(
        runs=st.lists(
            st.tuples(
                st.sampled_from("abc"),
                st.sampled_from([*KNOWN[:3], "done", "odd"]),
                st.floats(0, 240, allow_nan=False).map(lambda hour: round(hour, 3)),
            ),
            max_size=12,
            unique_by=lambda run: (run[0], run[2]),
        ),
        now=st.floats(0, 260).map(lambda hour: round(hour, 3)),
    )
    def test_it_is_what_a_slow_look_at_each_evening_gives(
        self, runs: list[tuple[str, str, float]], now: float
    ) -> None:
        """For any log: each day, each persona, the last run that began before the day's end."""
        sightings = log(*runs)
        frame = flow.cumulative(sightings, now=at(now))
        seen = [
            (persona, status, moment)
            for persona, status, moment in sightings.iloc[:, :3].itertuples(index=False)
            if moment <= at(now)
        ]
        expected: dict[str, dict[str, int]] = {}
        if seen:
            day = min(moment for *_, moment in seen).floor("D")
            while day <= at(now):
                end = day + pd.Timedelta(days=1)
                by_time = sorted(seen, key=lambda run: run[2])
                last = {persona: status for persona, status, moment in by_time if moment < end}
                counts = expected.setdefault(f"{day:%m-%d}", {})
                for status in last.values():
                    counts[status] = counts.get(status, 0) + 1
                day = end
        assert standing(frame) == expected


class TestWaiting:
    def test_totals_by_submission(self) -> None:
        """A row a persona by its submission, with the bounds of its life."""
        frame = flow.waiting(
            lives((5, 5, "done", 40, 42), (1, 2, "running", 7, np.inf), (9, 9, "failed", 1, 3))
        )
        assert frame["persona_id"].tolist() == ["p001", "p000", "p002"]
        assert frame["submitted_at"].tolist() == [at(2), at(5), at(9)]
        assert frame["state"].tolist() == ["running", "done", "failed"]
        assert frame["min_h"].tolist() == [7, 40, 1]
        assert frame["max_h"].tolist() == [np.inf, 42, 3]

    def test_what_nothing_bounds_is_left_out(self) -> None:
        """Nobody knows when one was submitted that was found midway without a creation."""
        frame = flow.waiting(lives((None, 5, "done", 40, np.inf)))
        assert frame.empty
        full = flow.waiting(lives((5, 5, "done", 40, 41)))
        assert (frame.dtypes == full.dtypes).all()
        with pytest.raises(ValueError, match=r"no column .*, min_h; pass what stages\.lives"):
            flow.waiting(full.drop(columns="min_h"))

    def test_it_takes_the_lives_of_a_log(self) -> None:
        """The frame of ``stages.lives`` fits as it comes."""
        sightings = log(("a", "pending", 0), ("a", "done", 30)).assign(
            last_seen_at=[at(20), at(30)], reported_at=pd.NaT, source=["create", "poll"]
        )
        frame = flow.waiting(stages.lives(sightings, now=at(99)))
        assert frame[["min_h", "max_h"]].to_numpy().tolist() == [[20, 30]]


def totals(*rows: tuple[float, str, float, float]) -> pd.DataFrame:
    """Return the frame of ``flow.waiting`` from (hour of submission, state, min_h, max_h)."""
    return flow.waiting(
        lives(*((hour, hour, state, least, most) for hour, state, least, most in rows))
    )


def spread(count: int, days: float) -> pd.DataFrame:
    """Return ``count`` done personas, submitted evenly over ``days``."""
    return totals(*((24 * days * i / count, "done", 10.0, 10.0) for i in range(count)))


class TestWaitingPercentiles:
    def test_a_hand_solved_week(self) -> None:
        """Half of ten have ended after 5 h; who still runs at 4.5 h counts as such."""
        ended = [(float(i), "done", hours, hours) for i, hours in enumerate(range(1, 10))]
        running = (9.0, "running", 4.5, np.inf)
        frame = flow.waiting_percentiles(totals(*ended, running))
        (week,) = frame.to_dict("records")
        assert (week["from"], week["to"]) == (at(0), at(7 * 24))
        assert (week["n"], week["running"]) == (10, 1)
        # 0.9, 0.8, 0.7, 0.6, then five are left: 0.48, 0.36, 0.24, 0.12, 0.
        assert (week["p10_h"], week["p50_h"], week["p90_h"]) == (1, 5, 9)

    def test_a_total_is_in_the_middle_of_its_bounds(self) -> None:
        """An end between two polls is taken in their middle."""
        frame = flow.waiting_percentiles(totals(*[(0, "failed", 10, 14)] * 5))
        assert frame.loc[0, ["p10_h", "p50_h", "p90_h"]].tolist() == [12, 12, 12]

    def test_fewer_than_five_ends_give_no_number(self) -> None:
        """Four ends say nothing; nor does a percentile beyond what has ended."""
        few = flow.waiting_percentiles(totals(*[(0, "done", 1, 1)] * 4, (1, "running", 9, np.inf)))
        assert few[["p10_h", "p50_h", "p90_h"]].isna().all(axis=None)
        assert few[["n", "running"]].to_numpy().tolist() == [[5, 1]]
        half = flow.waiting_percentiles(
            totals(*[(0, "done", 1, 1)] * 6, *[(0, "running", 2, np.inf)] * 4)
        )
        assert half.loc[0, ["p10_h", "p50_h"]].tolist() == [1, 1]
        assert np.isnan(half.loc[0, "p90_h"])

    @pytest.mark.parametrize(
        ("count", "days", "edges"),
        [
            (60, 28, ["2026-03-02", "2026-03-09", "2026-03-16", "2026-03-23", "2026-03-30"]),
            (40, 100, ["2026-03-01", "2026-04-01", "2026-05-01", "2026-06-01", "2026-07-01"]),
            (20, 300, ["2026-01-01", "2026-04-01", "2026-07-01", "2026-10-01", "2027-01-01"]),
            (9, 400, ["2026-01-01", "2027-01-01", "2028-01-01"]),
            (3, 14, ["2026-03-02", "2026-03-09", "2026-03-16"]),
        ],
    )
    def test_periods_are_long_enough(self, count: int, days: float, edges: list[str]) -> None:
        """Weeks where most have five ends, else months, quarters, years; weeks where none has."""
        frame = flow.waiting_percentiles(spread(count, days))
        found = [*frame["from"], frame["to"].iloc[-1]]
        assert [f"{edge:%Y-%m-%d}" for edge in found] == edges
        assert frame["to"].tolist()[:-1] == frame["from"].tolist()[1:]
        assert frame["n"].sum() == count

    def test_empty_periods_are_there(self) -> None:
        """Weeks without a submission have a row with n 0."""
        frame = flow.waiting_percentiles(totals((0, "done", 1, 1), (15 * 24, "done", 1, 1)))
        assert frame["n"].tolist() == [1, 0, 1]

    def test_a_very_long_log_goes_by_years(self) -> None:
        """Even sixty years, as of a wrong clock, give rows and no error."""
        frame = flow.waiting_percentiles(totals((0, "done", 1, 1), (24 * 366 * 60, "done", 1, 1)))
        assert len(frame) == 61

    def test_an_empty_frame_has_the_same_columns(self) -> None:
        """Without a persona there is no period, and every column has its kind."""
        frame = flow.waiting_percentiles(totals())
        assert frame.empty
        assert dict(frame.dtypes.astype(str)) == {
            **dict.fromkeys(["from", "to"], MOMENT),
            **dict.fromkeys(["n", "running"], "int64"),
            **dict.fromkeys(["p10_h", "p50_h", "p90_h"], "float64"),
        }
        with pytest.raises(ValueError, match="no column submitted_at"):
            flow.waiting_percentiles(totals().drop(columns="submitted_at"))
