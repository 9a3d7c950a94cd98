"""The daemon's life: start, work, stop by signal."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bridge.app.forward import ForwardLine
from bridge.app.telemetry import Telemetry

STOP_TIMEOUT_S = 20.0
"""Beyond the drain: for the last commit and for leaving the group."""
INTERRUPTED = 130


async def supervise(forward: ForwardLine, telemetry: Telemetry, drain_timeout_s: float) -> bool:
    """Runs the forward line until SIGTERM or SIGINT; then drains, commits and leaves. A second signal ends the process.

    Returns whether everything that was attempted is settled and committed. Whatever ends the line by itself is raised.
    """
    stop = asyncio.Event()
    with _signals(lambda: _stop_or_die(stop, telemetry)):
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(forward.run(), name="forward")
            waiting = tasks.create_task(stop.wait(), name="signals")
            await asyncio.wait((work, waiting), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if work.done():
                work.result()  # it never ends by itself but by an error, which ends the daemon
            telemetry.log("info", "bridge_stopping")
            try:
                async with asyncio.timeout(drain_timeout_s + STOP_TIMEOUT_S):
                    settled = await forward.stop()
            except TimeoutError:
                settled = False
            work.cancel()
    telemetry.log("info" if settled else "warning", "bridge_stopped", settled=settled)
    return settled


def _stop_or_die(stop: asyncio.Event, telemetry: Telemetry) -> None:
    if stop.is_set():
        telemetry.log("warning", "bridge_stopped", settled=False, reason="second signal")
        sys.stdout.flush()
        os._exit(INTERRUPTED)  # the consumer's thread may be waiting for Kafka: nothing may hold this up
    stop.set()


@contextmanager
def _signals(handler: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
