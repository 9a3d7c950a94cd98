"""What is ready to go to one shard, and whether it may go now."""

from collections import deque
from collections.abc import Callable, Iterator
from heapq import heappop, heappush

from bridge.core.delivery.budgets import Budget
from bridge.core.delivery.lanes import Row
from bridge.core.delivery.requests import Request, RequestLimits

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0

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
    """Heads of lanes that are ready to go, those of the oldest batch first.

    Oldest first keeps what is resolved of a partition close together: its committable offset follows what was sent, and
    a drain is short. A heap orders batches, not rows.
    """

    __slots__ = ("_ages", "_by_age", "_count")

    def __init__(self) -> None:
        self._ages: list[int] = []
        self._by_age: dict[int, deque[Row]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        for age in sorted(self._by_age):
            yield from self._by_age[age]

    def append(self, row: Row) -> None:
        """Behind the other rows of its batch."""
        self._of_age(row[0].age).append(row)
        self._count += 1

    def appendleft(self, row: Row) -> None:
        """Before the other rows of its batch."""
        self._of_age(row[0].age).appendleft(row)
        self._count += 1

    def first(self) -> Row:
        """The next row. Raises IndexError without one."""
        return self._by_age[self._ages[0]][0]

    def popleft(self) -> Row:
        """Takes the next row. Raises IndexError without one."""
        age = self._ages[0]
        rows = self._by_age[age]
        row = rows.popleft()
        self._count -= 1
        if not rows:
            del self._by_age[age]
            heappop(self._ages)
        return row

    def take_out(self, wanted: Callable[[Row], bool]) -> list[Row]:
        """Removes the rows that are not wanted any more, and returns them."""
        out = [row for row in self if not wanted(row)]
        kept = [row for row in self if wanted(row)] if out else []
        if out:
            self._ages, self._by_age, self._count = [], {}, 0
            for row in kept:
                self.append(row)
        return out

    def _of_age(self, age: int) -> deque[Row]:
        rows = self._by_age.get(age)
        if rows is None:
            rows = self._by_age[age] = deque()
            heappush(self._ages, age)
        return rows


class ShardQueue:
    """Heads of lanes that are ready to go to one shard, behind the shard's budget."""

    __slots__ = ("backoff", "budget", "ready", "shard_id")

    def __init__(self, shard_id: str, budget: Budget) -> None:
        self.shard_id = shard_id
        self.budget = budget
        self.ready = ReadyRows()
        self.backoff = Backoff()

    def sendable(self, now: float) -> int:
        """How many records could go now, as far as their count and the budget's beginnings tell."""
        if not self.ready or self.backoff.until > now:
            return 0
        records, slot_bytes, second_bytes = self.budget.available(now)
        if records <= 0 or slot_bytes <= 0:
            return 0
        batch, i = self.ready.first()
        if batch.sizes[i] > second_bytes and not self.budget.untouched(now):
            return 0
        return min(records, len(self.ready))

    def wake_at(self, now: float) -> float:
        """When more may be sendable than now."""
        return self.backoff.until if self.backoff.until > now else self.budget.wake_at(now)

    def fill(self, request: Request, limits: RequestLimits, now: float) -> None:
        """Moves ready records into the request, as many as request and budget hold."""
        records, slot_bytes, second_bytes = self.budget.available(now)
        records = min(records, limits.records_max - len(request))
        room = limits.bytes_max - request.size
        ready, first, taken = self.ready, len(request), 0
        alone = self.budget.untouched(now)
        while ready and records > 0 and slot_bytes > 0:
            batch, i = row = ready.first()
            size = batch.sizes[i]
            if size > room or (size > second_bytes and not alone):
                break
            ready.popleft()
            batch.attempted[i] = 1
            request.rows.append(row)
            request.partition_keys.append(batch.partition_keys[i])
            request.datas.append(batch.values[i])  # type: ignore[arg-type]
            explicit = batch.explicit_hash_keys
            request.explicit_hash_keys.append(None if explicit is None else explicit[i])
            alone = False
            records -= 1
            room -= size
            slot_bytes -= size
            second_bytes -= size
            taken += size
        if len(request) > first:
            self.budget.take(len(request) - first, taken, now)
            request.runs.append((self.shard_id, first, len(request)))
            request.run_sizes.append(taken)
            request.size += taken

    def alone(self, row: Row, now: float) -> Request | None:
        """A request of this row only, which is not among the ready ones; None while the budget does not allow it."""
        others, self.ready = self.ready, ReadyRows()
        self.ready.append(row)
        request = Request()
        if self.sendable(now):
            self.fill(request, ONE_RECORD, now)
        self.ready = others
        return request if len(request) else None
