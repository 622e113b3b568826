"""Answers that say nothing new, logged together."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import hypothesis.strategies as st
import pandas as pd
import pytest
from hypothesis import given, settings

from avatarkit import Store
from avatarkit.models import Persona
from avatarkit.store.clock_skew import Call
from avatarkit.store.unchanged import Seen
from support.manual_clock import MONDAY

MINUTE = timedelta(minutes=1)
LATER = MONDAY + timedelta(days=1)


def seen(no: int, status: str = "pending", **fields: Any) -> Seen:
    persona = Persona.model_validate({"id": "p", "process_status": status, **fields})
    return Seen(persona, Call(no, MONDAY + no * MINUTE, MONDAY + (no + 0.5) * MINUTE))


def record(store: Store, answer: Seen) -> None:
    store.record(
        answer.persona,
        asked_at=answer.call.asked_at,
        answered_at=answer.call.answered_at,
        source="poll",
        asked_no=answer.call.no,
    )


answers = st.builds(
    seen,
    st.integers(1, 6),
    st.sampled_from(["pending", "reviewing"]),
    creator_name=st.sampled_from(["Ada", "Bo"]),
    preview_image_1_1=st.sampled_from([None, "https://a.example/1.jpg"]),
)


@pytest.mark.parametrize(
    "url", ["memory", pytest.param("postgres", marks=pytest.mark.long)], indirect=True
)
def test_the_log_is_the_same_as_one_by_one(url: str) -> None:
    """Some are logged together and the others by ``record``, in any order of numbers."""
    ids = count()
    with Store(url, account="together") as together, Store(url, account="alone") as alone:

        @settings(max_examples=25)
        @given(st.lists(answers, max_size=6))
        def check(given_answers: list[Seen]) -> None:
            persona_id = f"p{next(ids)}"
            for answer in given_answers:
                persona = answer.persona.model_copy(update={"id": persona_id})
                renamed = replace(answer, persona=persona)
                if not together.record_unchanged([renamed]):
                    record(together, renamed)
                record(alone, renamed)
            found, expected = (
                (
                    store.sightings(persona_id),
                    store.persona(persona_id),
                    store.due(LATER, persona_id),
                )
                for store in (together, alone)
            )
            pd.testing.assert_frame_equal(found[0], expected[0])
            assert found[1:] == expected[1:]

        check()
        pd.testing.assert_frame_equal(together.personas(), alone.personas())


def test_what_is_unchanged_is_logged_at_once(store: Store) -> None:
    """Its run is longer, and it was seen once more."""
    record(store, seen(1))
    recorded = store.record_unchanged([seen(2)])
    assert recorded["p"].change is None
    row = store.sightings().iloc[0]
    assert (row["times_seen"], row["last_seen_at"]) == (2, MONDAY + 2 * MINUTE)


@pytest.mark.parametrize(
    "answer",
    [
        seen(1),
        seen(3, "reviewing"),
        seen(3, creator_name="Ada"),
        Seen(seen(3).persona, Call(3, MONDAY, MONDAY)),
    ],
    ids=["not newer", "another status", "another field", "a clock that was set back"],
)
def test_anything_else_is_left_alone(store: Store, answer: Seen) -> None:
    """It is for ``record``, which knows what to do with it."""
    record(store, seen(2))
    before = store.personas(), store.sightings()
    assert not store.record_unchanged([answer])
    pd.testing.assert_frame_equal(store.personas(), before[0])
    pd.testing.assert_frame_equal(store.sightings(), before[1])


def test_an_error_is_cleared_by_record(store: Store) -> None:
    """After a poll that failed, an answer is not unchanged."""
    record(store, seen(1))
    store.record_error("p", "It broke.", at=MONDAY + MINUTE, missing=False)
    assert not store.record_unchanged([seen(2)])


def test_plans_that_are_made_together_are_written_together(store: Store) -> None:
    """They hold at the end of the block, and not at all if it fails."""
    record(store, seen(1))
    with store.transaction(), store.plan_together():
        store.plan("p", MONDAY)
    assert store.next_look_at("p") == MONDAY

    def fail() -> None:
        with store.plan_together():
            store.plan("p", MONDAY + MINUTE)
            raise RuntimeError("bug")

    with pytest.raises(RuntimeError, match="bug"):
        fail()
    assert store.next_look_at("p") == MONDAY
