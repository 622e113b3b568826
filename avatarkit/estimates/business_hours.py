"""Compute with business hours: the same hours from Monday to Friday, in one time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone

_HOUR = timedelta(hours=1)
_SATURDAY = 5


@dataclass(frozen=True)
class BusinessHours:
    """Open from ``opens_h`` to ``closes_h``, Monday to Friday, at a fixed offset from UTC.

    There are no holidays and no daylight saving time.
    """

    opens_h: int
    closes_h: int
    utc_offset_h: float

    def after(self, start: datetime, open_h: float) -> datetime:
        """Return the moment at which ``open_h`` business hours have passed since ``start``.

        Args:
            start: An aware moment; the result is in its time zone.
            open_h: Business hours, not negative.
        """
        left = timedelta(hours=open_h)
        moment = start.astimezone(timezone(timedelta(hours=self.utc_offset_h)))
        while True:
            begins, ends = self._open_on(moment)
            begins = max(begins, moment)
            if begins + left <= ends:
                return (begins + left).astimezone(start.tzinfo)
            left -= max(ends - begins, timedelta(0))
            moment = datetime.combine(moment + timedelta(days=1), time(), moment.tzinfo)

    def between(self, start: datetime, end: datetime) -> float:
        """Return the number of business hours from ``start`` to ``end``, two aware moments."""
        zone = timezone(timedelta(hours=self.utc_offset_h))
        moment, end, passed = start.astimezone(zone), end.astimezone(zone), timedelta(0)
        while moment < end:
            begins, ends = self._open_on(moment)
            passed += max(min(ends, end) - max(begins, moment), timedelta(0))
            moment = datetime.combine(moment + timedelta(days=1), time(), zone)
        return passed / _HOUR

    def _open_on(self, moment: datetime) -> tuple[datetime, datetime]:
        midnight = datetime.combine(moment, time(), moment.tzinfo)
        begins = midnight + self.opens_h * _HOUR
        closed = moment.weekday() >= _SATURDAY
        return begins, begins if closed else midnight + self.closes_h * _HOUR
