"""How avatars end, and when: competing risks, never the share of done among the finished.

What has ended early has often failed, and what will be done is often still running; a share of the
finished is therefore too dark at first. Here each way to end has its own curve over the time since
submission, from which the running ones are not left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

OUTCOMES = ("done", "failed", "rejected")

_NEEDED = ("state", "began_after", "began_before", "seen_from", "ended_after", "ended_before")
_Z = 1.959964

Floats = np.ndarray[Any, np.dtype[np.float64]]


def incidence(lives: pd.DataFrame) -> pd.DataFrame:
    """For each outcome, the share of all avatars that have ended so within some hours.

    ``lives`` is the frame of ``stages.lives``. Returns rows for each of done, failed and rejected,
    ascending in time: one at 0, one for each moment at which one ended so, and one at the longest
    time observed. Columns:

    - ``outcome``: text; ``time_h``: float64 hours since the creation.
    - ``share``: float64, 0 to 1, of all avatars; the shares of the three add up to what has ended.
    - ``low``, ``high``: float64, the 95 % band, on the log-log scale.
    - ``at_risk``: int64, how many were followed and had not ended just before.

    An end is taken to be in the middle of the two looks between which it lies: off by at most half
    of that gap. An avatar that was found midway counts from its first look on (left truncation),
    one that was found ended does not, as nobody saw when; nor one whose creation is not known. An
    end of all that were followed at its age, while others were found later, is left out: it would
    say that nobody lives longer.

    Raises ``ValueError`` when a column is missing.

    Source: Aalen and Johansen, "An empirical transition matrix for non-homogeneous Markov chains
    based on censored observations", Scandinavian Journal of Statistics 5 (1978), 141-150. Its
    variance by the delta method: Marubini and Valsecchi, "Analysing Survival Data from Clinical
    Trials and Observational Studies" (1995), section 10.3.
    """
    times, entries, state, _ = _observed(lives)
    parts = [_curve(outcome, times, entries, state) for outcome in OUTCOMES]
    frame = pd.concat(parts, ignore_index=True)
    return frame.astype({"outcome": "str", "at_risk": "int64"})


def chances(lives: pd.DataFrame) -> pd.DataFrame:
    """Where the curves of ``incidence`` stand at their end.

    Returns a row for each of done, failed and rejected: ``outcome``: text; ``share``, ``low``,
    ``high``: float64, NaN without an avatar that counts; ``by_h``: float64, the longest time
    observed; ``n``, ``ended``, ``running``: int64, the avatars that count, how many of them ended
    so, and how many are still running, without those that the API knows no more.
    """
    curves = incidence(lives)
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


def _observed(lives: pd.DataFrame) -> tuple[Floats, Floats, Any, Any]:
    """Of those that count: hours to the end or the last look, at the first look, state, gone."""
    if missing := [name for name in _NEEDED if name not in lives.columns]:
        raise ValueError(
            f"lives has no column {', '.join(missing)}; pass what stages.lives() returned."
        )
    found_ended = lives["ended_before"] <= lives["seen_from"]
    here = lives.loc[lives["began_after"].notna() & ~found_ended]

    def since(moment: pd.Series[pd.Timestamp]) -> Floats:
        span: pd.Series[pd.Timedelta] = moment - here["began_before"]
        return np.asarray(span / pd.Timedelta(hours=1), dtype="float64")

    after, before = since(here["ended_after"]), since(here["ended_before"])
    times = np.where(np.isnan(before), after, (after + before) / 2)
    gone = here["gone"].to_numpy(dtype=bool) if "gone" in here else np.zeros(len(here), dtype=bool)
    return np.maximum(times, 0.0), since(here["seen_from"]), here["state"].to_numpy(), gone


def _curve(outcome: str, times: Floats, entries: Floats, state: Any) -> pd.DataFrame:
    ended = np.isin(state, OUTCOMES)
    at = np.unique(times[ended])
    begun, over = np.sort(entries), np.sort(times)
    # Who is found at the very moment of an end is at risk of later ones only.
    at_risk = np.searchsorted(begun, at, side="left") - np.searchsorted(over, at, side="left")
    every, own = _counts(times[ended], at), _counts(times[state == outcome], at)
    at_risk = np.maximum(at_risk, every)
    # All of a few at risk ended while others were yet to be found: not the end of everything.
    early = (at_risk == every) & (at < begun.max(initial=0.0))
    every[early] = own[early] = 0.0
    before = np.append(1.0, np.cumprod(1 - every / at_risk))[:-1]
    share = np.cumsum(before * own / at_risk)
    low, high = _band(share, _variance(share, before, at_risk, every, own))
    kept = own > 0
    frame = pd.DataFrame(
        {
            "time_h": at[kept],
            "share": share[kept],
            "low": low[kept],
            "high": high[kept],
            "at_risk": at_risk[kept],
        }
    )
    first = {
        "time_h": 0.0,
        "share": 0.0,
        "low": 0.0,
        "high": 0.0,
        "at_risk": int((entries <= 0).sum()),
    }
    rows = [pd.DataFrame([first]), frame]
    longest = times.max(initial=0.0)
    if len(at) and longest > frame["time_h"].max():
        last = {"time_h": longest, "share": share[-1], "low": low[-1], "high": high[-1]}
        rows.append(pd.DataFrame([{**last, "at_risk": int((times >= longest).sum())}]))
    return pd.concat([one for one in rows if len(one)]).assign(outcome=outcome)[
        ["outcome", "time_h", "share", "low", "high", "at_risk"]
    ]


def _counts(times: Floats, at: Floats) -> Floats:
    return np.bincount(np.searchsorted(at, times), minlength=len(at)).astype("float64")


def _variance(share: Floats, before: Floats, at_risk: Floats, every: Floats, own: Floats) -> Floats:
    """The variance of each ``share``: sums over the moments until then, of (share - earlier)²."""
    with np.errstate(divide="ignore"):
        # Where all at risk end, nothing of the curve is left to vary.
        of_all = np.where(every < at_risk, every / (at_risk * (at_risk - every)), 0.0)
    of_own = before * own / at_risk**2
    squared = share**2 * np.cumsum(of_all) - 2 * share * np.cumsum(of_all * share)
    squared += np.cumsum(of_all * share**2)
    crossed = share * np.cumsum(of_own) - np.cumsum(of_own * share)
    alone = np.cumsum(before**2 * own * (at_risk - own) / at_risk**3)
    variance: Floats = np.maximum(squared + alone - 2 * crossed, 0.0)
    return variance


def _band(share: Floats, variance: Floats) -> tuple[Floats, Floats]:
    within = (share > 0) & (share < 1 - 1e-12)
    safe = np.where(within, share, 0.5)
    spread = _Z * np.sqrt(variance) / (safe * np.abs(np.log(safe)))
    low, high = safe ** np.exp(spread), safe ** np.exp(-spread)
    return np.where(within, low, share), np.where(within, high, share)
