"""Records that flow from a topic through replicas of the bridge into a stream, for as long as a window needs them."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.cli.options import ExitStatus
from loadtest.bridges import bridge_settings, running_bridge
from loadtest.capacity import Capacity
from loadtest.errors import LoadTestError
from loadtest.keys import KEY_BYTES
from loadtest.observation import Observer
from loadtest.production import generator_job, preload, running_generator
from loadtest.scenario import Part, Window
from loadtest.stage import Stage
from tests.integration.daemon import Daemon
from tests.servers.process import SupervisedProcess

EXIT_TIMEOUT_S = 90.0
START_S = 5.0
"""Records flow for so long before the warm-up, or after the end."""

LEAVE_AND_COME_S = 60.0
"""A replica that leaves may drain for 27.5 s and need 20 s more to leave; then it starts again. Records flow meanwhile."""

BACKLOG_MARGIN = 1.15


@dataclass(frozen=True, slots=True)
class Flow:
    """A part that is running. `shards` are open ones, each with a hash key in its middle; `generator` is None for a backlog of
    `backlog_records`."""

    stage: Stage
    part: Part
    window: Window
    stream: str
    shards: dict[str, int]
    capacity: Capacity
    replicas: Sequence[Daemon]
    observer: Observer
    generator: SupervisedProcess | None
    backlog_records: int
    settings: dict[str, Any]

    def stop(self) -> int:
        """Every replica that is there is told to drain and to leave; how many could not settle everything. Raises LoadTestError
        for a crash."""
        there = [daemon for number, daemon in enumerate(self.replicas) if not self.observer.is_away(number)]
        for daemon in there:
            daemon.terminate()
        return sum(not settled(daemon) for daemon in there)


def settled(daemon: Daemon) -> bool:
    """After SIGTERM: whether everything that was attempted is committed. Raises LoadTestError when it ended in another way."""
    status = daemon.wait_exit(EXIT_TIMEOUT_S)
    if status not in (ExitStatus.DONE, ExitStatus.FAILED):
        raise LoadTestError(f"a bridge was told to stop and ended with status {status}\n{daemon.process.log_tail()}")
    return status == ExitStatus.DONE


@contextlib.contextmanager
def flowing(stage: Stage, part: Part, window: Window) -> Iterator[Flow]:
    """Everything started and the first record confirmed; everything gone at the end."""
    with contextlib.ExitStack() as stack:
        topic = stack.enter_context(stage.kafka.topic(part.partitions))
        group = stack.enter_context(stage.kafka.group())
        stream = stack.enter_context(stage.kinesis.stream(part.shards))
        shards = stage.kinesis.open_shards(stream)
        capacity = Capacity(list(shards), part.value_bytes_mean + KEY_BYTES, part.aggregated)
        backlog = 0
        if window.rate is None:
            seconds = window.total_s + START_S + (LEAVE_AND_COME_S if window.absence else 0.0)
            backlog = math.ceil(capacity.records_per_s * seconds * BACKLOG_MARGIN)
            stage.say(f"{backlog:,} records are preloaded")
            preload(stage, part, topic, backlog)
        settings = bridge_settings(part, stage.kafka.address, stage.kinesis, group, (topic, stream))
        replicas = [stack.enter_context(running_bridge(stage, settings, number)) for number in range(part.replicas)]
        generator = None
        if window.rate is not None:
            records = math.ceil(window.rate * (window.total_s + START_S))
            generator = stack.enter_context(running_generator(stage, generator_job(stage, part, topic, records, window.rate)))
        observer = Observer(stage, stream, replicas)
        observer.wait_first_record()
        yield Flow(stage, part, window, stream, shards, capacity, replicas, observer, generator, backlog, settings)
