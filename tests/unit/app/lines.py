"""Partition lines, and telemetry whose log lines can be read, for tests of the application."""

from typing import Literal

from prometheus_client import CollectorRegistry

from bridge.app.partition_line import PartitionLine
from bridge.app.telemetry import Event, Telemetry
from bridge.core.delivery.ack_tracker import AckTracker
from bridge.core.delivery.key_strategies import KeyCache, MappingSpec
from bridge.core.delivery.lanes import MappedBatch, PartitionLanes
from bridge.core.delivery.mapping import Mapper
from bridge.core.records import Partition
from tests.unit.core.delivery.columns import source_batch

FIRST_MS = 1_700_000_000_000
"""Kafka's timestamp of offset 0; each offset is a millisecond later."""


def new_line(number: int = 0, start: int = 0) -> PartitionLine:
    partition = Partition("orders", number)
    return PartitionLine(partition, "orders", "stream", AckTracker(start), PartitionLanes(partition, 0.02), slices=4)


def admit(line: PartitionLine, offsets: list[int], size: int = 1, next_offset: int | None = None) -> MappedBatch:
    """Records read and mapped; counted as the scheduler counts them."""
    rows = source_batch([(offset, b"%d" % offset, b"x" * size) for offset in offsets], line.partition, next_offset)
    batch, rejection = Mapper(MappingSpec("key", "orders"), KeyCache()).map(rows, line.lanes)
    assert rejection is None
    line.tracker.admit(batch)
    line.read_rows += len(batch)
    line.lanes.unresolved += len(batch)
    line.lanes.unresolved_bytes += sum(batch.sizes)
    return batch


def resolve(line: PartitionLine, batch: MappedBatch, row: int) -> None:
    """One record was confirmed."""
    batch.resolved[row] = 1
    line.lanes.unresolved -= 1
    line.lanes.unresolved_bytes -= batch.sizes[row]


class LoggingTelemetry(Telemetry):
    """Keeps (level, event, fields) of every log line."""

    def __init__(self) -> None:
        super().__init__(CollectorRegistry())
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def log(self, level: Literal["debug", "info", "warning", "error"], event: Event, **fields: object) -> None:
        self.lines.append((level, event, fields))

    def counted(self, name: str, *labels: str) -> float:
        """What a counter has come to."""
        return self._counters[name].get(labels, 0.0)

    def events(self) -> list[str]:
        return [event for _, event, _ in self.lines]
