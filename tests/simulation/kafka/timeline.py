"""What is to happen at which time. Everything that a cluster and its clients do in the background stands in here."""

import heapq
from collections.abc import Callable
from itertools import count


class Timeline:
    """Acts are carried out in the order of their times, and those of one time in the order in which they were entered."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._now = clock()
        self._running = False
        self.on_earlier: Callable[[float], None] | None = None
        """Called with the new `next_due` where it has become earlier than it was."""

    @property
    def now(self) -> float:
        """While acts are carried out, the time of the one at hand."""
        if not self._running:
            self._now = max(self._now, self._clock())
        return self._now

    def at(self, when: float, act: Callable[[], None]) -> None:
        earlier = not self._due or when < self._due[0][0]
        heapq.heappush(self._due, (when, next(self._numbers), act))
        if earlier and self.on_earlier is not None and not self._running:
            self.on_earlier(when)

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        self.at(self.now + seconds, act)

    def advance(self, now: float) -> None:
        """Does what is due by then; an act that is overdue sees the time at which it was due."""
        due = self._due
        if self._running or not due or due[0][0] > now:
            return
        self._running = True
        try:
            while due and due[0][0] <= now:
                when, _, act = heapq.heappop(due)
                self._now = max(self._now, when)
                act()
        finally:
            self._running = False
        if due and self.on_earlier is not None:
            self.on_earlier(due[0][0])

    def next_due(self) -> float:
        """Infinite where nothing is."""
        return self._due[0][0] if self._due else float("inf")
