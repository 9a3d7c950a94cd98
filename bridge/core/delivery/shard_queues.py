"""What is ready to go to one shard, and whether it may go now."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from bridge.core.delivery.aggregates import OPEN, is_aggregate, least_bytes, put_together
from bridge.core.delivery.budgets import Budget
from bridge.core.delivery.lanes import FIRST, ROW_BATCH, ROW_DATA, ROW_SIZE, PartitionLanes, Row
from bridge.core.delivery.requests import Request, RequestLimits

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0

Room = tuple[int, int, int]
"""Records, bytes of this slot, bytes of this second, as in `Budget.available`; records only as far as there are ready ones."""

ONE_RECORD = RequestLimits(1, 2**63)


class Backoff:
    """Pause after failures, doubled each time; failures of requests that were under way together count once."""

    __slots__ = ("_failures", "until")

    def __init__(self) -> None:
        self._failures = 0
        self.until = 0.0

    def failed(self, now: float, first_s: float = BACKOFF_FIRST_S, max_s: float = BACKOFF_MAX_S) -> None:
        if now >= self.until:
            self.until = now + min(max_s, first_s * 2.0 ** min(self._failures, 16))
            self._failures += 1

    def succeeded(self) -> None:
        self._failures = 0


class ReadyRows:
    """Heads of lanes that are ready to go, about oldest batch first.

    Oldest first keeps what is resolved of a partition close together: its committable offset follows what was sent, and
    a drain is short. Two queues do it without sorting: rows that were ready when they were offered come in the order of
    their batches; rows that had to wait in their lane come in the order in which they were freed, after the others of their
    batch: so no batch is attempted to its end before its beginning is.
    """

    __slots__ = ("freed", "offered")

    def __init__(self) -> None:
        self.offered: deque[Row] = deque()
        self.freed: deque[Row] = deque()

    def __len__(self) -> int:
        return len(self.offered) + len(self.freed)

    def __iter__(self) -> Iterator[Row]:
        yield from self.freed
        yield from self.offered

    def first(self) -> Row:
        """The next row. Raises IndexError without one."""
        return self._older()[0]

    def replace_first(self, row: Row) -> None:
        """Another row in the place of the next one."""
        self._older()[0] = row

    def take(self, count: int) -> list[Row]:
        """Takes the next rows; there must be so many."""
        taken: list[Row] = []
        freed, offered = self.freed, self.offered
        while freed and offered and len(taken) < count:
            taken.append((freed if freed[0][0].age < offered[0][0].age else offered).popleft())
        rows, count = freed or offered, count - len(taken)
        if count < len(rows):
            popleft = rows.popleft
            taken += [popleft() for _ in range(count)]
        else:
            taken += rows
            rows.clear()
        return taken

    def put_back(self, rows: Sequence[Row]) -> None:
        """In this order before all others but those of older batches."""
        self.offered.extendleft(reversed(rows))

    def insert(self, row: Row) -> None:
        """Behind what is older. Of several requests that were refused, the last one's rows must not always go first."""
        offered, older, place = self.offered, deque[Row](), _place(row)
        while offered and _place(offered[0]) < place:
            older.append(offered.popleft())
        offered.appendleft(row)
        offered.extendleft(reversed(older))

    def take_out(self, wanted: Callable[[Row], bool]) -> list[Row]:
        """Removes the rows that are not wanted any more, and returns them."""
        out = [row for row in self if not wanted(row)]
        if out:
            for rows in (self.freed, self.offered):
                kept = [row for row in rows if wanted(row)]
                rows.clear()
                rows.extend(kept)
        return out

    def finish_first(self, lanes_of: PartitionLanes) -> None:
        """Those of this partition before all others, in the order of their offsets."""
        rows = [*self]
        for row in rows:
            if row[ROW_BATCH].lanes_of is lanes_of:
                row[ROW_BATCH].age = FIRST
        self.freed.clear()
        self.offered = deque(sorted(rows, key=lambda row: (row[ROW_BATCH].age, row[ROW_BATCH].offsets[row[1]])))

    def _older(self) -> deque[Row]:
        freed, offered = self.freed, self.offered
        if not offered:
            return freed
        return freed if freed and freed[0][0].age < offered[0][0].age else offered


def _place(row: Row) -> tuple[int, int]:
    return row[0].age, row[0].offsets[row[1]]


class ShardQueue:
    """Heads of lanes that are ready to go to one shard, behind the shard's budget."""

    __slots__ = ("aggregates", "backoff", "budget", "listed", "ready", "shard_id")

    def __init__(self, shard_id: str, budget: Budget) -> None:
        self.shard_id = shard_id
        self.budget = budget
        self.ready = ReadyRows()
        self.backoff = Backoff()
        self.aggregates = False
        """Whether heads of aggregates were ever among its rows."""
        self.listed = False
        """Kept by `ReadyShards`."""

    def room(self, now: float) -> Room | None:
        """What could go now, as far as the number of records and the budget's beginnings tell; None: nothing."""
        ready = len(self.ready)
        if not ready or self.backoff.until > now:
            return None
        records, slot_bytes, second_bytes = self.budget.available(now)
        if records <= 0 or slot_bytes <= 0:
            return None
        if not self._fits(second_bytes) and not self.budget.untouched(now):
            return None
        return min(records, ready), slot_bytes, second_bytes

    def _fits(self, room_bytes: int) -> bool:
        return least_bytes(self.ready.first()) <= room_bytes and self.first(room_bytes)[ROW_SIZE] <= room_bytes

    def first(self, room_bytes: int) -> Row:
        """The next row, whole; one that is not put together yet is made to fit into this room."""
        row = self.ready.first()
        if row[ROW_DATA] is OPEN:
            row = put_together(row, room_bytes)
            self.ready.replace_first(row)
        return row

    def learn(self, throttled: int, failed: int, now: float) -> None:
        """What an answer says about the shard: how many of its records it throttled, how many failed for another reason."""
        if throttled:
            self.budget.throttled(now)
        if failed:
            self.backoff.failed(now)
        elif self.backoff.until <= now:
            self.backoff.succeeded()

    def wake_at(self, now: float) -> float:
        """When more may be sendable than now."""
        if self.backoff.until > now:
            return self.backoff.until
        return self.budget.wake_at(now, least_bytes(self.ready.first()) if self.ready else 1)

    def fill(self, request: Request, limits: RequestLimits, room: Room, now: float) -> bool:
        """Moves ready records into the request, as many as the request and the shard's room hold; whether any."""
        records, slot_bytes, second_bytes = room
        if self.aggregates:
            return self._fill_singly(request, limits, room, now)
        rows = self.ready.take(min(records, limits.records_max - len(request)))
        size = sum([row[ROW_SIZE] for row in rows])
        bytes_left = limits.bytes_max - request.size
        if size > min(bytes_left, slot_bytes, second_bytes):
            count, size = _fitting(rows, bytes_left, room, self.budget.untouched(now))
            self.ready.put_back(rows[count:])
            rows = rows[:count]
        if rows:
            request.add_run(self.shard_id, rows, size, self.budget.take(len(rows), size, now))
        return bool(rows)

    def _fill_singly(self, request: Request, limits: RequestLimits, room: Room, now: float) -> bool:
        """Aggregates get their size only when they are put together, so each is looked at before the next."""
        records, slot_bytes, second_bytes = room
        rows, total = list[Row](), 0
        while len(self.ready) and len(rows) < min(records, limits.records_max - len(request)) and total < slot_bytes:
            alone = not rows and self.budget.untouched(now)
            if not alone and not self._fits(second_bytes - total):
                break
            size = self.first(second_bytes - total)[ROW_SIZE]
            if total + size > limits.bytes_max - request.size or (total + size > second_bytes and not alone):
                break
            rows += self.ready.take(1)
            total += size
        if rows:
            request.aggregates = request.aggregates or any(map(is_aggregate, rows))
            request.add_run(self.shard_id, rows, total, self.budget.take(len(rows), total, now))
        return bool(rows)

    def alone(self, row: Row, now: float) -> Request | None:
        """A request of this row only, which is not among the ready ones; None while the budget does not allow it."""
        others, self.ready = self.ready, ReadyRows()
        self.ready.put_back([row])
        request = Request()
        if room := self.room(now):
            self.fill(request, ONE_RECORD, room, now)
        self.ready = others
        return request if len(request) else None


def _fitting(rows: Sequence[Row], bytes_left: int, room: Room, alone: bool) -> tuple[int, int]:
    """How many of these rows may go, and their bytes; the first may be above the second's bytes where it goes `alone`."""
    _, slot_bytes, second_bytes = room
    total = 0
    for count, row in enumerate(rows):
        size = row[ROW_SIZE]
        above_second = total + size > second_bytes and not (alone and count == 0)
        if total >= slot_bytes or total + size > bytes_left or above_second:
            return count, total
        total += size
    return len(rows), total
