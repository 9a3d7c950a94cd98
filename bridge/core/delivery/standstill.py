"""Partitions whose first unresolved record does not move: what goes on behind it all the same, within bounds.

A stuck lane or a stuck shard holds the committable offset. What other lanes and shards resolve above it then piles up, and so
do the rows that wait for the stuck one. Neither may use up what the partition may have open, or it would stand still as a whole.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from bridge.core.delivery.lanes import ROW_BATCH, PartitionLanes, Row

LANE_PART = 8
SHARD_PART = 4
"""Of what a partition may have open, the rows that wait in one lane and for one shard count for at most an eighth and a quarter:
the rest stays free for the others. Where there are few shards, for one shard: all of one, half of two or three."""


def counted_rows(
    heads: Iterable[tuple[str, Row]], allowances: Mapping[PartitionLanes, int], shards: int
) -> dict[PartitionLanes, int]:
    """How many unresolved rows of these partitions count against their allowances.

    `heads` are the first rows of all lanes of the stream with the ids of their shards.
    """
    part = 1 if shards == 1 else 2 if shards < SHARD_PART else SHARD_PART
    waiting: Counter[tuple[PartitionLanes, str]] = Counter()
    for shard_id, row in heads:
        lanes_of = row[ROW_BATCH].lanes_of
        if lanes_of in allowances:
            waiting[lanes_of, shard_id] += min(row[ROW_BATCH].rows_of_lane(row), allowances[lanes_of] // LANE_PART)
    counted = dict.fromkeys(allowances, 0)
    for (lanes_of, _), rows in waiting.items():
        counted[lanes_of] += min(rows, allowances[lanes_of] // part)
    return counted


def passed_rows(open_rows: int, unresolved: int, counted: int) -> int:
    """How many open rows of a partition that stands still do not count.

    Those that are resolved do not; of the unresolved ones that wait in a full lane or for a full shard at most as many: where
    nothing goes past, there is no use in reading on.
    """
    resolved = open_rows - unresolved
    return resolved + max(0, min(unresolved - counted, resolved))
