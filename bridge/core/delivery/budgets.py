"""How much one shard may be offered, now: a sliding second, spread over slots, under a ceiling that throttles lower.

What counts is when a request *arrives*, which nobody tells us. So an entry leaves the window a second after its sending
and, where its answer took longer than the fastest one lately, that much later: it may have arrived that late, while the
next one arrives as fast as any. A request without an answer keeps its entry.
"""

from heapq import heappop, heappush
from typing import NamedTuple

from bridge.core.quotas import SHARD_BYTES_PER_S, SHARD_RECORDS_PER_S

WINDOW_S = 1.0
FULL = 0.99
"""Of our part. The rest lets another writer in: where each moment of a shard is taken, one that comes is always refused,
we never are, and so nothing would make us give way."""
SLOTS = 10
"""Slots are aligned to the clock, so that all shards of a stream open together and share requests."""

DECREASE = 0.8
DECREASE_PAUSE_S = 0.2
"""Answers to requests that were under way together count as one throttle."""
REGAIN_S = 2.5
"""So long after a throttle the rate is back at where it was refused: slowly near there, then faster and faster."""
REGAIN_MIN = 0.02
"""Least steepness of that curve, so that a rate near the floor rises too."""
RATE_FLOOR = 0.05

FASTEST_KEPT_S = 30.0
FASTEST_KNOWN_S = 2.0
"""So long after the first answer it is not yet known how fast answers are: connections are being opened, caches filled."""


class FastestRoundTrip:
    """The shortest time from a request to its answer lately: over the last 30 to 60 seconds."""

    __slots__ = ("_before", "_ends", "_until_now")

    def __init__(self) -> None:
        self._before = 0.0  # nothing is known: all of a round trip may be above the fastest
        self._until_now = float("inf")
        self._ends: float | None = None

    def saw(self, seconds: float, now: float) -> None:
        """One answer came `seconds` after its request."""
        if self._ends is None:
            self._ends = now + FASTEST_KNOWN_S
        elif now > self._ends:
            self._before, self._until_now, self._ends = self._until_now, seconds, now + FASTEST_KEPT_S
        self._until_now = min(self._until_now, seconds)

    def excess(self, seconds: float) -> float:
        """How much longer than the fastest this round trip took."""
        return max(0.0, seconds - min(self._before, self._until_now))


class Taken(NamedTuple):
    """What a request took of a shard's second; `leaves_at` is when it is free again, were its answer as fast as any."""

    budget: "Budget"
    leaves_at: float
    records: int
    size: int

    def answered(self, excess_s: float) -> None:
        """The answer came, whatever it says, and `excess_s` later than the fastest do: see the top of this file."""
        self.budget.release(self, excess_s)


class Budget:
    """Budget of one shard for records and for bytes (data + partition key).

    In any one-second window of `take` calls no more than the ceiling is taken, and about a tenth of it in a slot. A single
    record above a second's bytes is taken alone and then waited off.

    A throttle lowers the rate by a part. Time raises it along the curve of CUBIC (RFC 9438): a shard that somebody else
    writes to as well is probed gently around what it bore last, and one that is free again is soon used in full.
    """

    __slots__ = (
        "_bytes",
        "_ceiling_bytes",
        "_drop",
        "_leaving",
        "_records",
        "_refused_rate",
        "_slot",
        "_throttled_at",
        "_under_way",
        "ceiling_records",
    )

    def __init__(self, share: float = 1.0) -> None:
        self._leaving: list[tuple[float, int, int]] = []  # a heap of what was answered: (free again at, records, bytes)
        self._under_way = 0  # requests without an answer yet
        self._records = 0
        self._bytes = 0
        self._slot = (-1, 0, 0)  # (number, records, bytes)
        self._refused_rate = 1.0  # at which the shard refused records last
        self._drop = 0.0  # by which that lowered the rate
        self._throttled_at = float("-inf")
        self.set_share(share)

    def set_share(self, share: float) -> None:
        """Our part of the shard's limits from now on, 0 < share <= 1: the ceiling."""
        self.ceiling_records = max(1, int(SHARD_RECORDS_PER_S * share * FULL))
        self._ceiling_bytes = max(1, int(SHARD_BYTES_PER_S * share * FULL))

    def available(self, now: float) -> tuple[int, int, int]:
        """What may be taken now: records, bytes of this slot, bytes of this second.

        A record may go while bytes of the slot are left (it may overdraw them) and the second's bytes hold it whole.
        """
        self._expire(now)
        records_max, bytes_max = self._limits(now)
        number, slot_records, slot_bytes = self._slot
        if number != int(now * SLOTS):
            slot_records = slot_bytes = 0
        return (
            min(records_max - self._records, -(-records_max // SLOTS) - slot_records),
            -(-bytes_max // SLOTS) - slot_bytes,
            bytes_max - self._bytes,
        )

    def untouched(self, now: float) -> bool:
        """Whether nothing of this second is taken, so that one record above a whole second's bytes may go alone."""
        self._expire(now)
        return not self._under_way and not self._leaving

    def take(self, records: int, size: int, now: float) -> Taken:
        """Counts what was put into a request at `now`; whoever sends it says when it is `answered`."""
        number = int(now * SLOTS)
        if self._slot[0] == number:
            self._slot = (number, self._slot[1] + records, self._slot[2] + size)
        else:
            self._slot = (number, records, size)
        self._under_way += 1
        self._records += records
        self._bytes += size
        return Taken(self, now + max(WINDOW_S, size / self._ceiling_bytes), records, size)

    def release(self, taken: Taken, excess_s: float) -> None:
        """See `Taken.answered`."""
        self._under_way -= 1
        heappush(self._leaving, (taken.leaves_at + excess_s, taken.records, taken.size))

    def throttled(self, now: float) -> None:
        """The shard refused records: lower its rate, once for answers that come together."""
        if now - self._throttled_at < DECREASE_PAUSE_S:
            return
        self._refused_rate = self._rate(now)
        self._drop = self._refused_rate - max(RATE_FLOOR, self._refused_rate * DECREASE)
        self._throttled_at = now

    def wake_at(self, now: float, wanted_bytes: int = 1) -> float:
        """When more may be available than now: the next slot where this one is used up, later where the window is full, or has
        not so many bytes left."""
        self._expire(now)
        slot_end = (int(now * SLOTS) + 1) / SLOTS
        records_max, bytes_max = self._limits(now)
        if self._leaving and (self._records >= records_max or self._bytes + wanted_bytes > bytes_max):
            _, slot_records, slot_bytes = self._slot
            used_up = self._slot[0] == int(now * SLOTS) and (
                slot_records >= -(-records_max // SLOTS) or slot_bytes >= -(-bytes_max // SLOTS)
            )
            return max(slot_end if used_up else now, self._leaving[0][0])
        return slot_end

    def used_ratio(self, now: float) -> float:
        """Part of the ceiling that the last second took, records or bytes, whichever is more."""
        self._expire(now)
        return max(self._records / self.ceiling_records, self._bytes / self._ceiling_bytes)

    def _limits(self, now: float) -> tuple[int, int]:
        if not self._drop:
            return self.ceiling_records, self._ceiling_bytes
        rate = self._rate(now)
        return max(1, int(self.ceiling_records * rate)), max(1, int(self._ceiling_bytes * rate))

    def _rate(self, now: float) -> float:
        """The part of the ceiling that is used: falls by `_drop` at a throttle, is regained after `REGAIN_S`, goes on rising."""
        if not self._drop:
            return 1.0
        since = (now - self._throttled_at) / REGAIN_S - 1.0
        rate = self._refused_rate + max(self._drop, REGAIN_MIN) * since**3
        if rate >= 1.0:
            self._drop = 0.0
            return 1.0
        return max(RATE_FLOOR, rate)

    def _expire(self, now: float) -> None:
        leaving = self._leaving
        while leaving and leaving[0][0] <= now:
            _, records, size = heappop(leaving)
            self._records -= records
            self._bytes -= size
