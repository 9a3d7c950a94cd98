"""Which part of each shard of one stream is ours, and what our partitions want of their equal part."""

from collections.abc import Callable, Iterable, Mapping
from math import inf

from bridge.app.partition_line import PartitionLine, Phase
from bridge.core.delivery.demand import VALID_S, Feeder, wanted
from bridge.core.delivery.fair_parts import Place, fair_parts
from bridge.core.delivery.mapping import Mapper
from bridge.core.delivery.scheduler import Scheduler
from bridge.core.delivery.shard_map import ShardMap
from bridge.core.records import Partition
from bridge.ports import Clock

ASK_AGAIN_S = 10.0
ASK_USED = 0.3
"""Of our part of a shard. Where less is used it does not matter what others leave, and nobody is asked: thousands of partitions
with little to do cost nothing."""


class Shares:
    """Kept by a `StreamLine`; `FairShare` tells it of the others. As long as it does not, they want all of their parts."""

    def __init__(self, shard_share: float, clock: Clock, own: Callable[[], Iterable[tuple[PartitionLine, Mapper]]]) -> None:
        """`shard_share` is the part of all replicas together, `own` the partitions that are ours now."""
        self._shard_share = shard_share
        self._clock = clock
        self._own = own
        self._feeders: Mapping[Partition, Place] = {}
        self._others: Mapping[Partition, Place] = {}  # of those the others'
        self._demands: Mapping[Partition, float] = {}
        self._read_at = -inf
        self._parts: list[float] = []
        self._used: list[float] = []
        self.scheduler: Scheduler | None = None

    def set_feeders(self, places: Mapping[Partition, Place]) -> None:
        """Where the records of all partitions go that feed this stream, those of other replicas too."""
        self._feeders = places
        self.changed()

    def set_demands(self, demands: Mapping[Partition, float], read_at: float) -> None:
        """What others' partitions have committed; reading it began at this moment of the port `Clock`."""
        self._demands, self._read_at = demands, read_at
        self.share_out()

    def changed(self) -> None:
        """Our partitions have changed, or all that feed the stream."""
        ours = {line.partition for line, _ in self._own()}
        self._others = {partition: place for partition, place in self._feeders.items() if partition not in ours}
        self.share_out()

    def share_out(self) -> None:
        """What is known of the partitions has changed."""
        if self.scheduler is not None:
            self.scheduler.set_shares(self.of(self.scheduler.shard_map))

    def of(self, shard_map: ShardMap) -> list[float]:
        """Our part of the limits of each shard of this map."""
        now = self._clock.monotonic()
        own = [(_place(line, mapper), line.demand.own(now)) for line, mapper in self._own()]
        known = self._demands if now - self._read_at < VALID_S else {}
        others = [(place, known.get(partition, 1.0)) for partition, place in self._others.items()]
        if not self._feeders:  # until all partitions are known: those of the topics that we have something of
            of_own_topics = {line.partition.topic: line.slices for line, _ in self._own()}
            others = [(None, 1.0)] * (sum(of_own_topics.values()) - len(own))
        self._parts = fair_parts(shard_map, own, others)
        return [self._shard_share * part for part in self._parts]

    def look(self) -> None:
        """Once a second: what our partitions carry and want, and what follows from it."""
        lends = bool(self._others)  # alone it says what it has said, and thousands of partitions at rest cost nothing
        busy = [line for line, _ in self._own() if line.phase is Phase.OPEN or (lends and not line.demand.at_rest)]
        if not busy or self.scheduler is None:
            self._used = []
            return
        now = self._clock.monotonic()
        for line in busy:
            line.demand.counted(line.read_rows - line.lanes.unresolved, now)
        if lends:
            self._used = list(self.scheduler.used_ratios(now).values())
            own = [_feeder(line, mapper) for line, mapper in self._own()]
            wants = wanted(self.scheduler.shard_map, self._used, self._parts, own, self._others.values())
            for (line, _), part in zip(self._own(), wants, strict=True):
                if line.phase is Phase.OPEN or not line.demand.at_rest:
                    line.demand.wants(part, now)
        else:
            for line in busy:
                line.demand.wants(1.0, now)
        self.share_out()

    def to_ask(self) -> list[Partition]:
        """Others' partitions whose demand is to be read now."""
        is_due = self._clock.monotonic() - self._read_at >= ASK_AGAIN_S
        return list(self._others) if is_due and max(self._used, default=0.0) >= ASK_USED else []


def _place(line: PartitionLine, mapper: Mapper) -> Place:
    return mapper.spec.place_of(line.partition.number)


def _feeder(line: PartitionLine, mapper: Mapper) -> Feeder:
    return Feeder(_place(line, mapper), line.demand.records_per_s, line.lanes.unresolved + line.held_rows)
