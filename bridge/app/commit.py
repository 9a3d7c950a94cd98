"""Commits to Kafka what Kinesis has confirmed."""

from collections.abc import Collection

from bridge.app.partition_line import PartitionLine
from bridge.app.telemetry import Telemetry
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
    refused = await source.commit(points)
    for partition, point in points.items():
        if partition not in refused:
            by_partition[partition].committed = point
    if refused:
        partition, reason = next(iter(refused.items()))
        telemetry.log("warning", "commit_refused", partitions=len(refused), first=str(partition), problem=reason)
    return not refused
