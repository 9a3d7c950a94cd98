"""How far each partition is behind its end, true also for one that is idle, paused or halted."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from bridge.app.partition_line import PartitionLine
from bridge.app.telemetry import Sample
from bridge.core.errors import UnavailableError
from bridge.core.records import Partition
from bridge.ports import Clock, OffsetDirectory, SourceTrouble

OBSERVE_S = 1.0


async def observe_lag(
    offsets: OffsetDirectory,
    lines: Mapping[Partition, PartitionLine],
    clock: Clock,
    on_answer: Callable[[], None],
    on_trouble: Callable[[SourceTrouble], None],
) -> None:
    """Asks Kafka for the ends of the partitions, one call for all; works until cancelled.

    A replica without partitions asks too: the answer tells it that Kafka works.
    """
    while True:
        await asyncio.sleep(OBSERVE_S)
        try:
            ends = await offsets.end_offsets(list(lines))
        except UnavailableError as error:
            on_trouble(SourceTrouble("end_offsets", str(error)))
            continue
        wall_ms = clock.wall_ms()
        for partition, end in ends.items():
            if line := lines.get(partition):
                line.saw_end(end, wall_ms)
        if ends or not lines:
            on_answer()


def line_samples(lines: Collection[PartitionLine], wall_ms: float) -> Iterator[Sample]:
    """All gauges that partitions have."""
    yield from lag_samples(lines, wall_ms)
    for line in lines:
        if line.halt is not None:
            yield "bridge_partition_halted", (line.route, str(line.partition), line.halt.reason), 1
    yield "bridge_buffer_bytes", (), sum(line.buffered_bytes for line in lines)


def lag_samples(lines: Iterable[PartitionLine], wall_ms: float) -> Iterator[Sample]:
    """The lag gauges."""
    for line in lines:
        where = (line.route, str(line.partition))
        records, seconds = line.lag(wall_ms)
        yield "bridge_kafka_lag_records", where, records
        yield "bridge_kafka_lag_seconds", where, seconds
