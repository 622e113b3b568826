"""Tables: times as words, ranges of arrivals, and what is late."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import pytest

from avatarkit.reports import tables

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
MOMENT = "datetime64[us, UTC]"


def personas(**statuses: str) -> pd.DataFrame:
    """Personas created two days ago and seen an hour ago."""
    frame = pd.DataFrame({"persona_id": list(statuses), "status": list(statuses.values())})
    created = pd.Timestamp(NOW) - pd.Timedelta(days=2)
    seen = pd.Timestamp(NOW) - pd.Timedelta(hours=1)
    return frame.assign(
        creator_name="Ada",
        created_at=created,
        first_seen_at=created,
        last_seen_at=seen,
        next_look_at=pd.Series(pd.NaT, index=frame.index, dtype=MOMENT),
        gone=False,
        deleted_at=pd.Series(pd.NaT, index=frame.index, dtype=MOMENT),
        failed_reason=None,
    )


def sightings(frame: pd.DataFrame) -> pd.DataFrame:
    """One run of each persona, since it was created."""
    return frame[["persona_id", "status", "first_seen_at", "last_seen_at"]]


def arrivals(**late: bool) -> pd.DataFrame:
    """Arrivals between 20 and 50 hours from now."""
    return pd.DataFrame({"persona_id": list(late), "late": list(late.values())}).assign(
        p10_at=pd.Timestamp(NOW) + pd.Timedelta(hours=20),
        p90_at=pd.Timestamp(NOW) + pd.Timedelta(hours=50),
    )


@pytest.mark.parametrize(
    ("p10", "p90", "words"),
    [
        ((6, 9, 30), (6, 18, 5), "Fri 6 Mar, 09:30 to 18:05"),
        ((6, 23, 0), (7, 1, 0), "Fri 6 Mar to Sat 7 Mar"),
        ((6, 9, 0), (15, 9, 0), "Fri 6 Mar to Sun 15 Mar"),
        ((5, 12, 0, 2), (6, 9, 0), "Thu 5 Mar to Fri 6 Mar"),
        ((5, 12, 0, 1), (6, 9, 0), "may be ready already, else by Fri 6 Mar"),
        ((5, 11, 0), (5, 18, 5), "may be ready already, else by Thu 5 Mar, 18:05"),
        ((5, 12, 0, 1), (5, 12, 0, 1), "may be ready already"),
    ],
)
def test_a_range_of_an_arrival_reads_as_people_say_it(
    p10: tuple[int, ...], p90: tuple[int, ...], words: str
) -> None:
    """Within a day the times of it, else the days; from now on that it may be ready already."""
    early, late = (pd.Timestamp(2026, 3, *moment, tz="UTC") for moment in (p10, p90))
    assert tables.ready(early, late, NOW) == words


def test_tracking_says_when_it_is_ready_and_what_is_late() -> None:
    """By persona id, whatever the order; empty for what has ended or is not in the arrivals."""
    frame = personas(a="reviewing", b="done", c="pending", d="pending")
    rows = tables.tracking(frame, sightings(frame), NOW, arrivals(c=True, b=True, a=False))
    assert rows["ready"].tolist() == ["Fri 6 Mar to Sat 7 Mar", "", "Fri 6 Mar to Sat 7 Mar", ""]
    assert rows["late"].tolist() == ["", "", "late", ""]


def test_tracking_without_arrivals_has_the_same_columns() -> None:
    """Before arrivals are known, and without any, the two columns are empty."""
    frame = personas(a="reviewing")
    full = tables.tracking(frame, sightings(frame), NOW, arrivals(a=True))
    for none in (None, arrivals()):
        rows = tables.tracking(frame, sightings(frame), NOW, none)
        assert list(rows.columns) == list(full.columns)
        assert rows[["ready", "late"]].to_numpy().tolist() == [["", ""]]


def test_the_summary_in_words_has_the_interval_where_it_was_asked_for() -> None:
    """Hours as words, nothing where nothing is known; the interval of the median as a range."""
    hours = {f"p{share}_h": [2.0 + share, float("nan")] for share in (10, 25, 50, 75, 90)}
    frame = pd.DataFrame({"stage": ["crop_and_matte", "reviewing"], **hours, "n": [9, 1]})
    frame = frame.assign(finished=[9, 0], running=[0, 1], never_seen=0, note=["", "not enough"])
    words = tables.summary(frame)
    assert list(words.columns) == [
        *("stage", "p10", "p25", "p50", "p75", "p90"),
        *("n", "finished", "running", "never_seen", "note"),
    ]
    assert words.loc[0, ["stage", "p10", "p75"]].tolist() == ["Crop and matte", "12 h", "3 d 5 h"]
    assert words.loc[1, ["p10", "p50", "p90"]].tolist() == ["", "", ""]
    sure = tables.summary(frame.assign(p50_low_h=[50.0, float("nan")], p50_high_h=[60.0, 70.0]))
    assert sure["p50_interval"].tolist() == ["2 d 2 h to 2 d 12 h", ""]


def test_one_that_was_deleted_while_it_ran_has_that_status() -> None:
    """It is neither late nor expected, and its age ends when it was deleted."""
    frame = personas(a="reviewing", b="done")
    frame["deleted_at"] = pd.Timestamp(NOW) - pd.Timedelta(hours=24)
    rows = tables.tracking(frame, sightings(frame), NOW, arrivals(a=True)).set_index("persona_id")
    assert list(rows["status"]) == ["Deleted", "Done"]
    assert rows["age"]["a"] == "1 d"
    assert not rows[["late", "ready"]].any(axis=None)


def needing(**kinds: str) -> pd.DataFrame:
    """The frame of ``attention.needs``, with the kind for a reason."""
    values = {
        "persona_id": list(kinds),
        "kind": list(kinds.values()),
        "reason": list(kinds.values()),
    }
    return pd.DataFrame(values, dtype="str")


def avatars(
    frame: pd.DataFrame, needs: pd.DataFrame, arriving: pd.DataFrame | None
) -> pd.DataFrame:
    """The table of avatars, by id, of personas that are all followed unless the frame says so."""
    frame = frame.assign(labels=[["a", "b"]] * len(frame))
    if "followed" not in frame:
        frame["followed"] = True
    return tables.avatars(frame, sightings(frame), needs, arriving).set_index("persona_id")


def test_the_columns_of_the_avatars_sort_by_value() -> None:
    """Moments are moments, hours are numbers, and only what ends has taken some."""
    table = avatars(
        personas(a="reviewing", b="done", c="failed"), needing(c="failed"), arrivals(a=True)
    )
    assert [
        str(table[name].dtype) for name in ("since", "ready_from", "ready_to", "created_at")
    ] == ([MOMENT] * 4)
    assert table["took_h"].dtype == "float64"
    assert table["took_h"].isna().tolist() == [True, False, False]
    assert table["ready_to"].isna().tolist() == [False, True, True]
    assert table["status"].tolist() == ["6/6 Reviewing", "Done", "Failed"]
    assert table["reason"].tolist() == ["", "", "failed"]
    assert table["in_progress"].tolist() == [True, False, False]
    assert set(table["labels"]) == {"a, b"}


def test_without_arrivals_no_avatar_has_a_range() -> None:
    """The columns are there all the same, of the same type."""
    table = avatars(personas(a="reviewing"), needing(), None)
    assert table["ready_to"].isna().all()
    assert str(table["ready_to"].dtype) == MOMENT


def test_an_avatar_that_is_deleted_or_not_followed_is_not_in_progress() -> None:
    """The table says which of both it is; one without a name goes by its id."""
    frame = personas(a="reviewing", b="reviewing").assign(followed=[True, False])
    frame["creator_name"] = ["", None]
    frame["deleted_at"] = pd.Series([pd.Timestamp(NOW), pd.NaT]).astype(MOMENT)
    table = avatars(frame, needing(), None)
    assert table["status"].tolist() == ["Deleted", "6/6 Reviewing"]
    assert table["reason"].tolist() == ["", "Not followed."]
    assert not table["in_progress"].any()
    assert table["creator_name"].tolist() == ["a", "b"]
