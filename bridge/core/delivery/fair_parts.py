"""Which part of each shard's limits is one replica's, where several replicas write to one stream."""

from collections import defaultdict
from collections.abc import Iterable

from bridge.core.delivery.shard_map import ShardMap

Place = int | None
"""Where the records of a Kafka partition go: all to the shard of one hash key, or (None) to any."""
Weighted = tuple[Place, float]
"""A partition, and what it counts; see `demand`."""


def fair_parts(shard_map: ShardMap, own: Iterable[Weighted], others: Iterable[Weighted]) -> list[float]:
    """Our part of each open shard, in the order of the map: the partitions that feed it through us, of all that feed it.

    `others` are the partitions of all other replicas. Each partition is somebody's, so that the parts of all replicas add up
    to 1 at most where all count them alike. A shard that nothing of ours feeds still gets the part of one partition: a part of
    0 would hold back for ever what a reshard has left for it.
    """
    parts = []
    for mine, theirs in zip(per_shard(shard_map, own), per_shard(shard_map, others), strict=True):
        parts.append(mine / (mine + theirs) if mine else 1 / max(1.0, theirs))
    return parts


def per_shard(shard_map: ShardMap, weighted: Iterable[Weighted]) -> list[float]:
    """The sum of those that feed each shard."""
    sums: defaultdict[Place, float] = defaultdict(float)
    for place, weight in weighted:
        sums[None if place is None else shard_map.locate(place)] += weight
    return [sums[None] + sums[index] for index in range(len(shard_map))]
