"""What goes into the next PutRecords request of a stream, and what an answer means for each record.

Order through PutRecords: it may store record 3 of a call and refuse record 2, so at most one record of a lane is in any
unresolved request; one that was not stored stays at the head of its lane. Budgets are applied before a request is
filled, so a full shard never holds up a request. This is the only place that decides on retries.
"""

from collections import deque
from collections.abc import Iterable

from bridge.core.delivery.budgets import Budget
from bridge.core.delivery.lanes import MappedBatch, PartitionLanes, Row
from bridge.core.delivery.requests import Request, RequestLimits, Resolution
from bridge.core.delivery.shard_map import ShardMap
from bridge.core.delivery.shard_queues import Backoff, ReadyRows, ShardQueue
from bridge.core.records import Outcome, PutAnswer

NEVER = float("inf")

FATAL_BACKOFF_FIRST_S = 1.0
FATAL_BACKOFF_MAX_S = 30.0

GATHER_PART = 4
"""What stood behind its lane's head has lingered there; a part of the linger gathers answers that come together."""


class Scheduler:
    """Lanes and shard budgets of one stream. Pure: takes `now` (seconds, monotonic), returns decisions."""

    def __init__(self, limits: RequestLimits, shard_map: ShardMap, shard_share: float = 1.0) -> None:
        self._limits = limits
        self._share = shard_share
        self._queues: list[ShardQueue] = []
        self._singly: deque[Row] = deque()  # of a request that was rejected as a whole: one request each
        self._backoff = Backoff()
        self._offered = 0  # batches
        self._linger_s = NEVER
        self._send_at = NEVER  # when what is ready has lingered long enough
        self.replace_shard_map(shard_map)

    # -- taking records in

    def offer(self, batch: MappedBatch, now: float) -> None:
        """Takes the rows of a batch into their lanes."""
        batch.age = self._offered
        self._offered += 1
        lanes_of = batch.lanes_of
        waiting = lanes_of.waiting
        queues, locate = self._queues, self.shard_map.locate
        hash_keys = batch.hash_keys
        for i, lane in enumerate(batch.lanes):
            if lane not in waiting:
                waiting[lane] = None
                queues[locate(hash_keys[i])].ready.append((batch, i))
                continue
            behind = waiting[lane]
            if behind is None:
                waiting[lane] = deque(((batch, i),))
            else:
                behind.append((batch, i))
        lanes_of.unresolved += len(batch)
        lanes_of.unresolved_bytes += sum(batch.sizes)
        self._linger_s = min(self._linger_s, lanes_of.linger_s)
        self._send_at = min(self._send_at, now + lanes_of.linger_s)

    def truncate(self, lanes_of: PartitionLanes, offset: int) -> None:
        """Forgets the rows of a partition at or above `offset` that are not under way; those that are end with their answer."""
        lanes_of.ends_at = offset if lanes_of.ends_at is None else min(offset, lanes_of.ends_at)
        for queue in self._queues:
            for row in queue.ready.take_out(_wanted):
                self._forget(row, head=True)
        self._singly = self._kept(self._singly, head=True)
        for lane, behind in lanes_of.waiting.items():
            if behind:
                lanes_of.waiting[lane] = self._kept(behind, head=False) or None

    def replace_shard_map(self, shard_map: ShardMap) -> None:
        """Routes what waits again; budgets and back-off of shards that stay go on."""
        before = {queue.shard_id: queue for queue in self._queues}
        ready = [row for queue in self._queues for row in queue.ready]
        self.shard_map = shard_map
        self._queues = [
            before.get(shard.shard_id) or ShardQueue(shard.shard_id, Budget(self._share)) for shard in shard_map.shards
        ]
        for queue in self._queues:
            queue.ready = ReadyRows()
        for row in ready:
            self._queue_of(row).ready.append(row)

    # -- sending

    def next_request(self, now: float) -> Request | float:
        """The next request to send now, or the time at which to ask again (`NEVER`: after the next offer or answer).

        Raises ValueError for a record above `bytes_max`: none may be offered.
        """
        if self._backoff.until > now:
            return self._backoff.until
        if self._singly and (single := self._next_single(now)):
            return single
        counts = [(queue.sendable(now), queue) for queue in self._queues if queue.ready]
        sendable = sum(count for count, _ in counts)
        if not sendable:
            waiting = [queue for _, queue in counts] + [self._queue_of(row) for row in self._singly]
            return min((queue.wake_at(now) for queue in waiting), default=NEVER)
        if now < self._send_at and sendable < self._limits.records_max:
            return self._send_at
        request = Request()
        for _, queue in sorted((entry for entry in counts if entry[0]), key=lambda entry: -entry[0]):
            if len(request) >= self._limits.records_max:
                break
            queue.fill(request, self._limits, now)
        if not len(request):
            raise ValueError(f"a record does not fit into a request of {self._limits.bytes_max} bytes")
        self._send_at = now + self._linger_s
        return request

    def _next_single(self, now: float) -> Request | None:
        row = self._singly[0]
        request = self._queue_of(row).alone(row, now)
        if request is not None:
            self._singly.popleft()
        return request

    # -- answers

    def resolve(self, request: Request, answer: PutAnswer, now: float) -> Resolution:
        """What the answer means: lanes whose head was stored go on, every other head stays where it is."""
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
        self._advance(resolution.stored, now)
        return resolution

    def _resolve_whole(self, request: Request, answer: PutAnswer, resolution: Resolution, now: float) -> None:
        outcome = answer.whole
        if outcome == Outcome.REJECTED:
            if len(request) == 1:
                self._reject(request.rows[0], answer.code, resolution)
            else:
                self._singly.extend(row for row in request.rows if self._still_wanted(row))
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
        queues = {queue.shard_id: queue for queue in self._queues}
        again: list[Row] = []
        for shard_id, first, end in request.runs:
            throttled = failed = 0
            for row, outcome in zip(request.rows[first:end], answer.outcomes[first:end], strict=True):
                if outcome == Outcome.STORED:
                    resolution.stored.append(row)
                elif outcome == Outcome.REJECTED:
                    self._reject(row, answer.code, resolution)
                else:
                    again.append(row)
                    if outcome == Outcome.UNKNOWN:
                        resolution.unknown.append(row)
                    throttled += outcome == Outcome.THROTTLED
                    failed += outcome != Outcome.THROTTLED
            self._learn(queues.get(shard_id), throttled, failed, now)
            if throttled:
                resolution.throttled[shard_id] = throttled
        self._retry(again, now)

    @staticmethod
    def _learn(queue: ShardQueue | None, throttled: int, failed: int, now: float) -> None:
        """What a shard's answers say about its rate; a shard that is closed by now (None) has nothing to learn."""
        if queue is None:
            return
        if throttled:
            queue.budget.throttled(now)
        if failed:
            queue.backoff.failed(now)
        elif queue.backoff.until <= now:
            queue.backoff.succeeded()

    def _reject(self, row: Row, code: str, resolution: Resolution) -> None:
        batch, i = row
        resolution.rejected.append((row, code))
        self._forget(row, head=True)
        self.truncate(batch.lanes_of, batch.offsets[i])

    def _retry(self, rows: list[Row], now: float) -> None:
        """Back to the front: they are the heads of their lanes, and the oldest of their shard."""
        for row in reversed(rows):
            if self._still_wanted(row):
                self._queue_of(row).ready.appendleft(row)
        self._send_at = min(self._send_at, now + self._linger_s)

    def _advance(self, stored: Iterable[Row], now: float) -> None:
        """Releases the payload of stored rows; the next row of each lane becomes ready."""
        queues, locate = self._queues, self.shard_map.locate
        for batch, i in stored:
            batch.values[i] = None
            lanes_of = batch.lanes_of
            lanes_of.unresolved -= 1
            lanes_of.unresolved_bytes -= batch.sizes[i]
            lane = batch.lanes[i]
            behind = lanes_of.waiting[lane]
            if not behind:
                del lanes_of.waiting[lane]
                continue
            row = behind.popleft()
            queues[locate(row[0].hash_keys[row[1]])].ready.append(row)
        self._send_at = min(self._send_at, now + self._linger_s / GATHER_PART)

    def _still_wanted(self, row: Row) -> bool:
        if not _wanted(row):
            self._forget(row, head=True)
            return False
        return True

    def _kept(self, rows: deque[Row], head: bool) -> deque[Row]:
        for row in rows:
            if not _wanted(row):
                self._forget(row, head)
        return deque(row for row in rows if _wanted(row))

    def _forget(self, row: Row, head: bool) -> None:
        """A row that is not sent any more. Offsets ascend in a lane, so nothing behind a forgotten head is wanted."""
        batch, i = row
        lanes_of = batch.lanes_of
        batch.values[i] = None
        lanes_of.unresolved -= 1
        lanes_of.unresolved_bytes -= batch.sizes[i]
        if head:
            for following in lanes_of.waiting.pop(batch.lanes[i], None) or ():
                self._forget(following, head=False)

    def _queue_of(self, row: Row) -> ShardQueue:
        batch, i = row
        return self._queues[self.shard_map.locate(batch.hash_keys[i])]

    # -- what the metrics ask

    def used_ratios(self, now: float) -> dict[str, float]:
        """Part of each shard's ceiling that the last second took."""
        return {queue.shard_id: queue.budget.used_ratio(now) for queue in self._queues}


def _wanted(row: Row) -> bool:
    batch, i = row
    return batch.lanes_of.wants(batch.offsets[i])
