"""What is ready to go to one shard, and whether it may go now."""

from collections import deque

from bridge.core.delivery.budgets import Budget
from bridge.core.delivery.lanes import Row
from bridge.core.delivery.requests import Request, RequestLimits

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0


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


class ShardQueue:
    """Heads of lanes that are ready to go to one shard, oldest first, behind the shard's budget."""

    __slots__ = ("backoff", "budget", "ready", "shard_id")

    def __init__(self, shard_id: str, budget: Budget) -> None:
        self.shard_id = shard_id
        self.budget = budget
        self.ready: deque[Row] = deque()
        self.backoff = Backoff()

    def sendable(self, now: float) -> int:
        """How many records could go now, as far as their count and the budget's beginnings tell."""
        if not self.ready or self.backoff.until > now:
            return 0
        records, slot_bytes, second_bytes = self.budget.available(now)
        if records <= 0 or slot_bytes <= 0:
            return 0
        batch, i = self.ready[0]
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
            batch, i = row = ready[0]
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
            request.size += taken
