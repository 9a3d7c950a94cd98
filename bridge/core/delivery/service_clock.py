"""Kinesis's clock as an interval: what its answers' `Date` headers, and when they were sent for and received, allow.

An answer with `Date` D (whole seconds, cut off) that was sent for at s and received at r says that at some moment from s to r the
service's clock stood in [D, D + 1). So the difference between its clock and ours lies in [D - r, D + 1 - s). All answers
together give the intersection, which widens as time goes by, because clocks drift.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

DRIFT_MAX = 0.001
"""By how much two clocks may run apart, in seconds a second: twice the 500 ppm up to which Linux slews a clock (adjtimex(2))."""
CONTRADICTION_KEPT_S = 300.0
"""How long what was contradicted still widens the interval."""
CONTRADICTED_MAX = 16
"""So many are kept apart; more are taken together."""


class Interval(NamedTuple):
    """The service's clock is not before `earliest_ms` and not after `latest_ms` (since the epoch; infinite where unknown)."""

    earliest_ms: float
    latest_ms: float


UNKNOWN = Interval(-math.inf, math.inf)


@dataclass(slots=True)
class _Difference:
    """Service's clock less ours, in seconds, as it was known at `since` of our clock."""

    least: float
    most: float
    since: float

    def widened(self, now: float) -> "_Difference":
        drift = abs(now - self.since) * DRIFT_MAX
        return _Difference(self.least - drift, self.most + drift, now)

    def hull(self, later: "_Difference") -> "_Difference":
        return _Difference(min(self.least, later.least), max(self.most, later.most), later.since)


class ServiceClock:
    """The clock of one service, by a clock of ours that goes on while the machine sleeps (CLOCK_BOOTTIME), in seconds."""

    def __init__(self) -> None:
        self._known: _Difference | None = None
        self._contradicted: list[_Difference] = []
        self.contradictions = 0
        """How many answers contradicted those before: one of the clocks jumped, or servers disagree."""

    def saw(self, date_s: int, sent_at: float, received_at: float) -> None:
        """An answer whose `Date` is so many seconds since the epoch.

        Raises:
            ValueError: it was received before it was sent for.
        """
        if received_at < sent_at:
            raise ValueError(f"received at {received_at}, before it was sent for at {sent_at}")
        said = _Difference(date_s - received_at, date_s + 1 - sent_at, received_at)
        if self._known is None:
            self._known = said
            return
        known = self._known.widened(received_at)
        least, most = max(known.least, said.least), min(known.most, said.most)
        if least <= most:
            self._known = _Difference(least, most, received_at)
            return
        self.contradictions += 1
        self._contradicted = [*self._kept(received_at), known]
        if len(self._contradicted) > CONTRADICTED_MAX:
            oldest, older, *rest = self._contradicted
            self._contradicted = [oldest.widened(older.since).hull(older), *rest]
        self._known = said  # begins anew; for a while both count

    def at(self, now: float) -> Interval:
        """What the service's clock may show now; `UNKNOWN` before the first answer."""
        if self._known is None:
            return UNKNOWN
        difference = self._known.widened(now)
        for former in self._kept(now):
            difference = former.widened(now).hull(difference)
        return Interval((now + difference.least) * 1000, (now + difference.most) * 1000)

    def _kept(self, now: float) -> list[_Difference]:
        return [former for former in self._contradicted if now - former.since <= CONTRADICTION_KEPT_S]
