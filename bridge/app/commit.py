"""Commits to Kafka what Kinesis has confirmed."""

from collections.abc import Collection, Iterable, Mapping

from bridge.app.partition_line import PartitionLine
from bridge.app.telemetry import Telemetry
from bridge.core.records import Partition
from bridge.ports import Source


async def commit_what_moved(source: Source, lines: Collection[PartitionLine], telemetry: Telemetry) -> bool:
    """Commits each partition whose committable offset or state changed since its last confirmed commit.

    Returns whether Kafka has taken all of it; what it refused is tried again with the next commit. Raises
    UnavailableError without an answer in time.
    """
    by_partition = {line.partition: line for line in lines}
    points = {partition: point for partition, line in by_partition.items() if (point := line.commit_point()) != line.committed}
    if not points:
        return True
    for partition, point in points.items():
        by_partition[partition].committed = point  # `unknown` may contradict it before the answer is here
    refused: Mapping[Partition, str] | None = None
    try:
        refused = await source.commit(points)
    finally:
        unknown(by_partition[partition] for partition in (points if refused is None else refused))
    if refused:
        partition, reason = next(iter(refused.items()))
        telemetry.log("warning", "commit_refused", partitions=len(refused), first=str(partition), problem=reason)
    return not refused


def unknown(lines: Iterable[PartitionLine]) -> None:
    """What these partitions have committed is not known: the next commit tells it again."""
    for line in lines:
        line.committed = None
