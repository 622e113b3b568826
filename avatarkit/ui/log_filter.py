"""Choose by label and date of submission which avatars a page is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, tzinfo
from typing import Generic, TypeVar

import pandas as pd
import streamlit as st

from avatarkit.ui import moments
from avatarkit.ui.cache import Estimates, Log
from avatarkit.ui.elements import choose_several

_FIRST, _LAST = date(2000, 1, 1), date(2099, 12, 31)

Value = TypeVar("Value")


@dataclass(frozen=True)
class LogFilter:
    """Labels and dates of submission, both ends included; equal to another one with the same."""

    labels: tuple[str, ...] = ()
    """An avatar has one of these, or any if there are none."""
    since: date | None = None
    until: date | None = None
    zone: tzinfo = UTC
    """The time zone of the dates."""

    @property
    def is_empty(self) -> bool:
        """Whether all avatars are chosen."""
        return not self.labels and self.since is None and self.until is None

    def __call__(self, log: Log) -> Log:
        """Return the part of a log that is about the chosen avatars."""
        personas = log.personas.loc[self._chosen(log.personas)].reset_index(drop=True)
        is_chosen = log.sightings["persona_id"].isin(personas["persona_id"])
        sightings = log.sightings.loc[is_chosen].reset_index(drop=True)
        return Log(personas=personas, sightings=sightings, now=log.now, key=(log.key, self))

    def _chosen(self, personas: pd.DataFrame) -> pd.Series[bool]:
        chosen = pd.Series(True, index=personas.index)
        if self.labels:
            wanted = set(self.labels)
            has_one = [not wanted.isdisjoint(labels) for labels in personas["labels"]]
            chosen &= pd.Series(has_one, index=personas.index)
        submitted = personas["submitted_at"].fillna(personas["created_at"])
        submitted = submitted.fillna(personas["first_seen_at"])
        local = submitted.dt.tz_convert(self.zone).dt.tz_localize(None)
        if self.since is not None:
            chosen &= local >= pd.Timestamp(self.since)
        if self.until is not None:
            chosen &= local < pd.Timestamp(self.until) + pd.Timedelta(days=1)
        return chosen


def choose(personas: pd.DataFrame, prefix: str) -> LogFilter:
    """Show the widgets of a filter, whose values live in the URL, and return what is chosen.

    Args:
        personas: The frame of ``store.personas()``; its labels can be chosen.
        prefix: That of the query parameters: ``<prefix>_label``, ``_since`` and ``_until``.
    """
    labels = sorted({label for labels in personas["labels"] for label in labels})
    chosen: list[str] = []
    places = st.columns([3, 2] if labels else 1)
    if labels:
        with places[0]:
            chosen = choose_several("Labels", labels, f"{prefix}_label")
    with places[-1].container(horizontal=True):
        since, until = (
            st.date_input(
                text,
                None,
                min_value=_FIRST,
                max_value=_LAST,
                key=f"{prefix}_{name}",
                bind="query-params",
                format="YYYY-MM-DD",
                width=160,
            )
            for text, name in (("Submitted from", "since"), ("Submitted until", "until"))
        )
    return LogFilter(tuple(chosen), since, until, moments.zone())


@dataclass(frozen=True)
class _Question(Generic[Value]):
    """What is asked of a part of the log, equal to the same question of the same part."""

    answer: Callable[[Log, tzinfo], Value]
    chosen: LogFilter

    def __call__(self, log: Log) -> Value:
        return self.answer(log, self.chosen.zone)


@dataclass(frozen=True)
class ChosenLog:
    """The part of a log that a filter chooses, and what is computed from it."""

    log: Log
    chosen: LogFilter
    estimates: Estimates

    def ask(
        self, answer: Callable[[Log, tzinfo], Value], *, wait_s: float | None = None
    ) -> Value | None:
        """Return what a function computes, once for each state of the log and filter.

        Args:
            answer: A function of a module, which is called in a thread with this part of the log
                and the viewer's time zone.
            wait_s: As in ``Estimates.get``.

        Returns:
            The value, possibly of an earlier state of the log; None until there is one.
        """
        return self.estimates.get(_Question(answer, self.chosen), self.log, wait_s=wait_s)


def chosen_log(chosen: LogFilter, estimates: Estimates) -> ChosenLog | None:
    """Return the chosen part of the log, None until it is known."""
    log = estimates.log()
    part = log if chosen.is_empty else estimates.get(chosen, log)
    return None if part is None else ChosenLog(part, chosen, estimates)
