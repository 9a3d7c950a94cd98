"""How far each partition is behind its end, true also for one that is idle, paused or halted."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import count

from bridge.app.partition_line import PartitionLine
from bridge.app.telemetry import Sample
from bridge.core.errors import UnavailableError
from bridge.core.records import Partition
from bridge.ports import Clock, OffsetDirectory, SourceTrouble

OBSERVE_S = 1.0
TURNS = 30
"""A partition that was read to its end is asked about each 30 s only: what comes there is read, and that tells sooner. So
thousands of idle partitions cost next to nothing, and one whose reading has stopped without a word is found out."""


async def observe_lag(
    offsets: OffsetDirectory,
    lines: Mapping[Partition, PartitionLine],
    clock: Clock,
    on_answer: Callable[[], None],
    on_trouble: Callable[[SourceTrouble], None],
) -> None:
    """Asks Kafka for the ends of the partitions, one call for all that are to be asked about; works until cancelled.

    Where there are none it asks too: the answer tells that Kafka works.
    """
    known_ends: dict[PartitionLine, int] = {}
    for turn in count():
        await asyncio.sleep(OBSERVE_S)
        asked = to_ask_about(lines, known_ends, turn)
        try:
            ends = await offsets.end_offsets(asked)
        except UnavailableError as error:
            on_trouble(SourceTrouble("end_offsets", str(error)))
            continue
        wall_ms = clock.wall_ms()
        for partition, end in ends.items():
            if line := lines.get(partition):
                line.saw_end(end, wall_ms)
                known_ends[line] = end
        if len(known_ends) > len(lines):
            known_ends = {line: known_ends[line] for line in lines.values() if line in known_ends}
        if ends or not asked:
            on_answer()


def line_samples(lines: Collection[PartitionLine], wall_ms: float) -> Iterator[Sample]:
    """All gauges that partitions have."""
    yield from lag_samples(lines, wall_ms)
    for line in lines:
        if line.halt is not None:
            yield "bridge_partition_halted", (line.route, str(line.partition), line.halt.reason), 1
    yield "bridge_buffer_bytes", (), sum(line.buffered_bytes for line in lines)


def to_ask_about(lines: Mapping[Partition, PartitionLine], known_ends: Mapping[PartitionLine, int], turn: int) -> list[Partition]:
    """All but those that are being read and were read to the end that Kafka named last; of these a part in turn."""
    return [
        partition
        for number, (partition, line) in enumerate(lines.items())
        if known_ends.get(line) != line.read_to or line.paused or not line.takes_records or (number + turn) % TURNS == 0
    ]


def lag_samples(lines: Iterable[PartitionLine], wall_ms: float) -> Iterator[Sample]:
    """The lag gauges."""
    for line in lines:
        where = (line.route, str(line.partition))
        records, seconds = line.lag(wall_ms)
        yield "bridge_kafka_lag_records", where, records
        yield "bridge_kafka_lag_seconds", where, seconds
