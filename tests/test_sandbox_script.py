"""Lives of the sandbox: drawn once, then only computed."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit.models import STAGES, ProcessStatus
from avatarkit.sandbox import script

ids = st.uuids(version=4).map(str)
outcomes = st.none() | st.sampled_from(list(script.SHARES))
flaws = st.none() | st.just("The video is broken.")
BORN = datetime(2026, 1, 5, 9, tzinfo=UTC)
ORDER = [stage.value for stage in STAGES]


@given(ids, outcomes, flaws)
def test_the_same_id_always_lives_the_same_life(
    persona_id: str, outcome: ProcessStatus | None, flaw: str | None
) -> None:
    """Drawing is pure: the same arguments give the same script."""
    first = script.draw(persona_id, outcome=outcome, flaw=flaw)
    assert first == script.draw(persona_id, outcome=outcome, flaw=flaw)


@given(ids)
def test_a_done_life_takes_two_to_five_days_through_all_stages(persona_id: str) -> None:
    """A life that ends as done has all six stages and takes 48 to 120 hours."""
    life = script.draw(persona_id, outcome=ProcessStatus.DONE)
    assert [status for status, _ in life.stages] == ORDER
    assert 48 <= script.total_h(life) <= 120
    assert (life.end, life.reason) == ("done", None)


@given(ids)
def test_the_hours_of_a_stage_do_not_depend_on_the_outcome(persona_id: str) -> None:
    """However it ends, the stages that are passed take as long."""
    done = script.draw(persona_id, outcome=ProcessStatus.DONE).stages
    for outcome in script.SHARES:
        stages = script.draw(persona_id, outcome=outcome).stages
        assert stages == done[: len(stages)]


@given(ids)
def test_failed_and_rejected_lives_say_why(persona_id: str) -> None:
    """A failure has a reason and a stage in which failures happen; a rejection ends a review."""
    failed = script.draw(persona_id, outcome=ProcessStatus.FAILED)
    assert failed.end == "failed"
    assert (failed.stages[-1][0], failed.reason) in {(s, r) for s, _, r in script.FAILURES}
    rejected = script.draw(persona_id, outcome=ProcessStatus.REJECTED)
    assert (rejected.end, rejected.stages[-1][0]) == ("rejected", "reviewing")
    assert rejected.reason in script.REJECTIONS


@given(ids, outcomes)
def test_a_flaw_of_the_video_wins_over_every_wish(
    persona_id: str, outcome: ProcessStatus | None
) -> None:
    """What is wrong with the video ends the life in video_validating, whatever a label asks."""
    life = script.draw(persona_id, outcome=outcome, flaw="The video is broken.")
    assert (life.end, life.reason) == ("failed", "The video is broken.")
    assert life.stages[-1][0] == "video_validating"


@given(ids, outcomes, flaws, st.lists(st.floats(-10, 200), min_size=2, max_size=20))
def test_a_life_only_goes_forward(
    persona_id: str, outcome: ProcessStatus | None, flaw: str | None, hours: list[float]
) -> None:
    """As time passes, stages follow their order, and since never lies ahead or goes back."""
    life = script.draw(persona_id, outcome=outcome, flaw=flaw)
    order = [*(status for status, _ in life.stages), life.end]
    moments = [BORN + timedelta(hours=h) for h in sorted(hours)]
    seen = [script.moment(life, BORN, now) for now in moments]
    places = [order.index(stand.status) for stand in seen]
    assert places == sorted(places)
    assert [s.since for s in seen] == sorted(s.since for s in seen)
    for now, stand in zip(moments, seen, strict=True):
        assert BORN <= stand.since <= max(now, BORN)
        assert (stand.reason is None) == (stand.status not in ("failed", "rejected"))


@given(ids, outcomes)
def test_a_life_changes_at_the_moments_that_it_reports(
    persona_id: str, outcome: ProcessStatus | None
) -> None:
    """At since the new status holds, and a microsecond before it the one before."""
    life = script.draw(persona_id, outcome=outcome)
    tick = timedelta(microseconds=1)
    end = script.moment(life, BORN, BORN + timedelta(days=9))
    later, stand = end, end
    for status, _ in reversed(life.stages):
        stand = script.moment(life, BORN, later.since - tick)
        assert stand.status == status
        assert script.moment(life, BORN, later.since).status == later.status
        later = stand
    assert stand.since == BORN


@given(ids, outcomes, flaws)
def test_a_script_survives_json(
    persona_id: str, outcome: ProcessStatus | None, flaw: str | None
) -> None:
    """What is read back is what was written."""
    life = script.draw(persona_id, outcome=outcome, flaw=flaw)
    assert script.Script.from_json(life.to_json()) == life


@pytest.mark.parametrize("hours", [-1, float("inf"), float("nan")])
def test_a_script_with_impossible_hours_is_refused(hours: float) -> None:
    """Hours below nothing or without an end are no script."""
    with pytest.raises(ValueError, match="finite"):
        script.Script.from_json({"stages": [["pending", hours]], "end": "done", "reason": None})


def test_outcomes_come_in_their_declared_shares() -> None:
    """Of many personas without a label about 85, 8 and 7 of a hundred end each way."""
    ends = Counter(script.draw(f"persona {number}").end for number in range(4000))
    for outcome, share in script.SHARES.items():
        assert abs(ends[outcome.value] / 4000 - share) < 0.02


def test_stages_take_about_as_long_as_declared() -> None:
    """Half of the stays in a stage are shorter than its median in the table, within a fifth."""
    lives = [script.draw(f"persona {number}", outcome=ProcessStatus.DONE) for number in range(1000)]
    for place, stage in enumerate(STAGES):
        hours = sorted(life.stages[place][1] for life in lives)
        assert abs(hours[500] / script.MEDIAN_H[stage] - 1) < 0.2


@pytest.mark.parametrize(
    ("labels", "outcome"),
    [
        ([], None),
        (["mine", "sandbox:nothing"], None),
        (["mine", "sandbox:failed", "sandbox:done"], ProcessStatus.FAILED),
        (["sandbox:rejected"], ProcessStatus.REJECTED),
    ],
)
def test_the_first_outcome_label_counts(labels: list[str], outcome: ProcessStatus | None) -> None:
    """Labels of other kinds are not looked at."""
    assert script.outcome_of(labels) is outcome
