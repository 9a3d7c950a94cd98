"""The aggregated side of a stream's scheduler: heads of its queues, reshards, and aggregates that landed on another shard.

KCL drops a whole aggregate that holds one record outside the shard's range (AggregatorUtil of amazon-kinesis-client 3.5.1). So
one that landed on another shard than predicted counts as stored only where all its records hash into that shard.
"""

from collections.abc import Iterable

from bridge.core.delivery.aggregate_queues import Aggregating, Part, WaitingRecords, by_shard, rows_to_send
from bridge.core.delivery.aggregates import aggregate_of, is_aggregate, open_head, take_apart
from bridge.core.delivery.lanes import FIRST, MappedBatch, PartitionLanes, Row
from bridge.core.delivery.requests import Resolution
from bridge.core.delivery.shard_map import Places, Shard, ShardMap


class AggregateLanes:
    """All partitions of a stream whose records travel in aggregates."""

    def __init__(self, shard_map: ShardMap) -> None:
        self._partitions: dict[PartitionLanes, Aggregating] = {}
        self._undecided: list[tuple[Row, str, str]] = []  # with shard and sequence number: landed on shards not known yet
        self._know(shard_map)

    def offer(self, batch: MappedBatch) -> tuple[list[Row], bool]:
        """Takes the rows of a batch in. Returns new heads, and whether an aggregate of a queue is full."""
        aggregating = self._partitions.setdefault(batch.lanes_of, Aggregating())
        parts = self._by_shard(rows_to_send(batch))
        heads = _heads(aggregating.take_in(batch.lanes_of, parts))
        queues = (aggregating.queues.get(shard.shard_id) for shard, _ in parts)
        return heads, any(queue is not None and queue.is_full for queue in queues)

    def stored(self, rows: Iterable[Row]) -> tuple[list[Row], bool]:
        """These aggregates are done. Returns the next heads, and whether an aggregate of a queue is full."""
        heads: list[Row] = []
        full = False
        for row in rows:
            aggregate = aggregate_of(row)
            queue = aggregate.queue
            queue.lanes_of.count_out(len(aggregate), aggregate.size)
            queue.busy = False
            more = self._next(queue)
            heads += more
            full = full or any(aggregate_of(head).queue.is_full for head in more)
        return heads, full

    def still_whole(self, rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
        """Of rows that are to be tried again, those that can go as they are; the records of the others are routed anew, and
        the heads that come of that."""
        kept, heads = [], list[Row]()
        for row in rows:
            if not is_aggregate(row) or aggregate_of(row).queue.shard_id in self._open:
                kept.append(row)
                continue
            take_apart(row)
            heads += self._next(aggregate_of(row).queue)
        return kept, heads

    def replace_shard_map(self, shard_map: ShardMap) -> Resolution:
        """Returns what is known now of aggregates that landed on shards that were not: stored ones, those that KCL drops, and
        whether it has to be asked again, for those that landed on a shard which this map does not know either."""
        self._know(shard_map)
        for aggregating in self._partitions.values():
            aggregating.close_shards(self._open)
        undecided, self._undecided = self._undecided, []
        resolution = Resolution()
        for row, shard_id, sequence_number in undecided:
            if shard_id not in self._ranges:  # the answer to a question that was asked before
                self._undecided.append((row, shard_id, sequence_number))
                resolution.stale_shard_map = True
            elif self._holds(shard_id, row):
                resolution.add_stored(row, shard_id, sequence_number)
            else:
                resolution.dropped.append(row)
        return resolution

    def moved(self) -> list[Row]:
        """Heads of records whose shard is closed, where nothing of it is on its way any more."""
        return [head for lanes_of in list(self._partitions) for head in self._move(lanes_of)]

    def landed(self, row: Row, shard_id: str, sequence_number: str) -> bool | None:
        """Whether an aggregate counts as stored on this shard; None: it is told when the shard is known."""
        if shard_id not in self._ranges:
            self._undecided.append((row, shard_id, sequence_number))
            return None
        return self._holds(shard_id, row)

    def undecided(self) -> list[Row]:
        """Aggregates of which it is not known yet whether they count as stored."""
        return [row for row, *_ in self._undecided]

    def truncate(self, lanes_of: PartitionLanes, offset: int, ready: Iterable[Row]) -> list[Row]:
        """Forgets the records of a partition at or above `offset`; `ready` are its heads, taken out. Returns new heads."""
        aggregating = self._partitions.get(lanes_of)
        if aggregating is None:
            return []
        for row in ready:
            take_apart(row)
        for part in aggregating.cut(offset):
            lanes_of.count_out(len(part), part.size)
        for part in _all_parts(aggregating):
            part.batch.age = FIRST
        for left in [lanes for lanes in self._partitions if lanes.ends_at is not None and not lanes.unresolved]:
            del self._partitions[left]
        idle = [queue for queue in aggregating.queues.values() if queue.parts and not queue.busy]
        return [*_heads(idle), *self._move(lanes_of)]

    def _know(self, shard_map: ShardMap) -> None:
        self._shards, self._places = shard_map.shards, Places(shard_map)
        self._open = {shard.shard_id for shard in shard_map.shards}
        # One may have landed on a shard that was closed before it was known: what it counts for does not change by that.
        self._ranges = {**shard_map.closed, **{shard.shard_id: shard for shard in shard_map.shards}}

    def _next(self, queue: WaitingRecords) -> list[Row]:
        if queue.shard_id not in self._open:
            return self._move(queue.lanes_of)
        return _heads([queue]) if queue.parts else []

    def _move(self, lanes_of: PartitionLanes) -> list[Row]:
        aggregating = self._partitions.get(lanes_of)
        if aggregating is None:
            return []
        idle: list[WaitingRecords] = []
        for part in aggregating.take_moved():
            idle += aggregating.take_in(lanes_of, self._by_shard(part))
        return _heads(idle)

    def _by_shard(self, part: Part) -> list[tuple[Shard, Part]]:
        return by_shard(part, self._places.of(part.hash_keys()), self._shards)

    def _holds(self, shard_id: str, row: Row) -> bool:
        shard = self._ranges[shard_id]
        return all(shard.starting_hash_key <= key <= shard.ending_hash_key for key in aggregate_of(row).hash_keys())


def _heads(queues: Iterable[WaitingRecords]) -> list[Row]:
    heads = []
    for queue in queues:
        if not queue.busy:  # one queue may get several parts
            heads.append(open_head(queue))
    return heads


def _all_parts(aggregating: Aggregating) -> Iterable[Part]:
    for queue in (*aggregating.queues.values(), *aggregating.gone):
        yield from queue.parts
    yield from aggregating.moving
