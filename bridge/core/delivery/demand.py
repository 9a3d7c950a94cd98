"""What a partition wants of its equal part of the shards, so that others may use what it leaves.

Each replica says the demand of its partitions in their commit metadata and reads that of the others there; a replica's part of a
shard is the sum of its demands that feed it, of all that feed it (`fair_parts`). Where all want everything the parts are equal.

**Why the parts never add up to more than the shard.** Replicas read at different moments, so they must not all go by the latest.
Each counts its own partitions with the lowest demand that any replica may still go by, and others' with one that was in force
within that time. So every replica's part is at most (sum of its own lowest) / (sum of all lowest), and those add up to 1. What is
not known, or was read too long ago, counts as 1, the highest. The price: who wants more again gets it `KEPT_S` later; who wants
less gives way at once. For that time it has at least `DEMAND_MIN` of what it would have had without lending anything.

**Why it does not swing.** Demand is what the partition sends and half as much again, so one that sends steadily is never held
back by what it has lent. Where our part of its shard is used and records wait it wants all of its equal part, however little gets
through. Demand is said in quarters, the highest of the last `HOLD_S`: noise and short pauses change nothing.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from math import ceil, inf
from typing import NamedTuple

from bridge.core.delivery.fair_parts import Place, per_shard
from bridge.core.delivery.shard_map import ShardMap

STEPS = 4
DEMAND_MIN = 1 / STEPS
"""Of an idle partition: what it can have at once when something comes."""
HEADROOM = 1.5
HOLD_S = 20.0
VALID_S = 13.0
"""So long after the beginning of a reading what was read is gone by. Others are asked every ten seconds."""
KEPT_S = 16.0
"""So long after a higher demand was confirmed the lower one before counts: `VALID_S`, and time to act by it."""
WAIT_S = 0.5
"""A partition waits where more waits in it than it sends in this time."""
USED_MIN = 0.5
"""Of our part of a shard: with less in use it is not this part that makes anything wait. Not higher, because records above half
of what a second may hold go one a second."""
RATE_WEIGHT = 0.25
"""Of the last look in the rate, a second apart."""


class Demand:
    """Of one assignment of a partition. `announced` is for its next commit."""

    __slots__ = ("_counted", "_in_force", "_looked_at", "_overtaken", "_wanted", "announced", "records_per_s")

    def __init__(self, found: float = 1.0) -> None:
        """`found` is what the partition's owner before has said."""
        self.announced = found
        self.records_per_s = 0.0
        self._counted = 0
        self._looked_at: float | None = None
        self._in_force: list[tuple[float, float]] = [(found, inf)]  # what was said, and until when somebody may go by it
        self._overtaken = 0  # so many of those are not in force any more, since when is to be noted
        self._wanted: deque[tuple[float, float]] = deque()  # (wanted, until when it counts), falling

    @property
    def at_rest(self) -> bool:
        """Whether time alone changes nothing about it."""
        return self.announced <= DEMAND_MIN

    def counted(self, records: int, now: float) -> None:
        """So many records were carried since the assignment. `now` in seconds."""
        if self._looked_at is not None and now > self._looked_at:
            now_per_s = (records - self._counted) / (now - self._looked_at)
            self.records_per_s += RATE_WEIGHT * (max(0.0, now_per_s) - self.records_per_s)
        self._counted, self._looked_at = records, now

    def wants(self, part: float, now: float) -> None:
        """It wants this part of its equal part; more than all counts as all."""
        wanted = min(1.0, max(1, ceil(part * STEPS)) / STEPS)
        if not self._wanted:
            self._wanted.append((self.announced, now + HOLD_S))
        while self._wanted and (self._wanted[-1][0] <= wanted or self._wanted[-1][1] <= now):
            self._wanted.pop()
        while self._wanted and self._wanted[0][1] <= now:
            self._wanted.popleft()
        self._wanted.append((wanted, now + HOLD_S))
        self.announced = self._wanted[0][0]

    def said(self) -> None:
        """What is announced goes into a commit."""
        if self._in_force[-1][0] != self.announced:
            self._in_force.append((self.announced, inf))

    def confirmed(self) -> None:
        """Kafka has the commit into which it went last, and none before it can come later."""
        self._overtaken = len(self._in_force) - 1

    def own(self, now: float) -> float:
        """What its owner may count it for: the lowest that any replica may go by."""
        before, after = self._in_force[: self._overtaken], self._in_force[self._overtaken :]
        noted = [(part, min(until, now + KEPT_S)) for part, until in before]
        self._in_force, self._overtaken = [(part, until) for part, until in noted if until > now] + after, 0
        return min(self.announced, *(part for part, _ in self._in_force))


class Feeder(NamedTuple):
    """One of our partitions: where its records go, how many a second, and how many wait."""

    place: Place
    records_per_s: float
    waiting: int


def wanted(
    shard_map: ShardMap, used: Sequence[float], parts: Sequence[float], own: Sequence[Feeder], others: Iterable[Place]
) -> list[float]:
    """What each of our partitions wants of its equal part: where it wants most.

    Of each shard, in the order of the map: `parts` are ours of its limits, and so much of them was `used` in the last second.
    What is used is put down to our partitions by their records, for nobody counts bytes by partition and shard.
    """
    rates = per_shard(shard_map, ((feeder.place, feeder.records_per_s) for feeder in own))
    feeding = per_shard(shard_map, ((place, 1.0) for place in [*(feeder.place for feeder in own), *others]))
    per_record = [
        HEADROOM * use * part * count / rate if rate else 0.0
        for use, part, count, rate in zip(used, parts, feeding, rates, strict=True)
    ]
    most, fullest = max(per_record), max(used)
    wants = []
    for place, records_per_s, waiting in own:
        shard = None if place is None else shard_map.locate(place)
        is_used = (fullest if shard is None else used[shard]) >= USED_MIN
        waits = is_used and waiting > WAIT_S * records_per_s
        wants.append(1.0 if waits else records_per_s * (most if shard is None else per_record[shard]))
    return wants
