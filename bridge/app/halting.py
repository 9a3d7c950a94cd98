"""How a halt is told."""

from bridge.app.partition_line import PartitionLine
from bridge.app.telemetry import Telemetry
from bridge.core.delivery.halts import Halt


def tell_halt(telemetry: Telemetry, line: PartitionLine, halt: Halt) -> None:
    """One log line."""
    telemetry.log(
        "error",
        "partition_halted",
        topic=line.partition.topic,
        partition=line.partition.number,
        offset=halt.offset,
        reason=halt.reason,
        detail=halt.detail,
        remedy=halt.remedy,
    )
