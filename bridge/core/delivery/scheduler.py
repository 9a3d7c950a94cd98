"""What goes into the next PutRecords request of a stream, and what an answer means for each record.

Order through PutRecords: it may store record 3 of a call and refuse record 2, so at most one record of a lane is in any
unresolved request; one that was not stored stays at the head of its lane. Budgets are applied before a request is
filled, so a full shard never holds up a request. This is the only place that decides on retries.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain

from bridge.core.delivery.budgets import Budget, FastestRoundTrip
from bridge.core.delivery.lanes import (
    FIRST,
    ROW_BATCH,
    ROW_HASH_KEY,
    MappedBatch,
    PartitionLanes,
    Row,
    advance,
    forget_head,
    heads_to_try_again,
    is_wanted,
    offset_of,
    wanted_heads,
)
from bridge.core.delivery.ready_shards import NEVER, ReadyShards
from bridge.core.delivery.requests import Request, RequestLimits, Resolution
from bridge.core.delivery.resting_rows import RestingRows
from bridge.core.delivery.shard_map import Places, ShardMap
from bridge.core.delivery.shard_queues import Backoff, ShardQueue
from bridge.core.records import Outcome, PutAnswer

FATAL_BACKOFF_FIRST_S = 1.0
FATAL_BACKOFF_MAX_S = 30.0

GATHER_PART = 4
"""What stood behind its lane's head has lingered there; a part of the linger gathers answers that come together."""

RUN_ROWS = 8
"""What a request holds for one shard costs about as much as so many rows. Where many shards have few ready rows each, the
linger gathers until a shard has so many."""


class Scheduler:
    """Lanes and shard budgets of one stream. Pure: takes `now` (seconds, monotonic), returns decisions."""

    def __init__(self, limits: RequestLimits, shard_map: ShardMap, shard_share: float = 1.0) -> None:
        self._limits = limits
        self._queues: list[ShardQueue] = []
        self._shards = ReadyShards()
        self._singly: deque[Row] = deque()  # of a request that was rejected as a whole: one request each
        self._resting = RestingRows()
        self._under_way: set[Request] = set()
        self._fastest = FastestRoundTrip()
        self._backoff = Backoff()
        self._offered = 0  # batches
        self._ready_rows = 0  # of all shards, closed ones too
        self._linger_s = NEVER
        self._send_at = NEVER  # when what is ready has lingered long enough
        self.replace_shard_map(shard_map, [shard_share] * len(shard_map))

    # -- taking records in

    def offer(self, batch: MappedBatch, now: float) -> None:
        """Takes the rows of a batch into their lanes."""
        batch.age = self._offered
        self._offered += 1
        lanes_of = batch.lanes_of
        lanes_of.unresolved += len(batch)
        lanes_of.unresolved_bytes += sum(batch.sizes)
        waiting, queues = lanes_of.waiting, self._queues
        slots, lanes = self._places.of(batch.hash_keys), batch.lanes
        not_ready = 0
        for row, lane, slot in zip(batch.take_rows(), lanes, slots, strict=True):
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

    def truncate(self, lanes_of: PartitionLanes, offset: int) -> None:
        """Forgets the rows of a partition at or above `offset` that are not under way; those that are end with their answer.
        What is left of it goes first."""
        lanes_of.end_at(offset)
        for queue in self._queues:
            out = queue.ready.take_out(is_wanted)
            self._ready_rows -= len(out)
            for row in out:
                forget_head(row)
            queue.ready.finish_first(lanes_of)
        self._resting.truncate(lanes_of)
        self._singly = deque(wanted_heads(self._singly))

    def under_way_to(self, lanes_of: PartitionLanes) -> int:
        """Offset above every row of this partition that is under way now; 0 without one."""
        rows = (row for request in self._under_way for row in request.rows if row[0].lanes_of is lanes_of)
        return max((offset_of(row) + 1 for row in rows), default=0)

    def replace_shard_map(self, shard_map: ShardMap, shares: Sequence[float]) -> None:
        """Routes what waits again; budgets and back-off of shards that stay go on. `shares` as in `set_shares`."""
        before = {queue.shard_id: queue for queue in self._queues}
        ready = [row for queue in self._queues for row in queue.ready.take(len(queue.ready))]
        self.shard_map = shard_map
        self._shards, self._places, self._ready_rows = ReadyShards(), Places(shard_map), 0
        self._queues = [before.get(shard.shard_id) or ShardQueue(shard.shard_id, Budget()) for shard in shard_map.shards]
        self._by_id = {queue.shard_id: queue for queue in self._queues}
        self.set_shares(shares)
        for queue in self._queues:
            queue.listed = False
        self._free(sorted(ready, key=lambda row: (row[0].age, row[1])))

    def set_shares(self, shares: Sequence[float]) -> None:
        """Our part of each open shard's limits from now on, in the order of the shard map."""
        for queue, share in zip(self._queues, shares, strict=True):
            queue.budget.set_share(share)

    # -- sending

    def next_request(self, now: float) -> Request | float:
        """The next request to send now, or the time at which to ask again (`NEVER`: after the next offer or answer).

        Raises ValueError for a record above `bytes_max`: none may be offered.
        """
        if self._backoff.until > now:
            return self._backoff.until
        if rested := self._resting.due(now):
            self._put_back(rested, now)
        if single := self._next_single(now):
            return self._sent(single, now)
        worth_it = max(self._limits.records_max, RUN_ROWS * len(self._shards))
        if now < self._send_at and self._ready_rows < worth_it and not self._singly:
            return min(self._send_at, self._resting.next_due())
        sendable, chosen = self._shards.choose(self._limits.records_max, now)
        if not sendable:
            singly = (self._queue_of(row).wake_at(now) for row in self._singly)
            return min([self._shards.opens_at(), self._resting.next_due(), *singly])
        if now < self._send_at and sendable < self._limits.records_max:
            self._shards.put_back([queue for queue, _ in chosen])
            return self._send_at
        request = Request()
        taken: list[ShardQueue] = []
        left: list[ShardQueue] = []
        for queue, room in chosen:
            (taken if queue.fill(request, self._limits, room, now) else left).append(queue)
        self._shards.put_back(left)
        self._shards.put_behind(taken)
        if not len(request):
            raise ValueError(f"a record does not fit into a request of {self._limits.bytes_max} bytes")
        self._ready_rows -= len(request)
        self._send_at = now + self._linger_s if self._ready_rows else NEVER
        return self._sent(request, now)

    def _next_single(self, now: float) -> Request | None:
        request = self._queue_of(self._singly[0]).alone(self._singly[0], now) if self._singly else None
        if request is not None:
            self._singly.popleft()
        return request

    def _sent(self, request: Request, now: float) -> Request:
        request.sent_at = now
        self._under_way.add(request)
        return request

    # -- answers

    def resolve(self, request: Request, answer: PutAnswer, now: float) -> Resolution:
        """What the answer means: lanes whose head was stored go on, every other head stays where it is."""
        self._answered(request, answer, now)
        resolution = Resolution()
        if answer.whole is not None:
            self._resolve_whole(request, answer, resolution, now)
            return resolution
        self._backoff.succeeded()
        if any(answer.outcomes):
            self._resolve_singly(request, answer, resolution, now)
        else:
            resolution.stored = request.rows
        resolution.stale_shard_map = any(
            answer.outcomes[i] == Outcome.STORED and answer.shard_ids[i] != shard_id
            for shard_id, first, end in request.runs
            if answer.shard_ids[first:end].count(shard_id) != end - first
            for i in range(first, end)
        )
        self._resting.stored(resolution.stored)
        self._free(advance(resolution.stored))
        self._send_at = min(self._send_at, now + self._linger_s / GATHER_PART)
        return resolution

    def _answered(self, request: Request, answer: PutAnswer, now: float) -> None:
        self._under_way.discard(request)
        if answer.whole is None:
            self._fastest.saw(now - request.sent_at, now)
        excess_s = self._fastest.excess(now - request.sent_at)
        for taken in request.taken:
            taken.answered(excess_s)

    def _resolve_whole(self, request: Request, answer: PutAnswer, resolution: Resolution, now: float) -> None:
        outcome = answer.whole
        if outcome == Outcome.REJECTED:
            if len(request) == 1:
                self._reject(request.rows[0], answer.code, resolution)
            else:
                self._singly.extend(heads_to_try_again(request.rows))
            return
        if outcome == Outcome.FATAL:
            self._backoff.failed(now, FATAL_BACKOFF_FIRST_S, FATAL_BACKOFF_MAX_S)
        else:
            self._backoff.failed(now)
        if outcome == Outcome.UNKNOWN:
            resolution.unknown = request.rows
        if outcome == Outcome.THROTTLED:
            for shard_id, first, end in request.runs:
                resolution.throttled[shard_id] = end - first
        self._retry(request.rows, now)

    def _resolve_singly(self, request: Request, answer: PutAnswer, resolution: Resolution, now: float) -> None:
        again: list[Row] = []
        for shard_id, first, end in request.runs:
            throttled, failed, stored = 0, list[Row](), len(resolution.stored)
            for row, outcome in zip(request.rows[first:end], answer.outcomes[first:end], strict=True):
                if outcome == Outcome.STORED:
                    resolution.stored.append(row)
                elif outcome == Outcome.REJECTED:
                    self._reject(row, answer.code, resolution)
                elif outcome == Outcome.THROTTLED:
                    again.append(row)
                    throttled += 1
                else:
                    failed.append(row)
                    if outcome == Outcome.UNKNOWN:
                        resolution.unknown.append(row)
            if failed and (len(resolution.stored) > stored or all(map(self._resting.knows, failed))):
                self._resting.rest(heads_to_try_again(failed), now)
                failed = []
            again += failed
            if queue := self._by_id.get(shard_id):  # else it is closed by now
                queue.learn(throttled, len(failed), now)
            if throttled:
                resolution.throttled[shard_id] = throttled
        self._retry(again, now)

    def _reject(self, row: Row, code: str, resolution: Resolution) -> None:
        resolution.rejected.append((row, code))
        forget_head(row)
        self.truncate(row[0].lanes_of, offset_of(row))

    def _retry(self, rows: list[Row], now: float) -> None:
        """Back to the front: they are the heads of their lanes, and the oldest of their shard."""
        self._put_back(heads_to_try_again(rows), now)

    def _put_back(self, rows: list[Row], now: float) -> None:
        for row in reversed(rows):
            queue = self._queue_of(row)
            queue.ready.insert(row)
            self._ready_rows += 1
            self._shards.add(queue)
        self._send_at = min(self._send_at, now + self._linger_s)

    def _free(self, rows: Sequence[Row]) -> None:
        """These rows are the heads of their lanes now."""
        queues = self._queues
        for row, place in zip(rows, self._places.of([row[ROW_HASH_KEY] for row in rows]), strict=True):
            queue = queues[place]
            if row[ROW_BATCH].age == FIRST:
                queue.ready.put_back([row])
            else:
                queue.ready.freed.append(row)
            if not queue.listed:
                self._shards.add(queue)
        self._ready_rows += len(rows)

    def _queue_of(self, row: Row) -> ShardQueue:
        return self._queues[self._places.of([row[ROW_HASH_KEY]])[0]]

    # -- what others ask

    def heads(self) -> Iterator[tuple[str, Row]]:
        """The first row of every lane, with its shard."""
        for queue in self._queues:
            yield from ((queue.shard_id, row) for row in queue.ready)
        for row in chain(self._singly, self._resting, *(request.rows for request in self._under_way)):
            yield self._queue_of(row).shard_id, row

    def used_ratios(self, now: float) -> dict[str, float]:
        """Part of each shard's ceiling that the last second took."""
        return {queue.shard_id: queue.budget.used_ratio(now) for queue in self._queues}
