"""Rows that wait to be sent to the shards of one stream, as a reshard, a rebalance or a drain leaves them."""

from collections import deque
from collections.abc import Iterable, Sequence

from bridge.core.delivery.aggregate_lanes import AggregateLanes
from bridge.core.delivery.aggregates import OPEN
from bridge.core.delivery.budgets import Budget
from bridge.core.delivery.doubts import RowsInDoubt
from bridge.core.delivery.lanes import (
    FIRST,
    ROW_BATCH,
    ROW_DATA,
    ROW_HASH_KEY,
    MappedBatch,
    PartitionLanes,
    Row,
    forget_head,
    heads_to_try_again,
    is_wanted,
    wanted_heads,
)
from bridge.core.delivery.ready_shards import NEVER, ReadyShards
from bridge.core.delivery.requests import Resolution
from bridge.core.delivery.resting_rows import RestingRows
from bridge.core.delivery.shard_map import Places, ShardMap
from bridge.core.delivery.shard_queues import ShardQueue


class RoutedRows:
    """Heads of lanes by their shards. `Scheduler` sends them."""

    def __init__(self, shard_map: ShardMap, shard_share: float) -> None:
        self._queues: list[ShardQueue] = []
        self._shards = ReadyShards()
        self._singly: deque[Row] = deque()  # of a request that was rejected as a whole: one request each
        self._resting = RestingRows()
        self._doubts = RowsInDoubt()
        self._aggregates = AggregateLanes(shard_map)
        self._offered = 0  # batches
        self._ready_rows = 0  # of all shards, closed ones too
        self._linger_s = NEVER
        self._send_at = NEVER  # when what is ready has lingered long enough
        self.replace_shard_map(shard_map, [shard_share] * len(shard_map))

    def offer(self, batch: MappedBatch, now: float) -> None:
        """Takes the rows of a batch into their lanes."""
        batch.age = self._offered
        self._offered += 1
        if batch.lanes_of.aggregates is not None:
            self._offer_aggregated(batch, now)
            return
        lanes_of, lanes, hash_keys, sizes = batch.lanes_of, batch.lanes, batch.hash_keys, batch.sizes
        rows = batch.take_rows()
        if batch.diverted:
            _, _, _, _, _, sizes, hash_keys, lanes, _ = zip(*rows, strict=True) if rows else [()] * 9
        lanes_of.unresolved += len(rows)
        lanes_of.unresolved_bytes += sum(sizes)
        waiting, queues = lanes_of.waiting, self._queues
        slots = self._places.of(hash_keys)
        not_ready = 0
        for row, lane, slot in zip(rows, lanes, slots, strict=True):
            if lane not in waiting:
                waiting[lane] = None
                queues[slot].ready.offered.append(row)
                continue
            not_ready += 1
            if (behind := waiting[lane]) is None:
                waiting[lane] = deque((row,))
            else:
                behind.append(row)
        self._ready_rows += len(slots) - not_ready
        for slot in set(slots):
            self._shards.add(queues[slot])
        self._linger_s = min(self._linger_s, lanes_of.linger_s)
        self._send_at = min(self._send_at, now + lanes_of.linger_s)

    def _offer_aggregated(self, batch: MappedBatch, now: float) -> None:
        lanes_of, left_out = batch.lanes_of, [batch.sizes[diverted.row] for diverted in batch.diverted]
        lanes_of.unresolved += len(batch) - len(left_out)
        lanes_of.unresolved_bytes += sum(batch.sizes) - sum(left_out)
        heads, full = self._aggregates.offer(batch)
        self._linger_s = min(self._linger_s, lanes_of.linger_s)
        self._free(heads)
        self._send_at = min(self._send_at, now if full else now + lanes_of.linger_s)

    def truncate(self, lanes_of: PartitionLanes, offset: int) -> None:
        """Forgets the rows of a partition at or above `offset` that are not under way; those that are end with their answer,
        and those in doubt when they are settled. What is left of it goes first."""
        lanes_of.end_at(offset)
        self._resting.truncate(lanes_of)
        self._singly = deque(wanted_heads(self._singly))
        if lanes_of.aggregates is not None:
            self._truncate_aggregates(lanes_of, offset)
        for queue in self._queues:
            out = queue.ready.take_out(is_wanted)
            self._ready_rows -= len(out)
            for row in out:
                forget_head(row)
            queue.ready.finish_first(lanes_of)

    def detach(self, lanes_of: PartitionLanes) -> None:
        """Forgets the rows of a partition that is not ours any more, those in doubt too; those under way end with their answer,
        whatever it says."""
        lanes_of.detached = True
        for row in self._doubts.take_of(lanes_of):
            forget_head(row)
        self.truncate(lanes_of, 0)

    def _truncate_aggregates(self, lanes_of: PartitionLanes, offset: int) -> None:
        heads: list[Row] = []
        for queue in self._queues:
            heads += queue.ready.take_out(lambda row: row[ROW_BATCH].lanes_of is not lanes_of)
        self._ready_rows -= len(heads)
        self._free(self._aggregates.truncate(lanes_of, offset, heads))

    def replace_shard_map(self, shard_map: ShardMap, shares: Sequence[float]) -> Resolution:
        """Routes what waits again; budgets and back-off of shards that stay go on. `shares` as in `set_shares`.

        Returns what is known now of aggregates that had landed on shards that were not.
        """
        before = {queue.shard_id: queue for queue in self._queues}
        ready = [row for queue in self._queues for row in queue.ready.take(len(queue.ready))]
        self.shard_map = shard_map
        self._shards, self._places, self._ready_rows = ReadyShards(), Places(shard_map), 0
        self._queues = [before.get(shard.shard_id) or ShardQueue(shard.shard_id, Budget()) for shard in shard_map.shards]
        self._by_id = {queue.shard_id: queue for queue in self._queues}
        self.set_shares(shares)
        for queue in self._queues:
            queue.listed = False
        resolution = self._aggregates.replace_shard_map(shard_map)
        self._free(sorted(self._still_whole(ready), key=lambda row: (row[0].age, row[1])))
        self._singly = deque(self._still_whole(self._singly))
        self._free(self._aggregates.moved())
        self._aggregates_stored(resolution.stored)
        self._put_back(self._to_try_again(resolution.dropped), NEVER)
        return resolution

    def set_shares(self, shares: Sequence[float]) -> None:
        """Our part of each open shard's limits from now on, in the order of the shard map."""
        for queue, share in zip(self._queues, shares, strict=True):
            queue.budget.set_share(share)

    def _to_try_again(self, rows: Sequence[Row]) -> list[Row]:
        """Those of these heads, attempted without success, that are still wanted; the others are forgotten."""
        heads = heads_to_try_again(rows)
        if len(heads) < len(rows):
            self._free(self._aggregates.moved())  # some may have waited for one that is forgotten
        return heads

    def _put_back(self, rows: list[Row], now: float) -> None:
        for row in reversed(self._still_whole(rows)):
            queue = self._queue_of(row)
            queue.ready.insert(row)
            self._ready_rows += 1
            self._shards.add(queue)
        self._send_at = min(self._send_at, now + self._linger_s)

    def _still_whole(self, rows: Iterable[Row]) -> list[Row]:
        """Those that can go as they are; the others' records are routed anew."""
        kept, heads = self._aggregates.still_whole(rows)
        self._free(heads)
        return kept

    def _aggregates_stored(self, rows: list[Row]) -> bool:
        """These are done. Whether one of the next ones has nothing to wait for."""
        heads, full = self._aggregates.stored(rows)
        self._free(heads)
        return full

    def _free(self, rows: Sequence[Row]) -> None:
        """These rows are the heads of their lanes now."""
        queues = self._queues
        for row, place in zip(rows, self._places.of([row[ROW_HASH_KEY] for row in rows]), strict=True):
            queue = queues[place]
            if row[ROW_DATA] is OPEN:
                queue.aggregates = True
            if row[ROW_BATCH].age == FIRST:
                queue.ready.put_back([row])
            else:
                queue.ready.freed.append(row)
            if not queue.listed:
                self._shards.add(queue)
        self._ready_rows += len(rows)

    def _queue_of(self, row: Row) -> ShardQueue:
        return self._queues[self._places.of([row[ROW_HASH_KEY]])[0]]

    def used_ratios(self, now: float) -> dict[str, float]:
        """Part of each shard's ceiling that the last second took."""
        return {queue.shard_id: queue.budget.used_ratio(now) for queue in self._queues}
