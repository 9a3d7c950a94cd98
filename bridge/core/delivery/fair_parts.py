"""Which part of each shard's limits is one replica's, where several replicas write to one stream."""

from collections import Counter
from collections.abc import Iterable

from bridge.core.delivery.shard_map import ShardMap

Place = int | None
"""Where the records of a Kafka partition go: all to the shard of one hash key, or (None) to any."""


def fair_parts(shard_map: ShardMap, own: Iterable[Place], every: Iterable[Place]) -> list[float]:
    """Our part of each open shard, in the order of the map: the partitions that feed it through us, of all that feed it.

    `every` are the partitions of all replicas, ours among them. Each partition is somebody's, so that the parts of all
    replicas add up to 1 at most. A shard that nothing of ours feeds still gets the part of one partition: a part of 0
    would hold back for ever what a reshard has left for it.
    """
    ours, all_of_it = _feeding(shard_map, own), _feeding(shard_map, every)
    return [max(1, mine) / max(1, mine, total) for mine, total in zip(ours, all_of_it, strict=True)]


def _feeding(shard_map: ShardMap, places: Iterable[Place]) -> list[int]:
    """How many partitions feed each shard."""
    counted = Counter(None if place is None else shard_map.locate(place) for place in places)
    return [counted[None] + counted[index] for index in range(len(shard_map))]
