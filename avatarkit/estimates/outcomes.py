"""Estimate how avatars end, and when: cumulative incidence with competing risks.

Avatars that end early have often failed, and those that will be done are often still running, so
the share of done among the finished is too low at first. Here each outcome has its own curve over
the time since creation, in which running avatars count as censored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from avatarkit.estimates.survival import log_log_band
from avatarkit.history.frames import Flags, Floats, hours, require_columns
from avatarkit.history.groups import By, When, compare

__all__ = ["OUTCOMES", "chances", "incidence"]

OUTCOMES = ("done", "failed", "rejected")

_SHORTEST_H = 1e-6

_COLUMNS = ("state", "began_after", "began_before", "seen_from", "ended_after", "ended_before")


def incidence(
    lives: pd.DataFrame,
    *,
    by: By | None = None,
    since: When | None = None,
    until: When | None = None,
    freq: str | None = None,
) -> pd.DataFrame:
    """Return for each outcome the share of all avatars that have ended in it, over time.

    An end is taken to be in the middle of the two polls between which it lies: off by at most half
    of that gap. An avatar that was found midway counts from its first poll on (left truncation);
    one that was found ended does not count, nor does one whose creation is not known; one whose
    create was answered with its end does. If all that are at risk end while others are found only
    later, these ends are left out: the curve would otherwise reach 1 there.

    Args:
        lives: The frame of ``stages.lives``.
        by: A column of the frame, a label, or a function of the frame: a group for each value. See
            ``groups.compare``.
        since: Only avatars that were submitted at this moment or later, such as ``2026-03-01``.
        until: Only avatars that were submitted before this moment.
        freq: ``D``, ``W``, ``M``, ``Q`` or ``Y``: a group for each day, week, month, quarter or
            year of submission.

    Returns:
        Rows for each of done, failed and rejected, ascending in time: one at 0, one for each moment
        at which an avatar ended so, and one at the longest time observed. With ``by`` or ``freq``
        these rows for each group, behind the column ``group``.

        - ``outcome``: text; ``time_h``: float64 hours since the creation.
        - ``share``: float64, 0 to 1, of all avatars; the shares of the three add up to the share
          that has ended.
        - ``low``, ``high``: float64, the 95 % band, on the log-log scale.
        - ``at_risk``: int64, how many were followed and had not ended just before.
        - ``n``: int64, the avatars that count.

    Raises:
        ValueError: A column is missing, or ``by``, ``since``, ``until`` or ``freq`` does not fit.

    Source:
        Aalen and Johansen, "An empirical transition matrix for non-homogeneous Markov chains based
        on censored observations", Scandinavian Journal of Statistics 5 (1978), 141-150. Its
        variance by the delta method: Marubini and Valsecchi, "Analysing Survival Data from Clinical
        Trials and Observational Studies" (1995), section 10.3.
    """
    return _compare(_incidence, lives, by=by, since=since, until=until, freq=freq)


def chances(
    lives: pd.DataFrame,
    *,
    by: By | None = None,
    since: When | None = None,
    until: When | None = None,
    freq: str | None = None,
) -> pd.DataFrame:
    """Return the last values of the curves of ``incidence``.

    Args:
        lives: The frame of ``stages.lives``.
        by: A column of the frame, a label, or a function of the frame: a group for each value. See
            ``groups.compare``.
        since: Only avatars that were submitted at this moment or later, such as ``2026-03-01``.
        until: Only avatars that were submitted before this moment.
        freq: ``D``, ``W``, ``M``, ``Q`` or ``Y``: a group for each day, week, month, quarter or
            year of submission.

    Returns:
        A row for each of done, failed and rejected; with ``by`` or ``freq`` for each of each group,
        behind the column ``group``:

        - ``outcome``: text.
        - ``share``, ``low``, ``high``: float64, NaN without an avatar that counts.
        - ``by_h``: float64 hours, the longest time observed.
        - ``n``, ``ended``, ``running``: int64, the avatars that count, how many of them ended so,
          and how many are still running, without those that are ``gone``.

    Raises:
        ValueError: A column is missing, or ``by``, ``since``, ``until`` or ``freq`` does not fit.

    Source:
        See ``incidence``.
    """
    return _compare(_chances, lives, by=by, since=since, until=until, freq=freq)


def _compare(
    compute: Callable[[pd.DataFrame], pd.DataFrame], lives: pd.DataFrame, **chosen: Any
) -> pd.DataFrame:
    require_columns(lives, _COLUMNS, "lives", "what stages.lives() returned")
    return compare(compute, lives, lives["began_before"], **chosen)


def _incidence(lives: pd.DataFrame) -> pd.DataFrame:
    times, entries, state, _ = _observed(lives)
    parts = [_curve(outcome, times, entries, state) for outcome in OUTCOMES]
    frame = pd.concat(parts, ignore_index=True).assign(n=times.size)
    return frame.astype({"outcome": "str", "at_risk": "int64"})


def _chances(lives: pd.DataFrame) -> pd.DataFrame:
    curves = _incidence(lives)
    times, _, state, gone = _observed(lives)
    last = curves.groupby("outcome", sort=False).tail(1).set_index("outcome")
    frame = last.loc[list(OUTCOMES), ["share", "low", "high"]]
    if not times.size:
        frame[:] = np.nan
    return frame.assign(
        by_h=last["time_h"],
        n=times.size,
        ended=[int((state == outcome).sum()) for outcome in OUTCOMES],
        running=int((~np.isin(state, OUTCOMES) & ~gone).sum()),
    ).reset_index()


def _observed(lives: pd.DataFrame) -> tuple[Floats, Floats, Any, Flags]:
    """Return end (or last poll) and entry in hours, state and gone of the avatars that count."""
    found_ended = lives["ended_before"] <= lives["seen_from"]
    # One that failed in the answer to its create was followed from the beginning.
    not_followed = lives["seen_from"] > lives["began_before"]
    found_ended &= lives.get("found_ended", not_followed)
    counted = lives.loc[lives["began_after"].notna() & ~found_ended]
    after, before, entry = (
        hours(counted[name] - counted["began_before"])
        for name in ("ended_after", "ended_before", "seen_from")
    )
    times = np.where(np.isnan(before), after, (after + before) / 2)
    gone = counted["gone"] if "gone" in counted else np.zeros(len(counted))
    state = counted["state"].to_numpy()
    # After the creation: all that were created are at risk of an end in the answer to the create.
    times = np.maximum(times, _SHORTEST_H)
    # One that was seen once is known to have run when it was asked for, before the answer came.
    return times, np.minimum(entry, times), state, np.asarray(gone, dtype=bool)


def _curve(outcome: str, times: Floats, entries: Floats, state: Any) -> pd.DataFrame:
    ended = np.isin(state, OUTCOMES)
    at = np.unique(times[ended])
    entered, left = (np.searchsorted(np.sort(hours), at) for hours in (entries, times))
    # An avatar found at the exact time of an end is at risk of later ones only.
    at_risk = entered - left
    every, own = _counts(times[ended], at), _counts(times[state == outcome], at)
    at_risk = np.maximum(at_risk, every)
    # All at risk ended while others were still to be found: left out, see ``incidence``.
    early = (at_risk == every) & (at < entries.max(initial=0.0))
    every[early] = own[early] = 0.0
    before = np.append(1.0, np.cumprod(1 - every / at_risk))[:-1]
    share = np.cumsum(before * own / at_risk)
    low, high = log_log_band(share, _variance(share, before, at_risk, every, own))
    kept = own > 0
    rows = [np.array([[0.0, 0.0, 0.0, 0.0, (entries <= 0).sum()]])]
    rows.append(np.column_stack([at, share, low, high, at_risk])[kept])
    longest = times.max(initial=0.0)
    if kept.any() and longest > at[kept][-1]:
        rows.append(np.array([[longest, share[-1], low[-1], high[-1], (times >= longest).sum()]]))
    columns = ["time_h", "share", "low", "high", "at_risk"]
    frame = pd.DataFrame(np.concatenate(rows), columns=columns)
    frame.insert(0, "outcome", outcome)
    return frame


def _counts(times: Floats, at: Floats) -> Floats:
    return np.bincount(np.searchsorted(at, times), minlength=len(at)).astype("float64")


def _variance(share: Floats, before: Floats, at_risk: Floats, every: Floats, own: Floats) -> Floats:
    """Return the variance of each ``share``."""
    with np.errstate(divide="ignore"):
        # Where all at risk end, the survival is 0 and has no variance.
        of_all = np.where(every < at_risk, every / (at_risk * (at_risk - every)), 0.0)
    of_own = before * own / at_risk**2
    squared = share**2 * np.cumsum(of_all) - 2 * share * np.cumsum(of_all * share)
    squared += np.cumsum(of_all * share**2)
    crossed = share * np.cumsum(of_own) - np.cumsum(of_own * share)
    alone = np.cumsum(before**2 * own * (at_risk - own) / at_risk**3)
    variance: Floats = np.maximum(squared + alone - 2 * crossed, 0.0)
    return variance
