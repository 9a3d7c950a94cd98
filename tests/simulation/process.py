"""A process of the simulation: its event loop, its threads (greenlets), its clocks, and what can befall it.

An abandoned process does nothing any more: its callbacks and threads are never run again, and nothing it has to say reaches
a server. What it had sent before may still arrive.
"""

import asyncio
from asyncio import events
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

from tests.simulation.world import EPOCH_S, Timer, World

UNWINDING_TURNS = 50
"""Cancellations that a task may take to end, once nothing answers any more."""


class _NoSelector:
    """The loop has no sockets."""

    def select(self, _timeout: float | None = None) -> list[Any]:
        return []

    def close(self) -> None:
        """Nothing to close."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An asyncio loop that is run turn by turn by the world, in its time."""

    def __init__(self, process: "Process") -> None:
        super().__init__()
        self._process = process
        self._selector = _NoSelector()
        self._clock_resolution = 1e-9
        self.signal_handlers: dict[int, Callable[..., Any]] = {}

    def time(self) -> float:
        return self._process.world.now

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:  # type: ignore[override]
        handle = super().call_soon(callback, *args, context=context)
        self._process.poke()
        return handle

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:  # type: ignore[override]
        handle = super().call_at(when, callback, *args, context=context)
        self._process.poke()
        return handle

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> "asyncio.Future[Any]":  # type: ignore[override]
        """In a green thread."""
        answer = self.create_future()

        def body() -> None:
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001 - handed over, as an executor does
                self.call_soon_threadsafe(_settle, answer, None, error)
            else:
                self.call_soon_threadsafe(_settle, answer, result, None)

        GreenThread(self._process, body).start()
        return answer

    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> None:  # type: ignore[override]
        self.signal_handlers[sig] = lambda: callback(*args)

    def remove_signal_handler(self, sig: int) -> bool:
        return self.signal_handlers.pop(sig, None) is not None

    def bury(self) -> None:
        """Nothing is run any more, whoever asks."""
        self.close()
        self._check_closed = lambda: None

    def turn(self) -> None:
        """Runs what is ready now."""
        events._set_running_loop(self)
        try:
            self._run_once()  # type: ignore[attr-defined]
        finally:
            events._set_running_loop(None)

    def next_turn(self) -> float | None:
        """When something is to be run; None: nothing before somebody calls."""
        if self._ready:  # type: ignore[attr-defined]
            return self.time()
        scheduled = self._scheduled  # type: ignore[attr-defined]
        return scheduled[0]._when if scheduled else None

    def _write_to_self(self) -> None:
        self._process.poke()

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""


def _settle(future: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class Parking:
    """Where a green thread waits: until it is woken, or until a moment."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._waiting: greenlet | None = None
        self._woken = False

    def wait(self, until: float) -> None:
        """Blocks the green thread that calls."""
        self._process.check_alive()
        if self._woken:
            self._woken = False
            return
        if until <= self._process.world.now:
            return
        self._waiting = getcurrent()
        timer = self._process.world.call_at(until, self._resume) if until != float("inf") else None
        self._process.world.hub.switch()
        if timer is not None:
            timer.cancel()
        self._woken = False
        self._process.check_alive()

    def wake(self) -> None:
        """Lets the waiting thread go on, or the next one that would wait."""
        self._woken = True
        if self._waiting is not None:
            self._process.world.call_later(0, self._resume)

    def _resume(self) -> None:
        if self._waiting is None:
            return
        if not self._process.runs():
            self._process.when_it_runs(self._resume)
            return
        waiting, self._waiting = self._waiting, None
        waiting.switch()


class GreenEvent:
    """`Event` of the threads of a process."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._set = False
        self._parked: list[Parking] = []

    def set(self) -> None:
        self._set = True
        for parking in self._parked:
            parking.wake()

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float) -> bool:
        parking = Parking(self._process)
        self._parked.append(parking)
        until = self._process.world.now + timeout
        while not self._set and self._process.world.now < until:
            parking.wait(until)
        self._parked.remove(parking)
        return self._set


class GreenThread:
    """`Thread` that is a greenlet."""

    def __init__(self, process: "Process", body: Callable[[], None]) -> None:
        self._process = process
        self._body = body
        self._ended = GreenEvent(process)
        self._state = "new"

    def start(self) -> None:
        self._state = "alive"
        child = greenlet(self._run, self._process.world.hub)
        self._process.threads.append(child)
        self._process.world.call_later(0, lambda: self._process.resume(child))

    def is_alive(self) -> bool:
        return self._state == "alive"

    def join(self, timeout: float) -> None:
        self._ended.wait(timeout)

    def _run(self) -> None:
        try:
            self._body()
        except GreenletExit:
            return
        except Exception as error:  # noqa: BLE001 - the end of a thread, which the run reports
            self._process.failures.append(error)
        self._state = "ended"
        self._ended.set()


class GreenThreads:
    """`Threads` of one process."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    def event(self) -> GreenEvent:
        return GreenEvent(self._process)

    def thread(self, body: Callable[[], None], name: str) -> GreenThread:
        return GreenThread(self._process, body)


class Process:
    """One process, from its start to its end. `host` of the clients that live in it."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.frozen_until = 0.0
        self.wall_offset_s = 0.0
        self.cut_from_kafka_until = 0.0
        self.cut_from_kinesis_until = 0.0
        self.threads: list[greenlet] = []
        self.failures: list[BaseException] = []
        self.signals = 0
        self.main: asyncio.Task[None] | None = None
        self.threading = GreenThreads(self)
        self.loop = VirtualLoop(self)
        self._turn: Timer | None = None
        self._turning = False
        self._countdowns: list[list[Any]] = []

    # -- clocks

    def monotonic(self) -> float:
        return self.world.now

    def wall_ms(self) -> float:
        return (EPOCH_S + self.world.now + self.wall_offset_s) * 1000

    # -- as a host of clients

    @property
    def connected(self) -> bool:
        """To Kafka."""
        return self.alive and self.world.now >= self.cut_from_kafka_until

    def beating(self, now: float) -> bool:
        """Whether the client's background thread sends heartbeats."""
        return self.alive and now >= self.frozen_until

    def parking(self) -> Parking:
        return Parking(self)

    # -- life

    def runs(self) -> bool:
        return self.alive and self.world.now >= self.frozen_until

    def check_alive(self) -> None:
        """Raises GreenletExit in a thread of an abandoned process: it has come to its end only because nobody holds it."""
        if not self.alive:
            raise GreenletExit

    def abandon(self) -> None:
        """As if killed: nothing of it runs any more."""
        self.alive = False

    def after_turns(self, turns: int, callback: Callable[[], None]) -> None:
        """So many turns of the loop from now."""
        self._countdowns.append([turns, callback])

    def freeze(self, seconds: float) -> None:
        """As if stopped by a signal, and continued later."""
        self.frozen_until = max(self.frozen_until, self.world.now + seconds)

    def signal(self, number: int) -> None:
        """Delivers a signal to the process's handler, if it has one by now; else it dies of it, as of a second one."""
        handler = self.loop.signal_handlers.get(number)
        self.signals += 1
        if handler is None or self.signals > 1:
            self.abandon()
        else:
            self.loop.call_soon_threadsafe(handler)

    def when_it_runs(self, callback: Callable[[], None]) -> None:
        """Later, if it is only frozen; never, if it is dead."""
        if self.alive:
            self.world.call_at(self.frozen_until, callback)

    def resume(self, thread: greenlet) -> None:
        """Switches to one of its threads, as soon as it runs."""
        if self.runs():
            thread.switch()
        else:
            self.when_it_runs(lambda: self.resume(thread))

    # -- its loop's turns

    def poke(self) -> None:
        """The loop has something to do now or later."""
        if self._turning or not self.alive:
            return
        when = self.loop.next_turn()
        if when is None:
            return
        when = max(when, self.frozen_until)
        if self._turn is not None and self._turn.callback is not None:
            if self._turn.when <= when:
                return
            self._turn.cancel()
        self._turn = self.world.call_at(when, self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        if not self.alive:
            return
        if self.runs():
            self._turning = True
            try:
                self.loop.turn()
            finally:
                self._turning = False
            self._count_down()
        self.poke()

    def _count_down(self) -> None:
        for countdown in list(self._countdowns):
            countdown[0] -= 1
            if countdown[0] <= 0:
                self._countdowns.remove(countdown)
                countdown[1]()

    def bury(self) -> None:
        """After the run: takes apart what an abandoned process left behind, without a word to anybody."""
        self.alive = False
        for _ in range(UNWINDING_TURNS):
            tasks = asyncio.all_tasks(self.loop)
            if not tasks:
                break
            for task in tasks:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                task.cancel()
            self.loop.turn()
        for thread in self.threads:
            with suppress(GreenletExit):
                thread.throw(GreenletExit)
        self.threads.clear()
        self.loop.bury()
