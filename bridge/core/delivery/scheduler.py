"""What goes into the next PutRecords request of a stream, and what an answer means for each record.

Order through PutRecords: it may store record 3 of a call and refuse record 2, so at most one record of a lane is in any
unresolved request; one that was not stored stays at the head of its lane. Budgets are applied before a request is
filled, so a full shard never holds up a request. This is the only place that decides on retries. An attempt of which nobody
knows whether it was stored is in doubt: it is not tried again, nor is anything behind it tried, before somebody tells.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import chain

from bridge.core.delivery.aggregates import aggregate_of, is_aggregate
from bridge.core.delivery.budgets import FastestRoundTrip
from bridge.core.delivery.lanes import (
    ROW_BATCH,
    PartitionLanes,
    Row,
    advance,
    end_offset_of,
    forget_head,
    is_wanted,
    offset_of,
)
from bridge.core.delivery.ready_shards import NEVER
from bridge.core.delivery.requests import Request, RequestLimits, Resolution
from bridge.core.delivery.routed_rows import RoutedRows
from bridge.core.delivery.shard_map import ShardMap
from bridge.core.delivery.shard_queues import Backoff, ShardQueue
from bridge.core.records import Outcome, PutAnswer

FATAL_BACKOFF_FIRST_S = 1.0
FATAL_BACKOFF_MAX_S = 30.0

GATHER_PART = 4
"""What stood behind its lane's head has lingered there; a part of the linger gathers answers that come together."""

RUN_ROWS = 8
"""What a request holds for one shard costs about as much as so many rows. Where many shards have few ready rows each, the
linger gathers until a shard has so many."""


class Scheduler(RoutedRows):
    """Lanes and shard budgets of one stream. Pure: takes `now` (seconds, monotonic), returns decisions."""

    def __init__(self, limits: RequestLimits, shard_map: ShardMap, shard_share: float = 1.0) -> None:
        self._limits = limits
        self._under_way: set[Request] = set()
        self._fastest = FastestRoundTrip()
        self._backoff = Backoff()
        super().__init__(shard_map, shard_share)

    def under_way_to(self, lanes_of: PartitionLanes) -> int:
        """Offset above every row of this partition that is under way now, or in doubt; 0 without one."""
        under_way = chain(self._doubts, self._aggregates.undecided(), *(request.rows for request in self._under_way))
        return max((end_offset_of(row) for row in under_way if row[0].lanes_of is lanes_of), default=0)

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
        """What the answer means: lanes whose head was stored go on, every other head stays where it is. What may have been stored
        is in doubt until `settled` tells."""
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
            resolution.shard_ids, resolution.sequence_numbers = answer.shard_ids, answer.sequence_numbers
        resolution.stale_shard_map = any(
            answer.outcomes[i] == Outcome.STORED and answer.shard_ids[i] != shard_id
            for shard_id, first, end in request.runs
            if answer.shard_ids[first:end].count(shard_id) != end - first
            for i in range(first, end)
        )
        self._send_at = min(self._send_at, now + self._linger_s / GATHER_PART)
        self._resting.stored(resolution.stored)
        if not request.aggregates:
            self._free(advance(resolution.stored))
            return resolution
        if resolution.stale_shard_map:
            self._judge_landings(request, resolution)
        self._stored_or_dropped(resolution, now)
        return resolution

    def settled(self, landed: Sequence[tuple[Row, str, str]], again: Sequence[Row], now: float) -> Resolution:
        """What became of rows in doubt. Those that `landed`, with shard id and sequence number, are done as if an answer had
        said so; the others go `again`, before what waits in their lanes, as far as their partitions still want them.

        Raises:
            ValueError: some are not in doubt, or told of twice. Nothing is changed.
        """
        resolution = Resolution()
        if not (landed or again):
            return resolution
        self._doubts.take([*(row for row, _, _ in landed), *again])
        for row, shard_id, sequence_number in landed:
            if self._queue_of(row).shard_id != shard_id and shard_id not in self.shard_map.closed:
                resolution.stale_shard_map = True
            elsewhere = is_aggregate(row) and aggregate_of(row).queue.shard_id != shard_id
            self._judge_landing(row, shard_id, sequence_number, elsewhere, resolution)
        if resolution.stored:
            self._send_at = min(self._send_at, now + self._linger_s / GATHER_PART)
        self._resting.stored(resolution.stored)
        self._stored_or_dropped(resolution, now)
        self._put_back(self._resting.rest(self._to_try_again(again), now), now)
        return resolution

    def _stored_or_dropped(self, resolution: Resolution, now: float) -> None:
        if self._aggregates_stored([row for row in resolution.stored if is_aggregate(row)]):
            self._send_at = now
        self._free(advance(row for row in resolution.stored if not is_aggregate(row)))
        self._retry(resolution.dropped, now)

    def _judge_landings(self, request: Request, resolution: Resolution) -> None:
        """Aggregates that were stored on another shard than predicted may not count as stored."""
        predicted = {id(row): shard_id for shard_id, first, end in request.runs for row in request.rows[first:end]}
        stored = list(zip(resolution.stored, resolution.shard_ids, resolution.sequence_numbers, strict=True))
        resolution.stored, resolution.shard_ids, resolution.sequence_numbers = [], [], []
        for row, shard_id, sequence_number in stored:
            elsewhere = predicted[id(row)] != shard_id and is_aggregate(row)
            self._judge_landing(row, shard_id, sequence_number, elsewhere, resolution)

    def _judge_landing(self, row: Row, shard_id: str, sequence_number: str, elsewhere: bool, resolution: Resolution) -> None:
        counts = self._aggregates.landed(row, shard_id, sequence_number) if elsewhere else True
        if counts:
            resolution.add_stored(row, shard_id, sequence_number)
        elif counts is False:
            resolution.dropped.append(row)

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
                self._singly.extend(self._to_try_again(request.rows))
            return
        if outcome == Outcome.FATAL:
            self._backoff.failed(now, FATAL_BACKOFF_FIRST_S, FATAL_BACKOFF_MAX_S)
        else:
            self._backoff.failed(now)
        if outcome == Outcome.UNKNOWN:
            self._doubt(request.rows, resolution)
            return
        if outcome == Outcome.THROTTLED:
            for shard_id, first, end in request.runs:
                resolution.throttled[shard_id] = end - first
        self._retry(request.rows, now)

    def _resolve_singly(self, request: Request, answer: PutAnswer, resolution: Resolution, now: float) -> None:
        again: list[Row] = []
        for shard_id, first, end in request.runs:
            throttled, failed, unknown, stored = 0, list[Row](), list[Row](), len(resolution.stored)
            for i in range(first, end):
                row, outcome = request.rows[i], answer.outcomes[i]
                if outcome == Outcome.STORED:
                    resolution.add_stored(row, answer.shard_ids[i], answer.sequence_numbers[i])
                elif outcome == Outcome.REJECTED:
                    self._reject(row, answer.code, resolution)
                elif outcome == Outcome.THROTTLED:
                    again.append(row)
                    throttled += 1
                else:
                    (unknown if outcome == Outcome.UNKNOWN else failed).append(row)
            not_stored = failed + unknown
            by_themselves = len(resolution.stored) > stored or all(map(self._resting.knows, not_stored))
            if by_themselves and not_stored:
                self._resting.failed(filter(is_wanted, not_stored), now)
                failed = self._resting.rest(self._to_try_again(failed), now)
            again += failed
            self._doubt(unknown, resolution)
            if queue := self._by_id.get(shard_id):  # else it is closed by now
                queue.learn(throttled, 0 if by_themselves else len(not_stored), now)
            if throttled:
                resolution.throttled[shard_id] = throttled
        self._retry(again, now)

    def _doubt(self, rows: Sequence[Row], resolution: Resolution) -> None:
        asked: list[Row] = []
        for row in rows:
            if row[ROW_BATCH].lanes_of.detached:
                forget_head(row)
            else:
                asked.append(row)
        self._doubts.add(asked)
        resolution.unknown += asked

    def _reject(self, row: Row, code: str, resolution: Resolution) -> None:
        resolution.rejected.append((row, code))
        forget_head(row)
        self.truncate(row[0].lanes_of, offset_of(row))

    def _retry(self, rows: list[Row], now: float) -> None:
        """Back to the front: they are the heads of their lanes, and the oldest of their shard."""
        self._put_back(self._to_try_again(rows), now)

    # -- what others ask

    def heads(self) -> Iterator[tuple[str, Row]]:
        """The first row of every lane, with its shard."""
        for queue in self._queues:
            yield from ((queue.shard_id, row) for row in queue.ready)
        under_way = (request.rows for request in self._under_way)
        for row in chain(self._singly, self._resting, self._doubts, self._aggregates.undecided(), *under_way):
            yield self._queue_of(row).shard_id, row

    def in_doubt(self) -> Collection[Row]:
        """Rows, some of which stand for aggregates, that wait for `settled`: the collection follows what happens."""
        return self._doubts
