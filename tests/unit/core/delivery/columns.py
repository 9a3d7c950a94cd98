"""Batches and shard maps for tests of the core."""

from bridge.core.delivery.shard_map import Shard, ShardMap
from bridge.core.quotas import HASH_KEY_MAX
from bridge.core.records import Partition, SourceBatch


def even_shard_map(shards: int, generation: int = 0) -> ShardMap:
    """So many equal shards; `generation` makes their names new, as a reshard does."""
    width = (HASH_KEY_MAX + 1) // shards
    starts = [i * width for i in range(shards)]
    ends = [*(start - 1 for start in starts[1:]), HASH_KEY_MAX]
    return ShardMap(Shard(f"shard-{generation}-{i}", start, end) for i, (start, end) in enumerate(zip(starts, ends, strict=True)))


ORDERS_0 = Partition("orders", 0)


def source_batch(
    rows: list[tuple[int, bytes | None, bytes | None]],
    partition: Partition = ORDERS_0,
    next_offset: int | None = None,
) -> SourceBatch:
    """A batch of rows (offset, key, value)."""
    offsets = [offset for offset, _, _ in rows]
    end = next_offset if next_offset is not None else (offsets[-1] + 1 if offsets else 0)
    keys, values = [key for _, key, _ in rows], [value for _, _, value in rows]
    return SourceBatch(partition, end, offsets, [1_700_000_000_000 + offset for offset in offsets], keys, values)
