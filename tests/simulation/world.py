"""Virtual time: everything that happens is a timer here, so one seed always gives one run."""

import random
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from heapq import heappop, heappush

from greenlet import getcurrent, greenlet

EPOCH_S = 1_780_000_000.0
"""Wall clock at the beginning of every run, in seconds."""
TURNS_MAX = 3_000_000
"""Timers of one run; more means that something spins without time passing."""


class SpinningError(Exception):
    """The run takes more timers than any sensible one."""


@dataclass(slots=True, eq=False)
class Timer:
    """A callback at a moment; cancelled by clearing it."""

    when: float
    callback: Callable[[], None] | None

    def cancel(self) -> None:
        self.callback = None


@dataclass(slots=True, frozen=True)
class Pause:
    """Awaited by coroutines that the world drives itself, without an event loop."""

    seconds: float

    def __await__(self) -> Generator[float]:
        yield self.seconds


@dataclass(slots=True)
class World:
    """The clock, the timers, and the chance of one run."""

    seed: int
    now: float = 0.0
    turns: int = 0
    _timers: list[tuple[float, int, Timer]] = field(default_factory=list)
    hub: greenlet = field(default_factory=getcurrent)
    """In which timers run; green threads are its children."""

    def chance(self, what: str) -> random.Random:
        """A source of chance of its own for each purpose: one more draw for one of them does not change the others."""
        return random.Random(f"{self.seed}/{what}")

    def wall(self) -> float:
        """Seconds since the epoch of a clock that is right."""
        return EPOCH_S + self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(max(when, self.now), callback)
        self.turns += 1
        heappush(self._timers, (timer.when, self.turns, timer))
        return timer

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        return self.call_at(self.now + seconds, callback)

    def drive(self, coroutine: Coroutine[float, None, None]) -> None:
        """Runs a coroutine that awaits nothing but `Pause`."""
        try:
            seconds = coroutine.send(None)
        except StopIteration:
            return
        self.call_later(seconds, lambda: self.drive(coroutine))

    def run_until(self, done: Callable[[], bool], deadline: float) -> bool:
        """Lets time pass until `done`, at most up to `deadline`. Returns whether it is done. Raises SpinningError."""
        while not done():
            if not self._timers or self._timers[0][0] > deadline:
                self.now = deadline
                return done()
            when, _, timer = heappop(self._timers)
            if timer.callback is not None:
                self.now = when
                timer.callback()
            if self.turns > TURNS_MAX:
                raise SpinningError(f"{self.turns} timers up to {self.now:.3f} s")
        return True
