"""Model the vendor's claim of the total time, corrected by the lives that were seen.

Vendors are quicker or slower than they say, by a factor that is common to all lives. So the claim's
spread has two parts: that of lives, and that of the factor. What is learned from lives is the
factor, so with each batch the claim moves to what was seen and becomes narrower.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from avatarkit.estimates import work_clock
from avatarkit.estimates.work_clock import WorkClock
from avatarkit.history import stages
from avatarkit.history.frames import Floats, Integers
from avatarkit.models import ProcessStatus

CLAIMED_H = (28.0, 130.0)
"""The vendor's claim of the total time: its 10th and its 90th percentile.

Source:
    "2 ~ 5 days" (the contract) and "1 ~ 2 days" (a newer page) together: 1 to 5 days, of which the
    second claims the first day and the contract does not; what is counted in whole days may end
    half a day later.
"""

WEIGHT, FADES = 0.4, 10.0
"""The claim counts as 0.4 batches without history, and as 0.2 when lives of 10 have ended."""

ENOUGH = 5
"""With fewer finished lives the claim is hardly corrected, as the first to end are the quickest."""

TOGETHER_H = 1.0
"""Lives that begin within an hour of each other are of one batch.

They meet the same queue, reviewers and weekend, so together they are one piece of evidence.
"""

_NORMAL_P90 = 1.2815515655446004
SPREAD = float(np.log(CLAIMED_H[1] / CLAIMED_H[0])) / (2 * _NORMAL_P90)
MEDIAN_H = float(np.sqrt(CLAIMED_H[0] * CLAIMED_H[1]))

_SPREAD_OF_FACTOR = 0.5
_SPREAD_OF_LIVES = float(np.sqrt(SPREAD**2 - _SPREAD_OF_FACTOR**2))
"""How far the vendor's claims are off: in two of three cases by a factor of up to 1.65."""
_FACTORS = np.linspace(-4, 4, 65) * _SPREAD_OF_FACTOR
_TIMES_H = np.geomspace(1.0, 3_000.0, 200)


def weight(batches: int) -> float:
    """Return as how many batches the claim counts when lives of that many have ended."""
    return WEIGHT * FADES / (FADES + batches)


def batches(began: Floats) -> Integers:
    """Return the number of the batch that each life was sent in.

    Args:
        began: The hour at which each began.
    """
    order = np.argsort(began, kind="stable")
    number = np.empty(began.size, dtype="int64")
    number[order] = np.cumsum(np.diff(began[order], prepend=-np.inf) > TOGETHER_H)
    return number


def total_time(lives: pd.DataFrame, clock: WorkClock) -> tuple[Floats, Floats]:
    """Return the distribution of the total time: hours on the clock, and the share that has ended.

    Without a finished life it is the claim as it is.

    Args:
        lives: The frame of ``stages.lives``. A failed life counts as censored: how early it failed
            says nothing about the vendor's pace.
        clock: The clock on which the claim counts.

    Source:
        A log-normal distribution whose location has a normal prior. Each batch counts as one life,
        by a power of its likelihood: Bissiri, Holmes and Walker, "A general framework for updating
        belief distributions", JRSS B 78 (2016), 1103-1130.
    """
    from scipy.special import log_ndtr, ndtr

    log_posterior = -0.5 * (_FACTORS / _SPREAD_OF_FACTOR) ** 2
    if len(lives):
        began, after, before = (
            work_clock.since_monday(lives[side])
            for side in ("began_before", "ended_after", "ended_before")
        )
        batch = batches(began)
        end = np.where(np.isnan(before), after, (after + before) / 2)
        took = np.maximum(clock.reading(end) - clock.reading(began), 1.0)
        z = (np.log(took / MEDIAN_H)[:, None] - _FACTORS) / _SPREAD_OF_LIVES
        state = lives["state"]
        over = ~state.isin([stages.RUNNING, ProcessStatus.FAILED.value]).to_numpy(dtype=bool)
        likelihood = np.where(over[:, None], -0.5 * z**2, log_ndtr(-z))
        ended = int((state != stages.RUNNING).sum())
        likelihood *= min(1.0, ended / ENOUGH) ** 2
        log_posterior += (likelihood / np.bincount(batch)[batch][:, None]).sum(axis=0)
    posterior = np.exp(log_posterior - log_posterior.max())
    z = (np.log(_TIMES_H / MEDIAN_H)[:, None] - _FACTORS) / _SPREAD_OF_LIVES
    share = ndtr(z) @ (posterior / posterior.sum())
    kept = share < 1 - 1e-4
    return np.append(0.0, _TIMES_H[kept]), np.append(0.0, share[kept])
