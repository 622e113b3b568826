"""How much of each life the polling has covered: where the log is certain of the stage."""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from avatarkit.history.runs import gone_now

_HOUR = pd.Timedelta(hours=1)
_NEEDED = (
    *("persona_id", "visit_no", "state"),
    *("entered_after", "entered_before", "left_after", "left_before"),
)


def certainty(
    visits: pd.DataFrame, *, now: datetime, personas: pd.DataFrame | None = None
) -> pd.DataFrame:
    """For each persona, the share of its life in which the log is certain of its stage.

    ``visits`` is the frame of ``stages.visits``, ``now`` the moment that it was made for; of whom
    ``personas`` (``store.personas()``) says that the API knows them no more the life is taken to
    end at the last look. Returns one row a persona, ordered by ``persona_id``:

    - ``persona_id``: text.
    - ``lived_h``: float64 hours from the first bound of its first visit (its creation, else the
      first look) to the first look after its last one, or to ``now`` while it runs.
    - ``certain_h``: float64 hours of them between the first and the last look at one stage: nobody
      passes through another stage and comes back unseen, as far as the log can know.
    - ``share``: float64, ``certain_h`` of ``lived_h``; NaN where nothing was lived.

    Raises ``ValueError`` when ``now`` has no time zone or a column is missing.
    """
    if now.tzinfo is None:
        raise ValueError("now must carry a time zone; use the session's clock: clock.now().")
    if missing := [name for name in _NEEDED if name not in visits.columns]:
        raise ValueError(
            f"visits has no column {', '.join(missing)}; pass what stages.visits() returned."
        )
    seen = visits["state"] != "never_seen"
    gone = gone_now(pd.Index(visits["persona_id"]), personas)
    until = visits["left_after"].where(gone, pd.Timestamp(now))
    between: pd.Series[pd.Timedelta] = visits["left_after"] - visits["entered_before"]
    certain = between.where(seen) / _HOUR
    rows = pd.DataFrame(
        {
            "persona_id": visits["persona_id"],
            "begin": visits["entered_after"].fillna(visits["entered_before"]),
            "end": visits["left_before"].fillna(until),
            "certain_h": certain.clip(lower=0.0),
        }
    )
    by_persona = rows.groupby("persona_id")
    span: pd.Series[pd.Timedelta] = by_persona["end"].max() - by_persona["begin"].min()
    lived = (span / _HOUR).astype("float64")
    certain_h = by_persona["certain_h"].sum().astype("float64")
    frame = pd.DataFrame({"lived_h": lived, "certain_h": certain_h})
    frame["share"] = (certain_h / lived).where(lived > 0)
    return frame.reset_index().astype({"persona_id": "str"})


def sentence(certainty: pd.DataFrame) -> str:
    """What ``certainty`` says of all personas together, in one sentence."""
    lived = certainty["lived_h"].sum()
    if not lived:
        return "Nothing has been followed for any time yet."
    share = certainty["certain_h"].sum() / lived
    many = len(certainty)
    avatars = "1 avatar" if many == 1 else f"{many:,} avatars"
    half = f"; half of them above {certainty['share'].median():.0%}" if many > 1 else ""
    return (
        f"The log is certain of the stage for {share:.0%} of the {lived:,.0f} hours that "
        f"{avatars} lived{half}."
    )
