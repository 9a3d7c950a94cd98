"""Which shards have something to send now: those that are closed for the moment cost nothing until they open."""

from collections import deque
from heapq import heappop, heappush
from itertools import count

from bridge.core.delivery.shard_queues import Room, ShardQueue

NEVER = float("inf")


class ReadyShards:
    """Shards with ready rows: those that may be open, in turn, and those that are closed until a time."""

    def __init__(self) -> None:
        self._open: deque[ShardQueue] = deque()
        self._closed: list[tuple[float, int, ShardQueue]] = []  # a heap by the time to look again
        self._number = count()

    def add(self, queue: ShardQueue) -> None:
        """This shard got a ready row."""
        if not queue.listed:
            queue.listed = True
            self._open.append(queue)

    def choose(self, records: int, now: float) -> tuple[int, list[tuple[ShardQueue, Room]]]:
        """Takes shards in turn until they could send so many records now; `put_back` and `put_behind` give them back."""
        while self._closed and self._closed[0][0] <= now:
            self._open.append(heappop(self._closed)[2])
        chosen: list[tuple[ShardQueue, Room]] = []
        sendable = 0
        while self._open and sendable < records:
            queue = self._open.popleft()
            if room := queue.room(now):
                chosen.append((queue, room))
                sendable += room[0]
            elif queue.ready:
                heappush(self._closed, (queue.wake_at(now), next(self._number), queue))
            else:
                queue.listed = False
        return sendable, chosen

    def put_back(self, queues: list[ShardQueue]) -> None:
        """Nothing was taken from these: they stay first."""
        self._open.extendleft(reversed(queues))

    def put_behind(self, queues: list[ShardQueue]) -> None:
        """Something was taken from these: the others come first."""
        for queue in queues:
            queue.listed = bool(queue.ready)
            if queue.listed:
                self._open.append(queue)

    def __len__(self) -> int:
        """How many there are, with a few that have nothing ready any more."""
        return len(self._open) + len(self._closed)

    def opens_at(self) -> float:
        """When the first closed shard is to be looked at again."""
        return self._closed[0][0] if self._closed else NEVER
