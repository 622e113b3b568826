"""Scripts of personas: drawn once, then only computed."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from avatarkit.estimates.business_hours import BusinessHours
from avatarkit.models import STAGES, TERMINAL, ProcessStatus, as_status
from avatarkit.sandbox.personas import lifecycle
from avatarkit.sandbox.personas.lifecycle import REVIEW_HOURS, Scenario

ids = st.uuids(version=4).map(str)
scenarios = st.none() | st.sampled_from(list(Scenario))
flaws = st.none() | st.just("The video is broken.")
births = st.datetimes(
    datetime(2024, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(2030, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
BORN = datetime(2026, 1, 5, 9, tzinfo=UTC)
ORDER = [stage.value for stage in STAGES]
SCRIPTS = TypeAdapter(lifecycle.Script)


def total_h(script: lifecycle.Script) -> float:
    """Return the hours from creation to the end."""
    return sum(hours for _, hours in script.stages)


def drawn(
    persona_id: str, scenario: Scenario | None, flaw: str | None, born: datetime = BORN
) -> lifecycle.Script:
    """Return the script of that persona, with that flaw of its video if there is one."""
    life = lifecycle.draw(persona_id, born, scenario=scenario)
    return life if flaw is None else life.failing(flaw)


@given(ids, births, scenarios)
def test_the_same_id_always_lives_the_same_life(
    persona_id: str, born: datetime, scenario: Scenario | None
) -> None:
    """Drawing is pure; only the review, which needs business hours, depends on the date."""
    first = lifecycle.draw(persona_id, born, scenario=scenario)
    assert first == lifecycle.draw(persona_id, born, scenario=scenario)
    other = lifecycle.draw(persona_id, born + timedelta(days=2, hours=9), scenario=scenario)
    assert (other.end, other.reason) == (first.end, first.reason)
    for mine, its in zip(first.stages, other.stages, strict=True):
        assert mine == its or mine[0] == its[0] == "reviewing"


@given(ids, births)
def test_a_done_life_takes_two_to_five_days_through_all_stages(
    persona_id: str, born: datetime
) -> None:
    """Created on any weekday, a life that ends as done has all six stages and 48 to 120 hours."""
    life = lifecycle.draw(persona_id, born, scenario=Scenario.DONE)
    assert [status for status, _ in life.stages] == ORDER
    assert 48 <= total_h(life) <= 120
    assert (life.end, life.reason) == ("done", None)


@given(ids, births)
def test_nobody_reviews_at_night_or_on_weekends(persona_id: str, born: datetime) -> None:
    """A review ends when reviewers work, after at least some business hours."""
    life = lifecycle.draw(persona_id, born, scenario=Scenario.DONE)
    ends = born + timedelta(hours=total_h(life))
    begins = ends - timedelta(hours=life.stages[-1][1])
    there = ends + timedelta(hours=REVIEW_HOURS.utc_offset_h)
    assert there.weekday() < 5
    assert 9 <= there.hour + there.minute / 60 <= 18 + 1e-6
    assert REVIEW_HOURS.between(begins, ends) > 0


@given(ids, births)
def test_the_hours_of_a_stage_do_not_depend_on_the_outcome(persona_id: str, born: datetime) -> None:
    """However it ends, the stages that are passed take as long."""
    done = lifecycle.draw(persona_id, born, scenario=Scenario.DONE).stages
    for scenario in (*lifecycle.SHARES, Scenario.STUCK):
        stages = lifecycle.draw(persona_id, born, scenario=scenario).stages
        assert stages == done[: len(stages)]


@given(ids)
def test_failed_and_rejected_lives_say_why(persona_id: str) -> None:
    """A failure has a reason and a stage in which failures happen; a rejection ends a review."""
    failed = lifecycle.draw(persona_id, BORN, scenario=Scenario.FAILED)
    assert failed.end == "failed"
    assert (failed.stages[-1][0], failed.reason) in {(s, r) for s, _, r in lifecycle.FAILURES}
    rejected = lifecycle.draw(persona_id, BORN, scenario=Scenario.REJECTED)
    assert (rejected.end, rejected.stages[-1][0]) == ("rejected", "reviewing")
    assert rejected.reason in lifecycle.REJECTIONS


@given(ids, births)
def test_a_stuck_life_never_ends(persona_id: str, born: datetime) -> None:
    """It goes as far as one declared stage and stays there for ever."""
    life = lifecycle.draw(persona_id, born, scenario=Scenario.STUCK)
    for days in (5, 5000):
        stand = lifecycle.state_at(life, born, born + timedelta(days=days))
        assert (stand.status, stand.reason) == (lifecycle.STUCK_STAGE, None)
    assert lifecycle.STUCK_STAGE not in TERMINAL


@given(ids, births)
def test_an_unknown_status_is_shown_for_a_while(persona_id: str, born: datetime) -> None:
    """An undocumented status comes between two known ones; the life takes no longer."""
    life = lifecycle.draw(persona_id, born, scenario=Scenario.UNKNOWN_STATUS)
    names = [status for status, _ in life.stages]
    place = names.index(lifecycle.UNDOCUMENTED_STATUS)
    assert as_status(lifecycle.UNDOCUMENTED_STATUS) is None
    assert names[:place] + names[place + 1 :] == ORDER
    assert 0 < place < len(names) - 1
    assert life.stages[place][1] > 0
    done = lifecycle.draw(persona_id, born, scenario=Scenario.DONE)
    assert total_h(life) == pytest.approx(total_h(done))
    assert life.end == "done"


@given(ids, births)
def test_skipped_stages_are_never_shown(persona_id: str, born: datetime) -> None:
    """Two stages are missing, in the right order otherwise, and the life takes as long."""
    life = lifecycle.draw(persona_id, born, scenario=Scenario.SKIPS_STAGES)
    names = [status for status, _ in life.stages]
    assert names == [status for status in ORDER if status not in lifecycle.SKIPPED_STAGES]
    assert "video_validating" in names
    done = lifecycle.draw(persona_id, born, scenario=Scenario.DONE)
    assert total_h(life) == pytest.approx(total_h(done))
    assert life.end == "done"


@given(ids, births)
def test_a_slow_review_takes_a_working_week_more(persona_id: str, born: datetime) -> None:
    """Only the review is longer, by 45 business hours, which are seven days."""
    slow = lifecycle.draw(persona_id, born, scenario=Scenario.SLOW_REVIEW)
    done = lifecycle.draw(persona_id, born, scenario=Scenario.DONE)
    assert slow.stages[:-1] == done.stages[:-1]
    assert slow.stages[-1][1] - done.stages[-1][1] == pytest.approx(7 * 24, abs=0.001)
    assert slow.end == "done"


@given(ids, scenarios)
def test_a_flaw_of_the_video_wins_once_it_is_validated(
    persona_id: str, scenario: Scenario | None
) -> None:
    """It ends a life at the end of video_validating, unless that life never gets there."""
    life = lifecycle.draw(persona_id, BORN, scenario=scenario)
    flawed = life.failing("The video is broken.")
    if "video_validating" in [status for status, _ in life.stages]:
        assert (flawed.end, flawed.reason) == ("failed", "The video is broken.")
        assert flawed.stages == life.stages[: len(flawed.stages)]
        assert flawed.stages[-1][0] == "video_validating"
    else:
        assert flawed == life
        assert life.end in ("failed", lifecycle.STUCK_STAGE)


@given(ids, scenarios, flaws, births, st.lists(st.floats(-10, 400), min_size=2, max_size=20))
def test_a_life_only_goes_forward(
    persona_id: str,
    scenario: Scenario | None,
    flaw: str | None,
    born: datetime,
    hours: list[float],
) -> None:
    """As time passes, stages follow their order, and since never lies ahead or goes back."""
    life = drawn(persona_id, scenario, flaw, born)
    order = [*(status for status, _ in life.stages), life.end]
    moments = [born + timedelta(hours=h) for h in sorted(hours)]
    seen = [lifecycle.state_at(life, born, now) for now in moments]
    places = [order.index(stand.status) for stand in seen]
    assert places == sorted(places)
    assert [s.since for s in seen] == sorted(s.since for s in seen)
    for now, stand in zip(moments, seen, strict=True):
        assert born <= stand.since <= max(now, born)
        assert (stand.reason is None) == (stand.status not in ("failed", "rejected"))


@given(ids, scenarios, flaws)
def test_a_life_changes_at_the_moments_that_it_reports(
    persona_id: str, scenario: Scenario | None, flaw: str | None
) -> None:
    """At since the new status holds, and a microsecond before it the one before."""
    life = drawn(persona_id, scenario, flaw)
    tick = timedelta(microseconds=1)
    end = lifecycle.state_at(life, BORN, BORN + timedelta(days=30))
    later, stand = end, end
    for status, _ in reversed(life.stages):
        known = as_status(status)
        assert known is None or lifecycle.stage_end(life, BORN, known) == later.since
        stand = lifecycle.state_at(life, BORN, later.since - tick)
        assert stand.status == status
        assert lifecycle.state_at(life, BORN, later.since).status == later.status
        later = stand
    assert stand.since == BORN


@given(ids, scenarios, flaws)
def test_a_script_survives_json(
    persona_id: str, scenario: Scenario | None, flaw: str | None
) -> None:
    """What is read back is what was written."""
    life = drawn(persona_id, scenario, flaw)
    assert SCRIPTS.validate_json(SCRIPTS.dump_json(life)) == life


@pytest.mark.parametrize("hours", [-1, float("inf"), float("nan")])
def test_a_script_with_impossible_hours_is_refused(hours: float) -> None:
    """Hours below nothing or without an end are no script."""
    script = lifecycle.Script((("pending", hours),), "done", None)
    with pytest.raises(ValidationError, match=r"finite number|greater than or equal to 0"):
        SCRIPTS.validate_json(to_json(script))


def test_outcomes_come_in_their_declared_shares() -> None:
    """Of many personas without a label about 85, 8 and 7 of a hundred end each way."""
    ends = Counter(lifecycle.draw(f"persona {number}", BORN).end for number in range(4000))
    for scenario, share in lifecycle.SHARES.items():
        assert abs(ends[scenario.value] / 4000 - share) < 0.02


def test_stages_take_about_as_long_as_declared() -> None:
    """Half of the stays in a stage are shorter than its median in the table, within a fifth."""
    lives = [
        lifecycle.draw(f"persona {number}", BORN, scenario=Scenario.DONE) for number in range(1000)
    ]
    for place, stage in enumerate(STAGES):
        hours = [life.stages[place][1] for life in lives]
        if stage is ProcessStatus.REVIEWING:
            ends = [BORN + timedelta(hours=total_h(life)) for life in lives]
            hours = [
                REVIEW_HOURS.between(end - timedelta(hours=h), end)
                for end, h in zip(ends, hours, strict=True)
            ]
        assert abs(sorted(hours)[500] / lifecycle.MEDIAN_H[stage] - 1) < 0.2


@pytest.mark.parametrize(
    ("labels", "scenario"),
    [
        ([], None),
        (["mine", "sandbox:nothing"], None),
        (["mine", "sandbox:failed", "sandbox:done"], Scenario.FAILED),
        *(([label], scenario) for label, scenario in lifecycle.LABELS.items()),
    ],
)
def test_the_first_label_of_a_scenario_counts(labels: list[str], scenario: Scenario | None) -> None:
    """Labels of other kinds are not counted."""
    assert lifecycle.scenario_of(labels) is scenario


def test_every_outcome_on_demand_has_its_label() -> None:
    """The labels are those that the documentation names."""
    assert set(lifecycle.LABELS) == {
        "sandbox:done",
        "sandbox:failed",
        "sandbox:rejected",
        "sandbox:stuck",
        "sandbox:unknown-status",
        "sandbox:slow-review",
        "sandbox:skips-stages",
    }


class TestOffice:
    """Hours that count from Monday to Friday only."""

    REVIEW_HOURS = BusinessHours(opens_h=9, closes_h=18, utc_offset_h=-8)

    @pytest.mark.parametrize(
        ("start", "business_h", "end"),
        [
            ("2026-01-05T17:00", 1, "2026-01-05T18:00"),  # Monday, 9 o'clock there
            ("2026-01-05T09:00", 1, "2026-01-05T18:00"),  # at night: from the morning on
            ("2026-01-06T01:00", 3, "2026-01-06T19:00"),  # an hour before closing
            ("2026-01-10T00:00", 3, "2026-01-12T18:00"),  # Friday, 16 o'clock: Monday
            ("2026-01-10T20:00", 1, "2026-01-12T18:00"),  # Saturday
            ("2026-01-05T17:00", 45, "2026-01-10T02:00"),  # a whole week
            ("2026-01-05T17:00", 0, "2026-01-05T17:00"),
        ],
    )
    def test_hours_pass_only_when_it_is_open(self, start: str, business_h: float, end: str) -> None:
        """Nights and weekends are skipped, at the declared offset."""
        begins, ends = (datetime.fromisoformat(f"{text}+00:00") for text in (start, end))
        assert self.REVIEW_HOURS.after(begins, business_h) == ends
        assert self.REVIEW_HOURS.between(begins, ends) == business_h

    @given(births, st.floats(0, 100))
    def test_counting_undoes_adding(self, start: datetime, business_h: float) -> None:
        """Between a moment and the one some business hours later lie just as many."""
        ends = self.REVIEW_HOURS.after(start, business_h)
        assert ends.tzinfo is UTC
        assert self.REVIEW_HOURS.between(start, ends) == pytest.approx(business_h, abs=1e-6)
