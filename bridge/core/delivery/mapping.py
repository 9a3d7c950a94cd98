"""From a batch of Kafka records to the rows of Kinesis records: partition keys, places, lanes, sizes.

A mapper works on columns. A record that cannot be carried as it is meets the policy for its reason: it is diverted (parked
or skipped) while the others go on, or it ends the batch there, named in a `Rejection`, and nothing behind it is offered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from operator import add

from bridge.core.delivery.aggregate_tags import Origin, headers_bytes, tag_text_bytes_max
from bridge.core.delivery.aggregation import (
    FRAME_BYTES,
    MAGIC,
    encode_aggregate,
    sub_record_bytes_max,
    table_entry_bytes,
    tag_bytes_max,
)
from bridge.core.delivery.deaggregation import kcl_opens
from bridge.core.delivery.halts import Reason
from bridge.core.delivery.key_strategies import STRATEGIES, Fault, KeyCache, MappingSpec
from bridge.core.delivery.lanes import MappedBatch, PartitionLanes
from bridge.core.delivery.policies import Diverted, action_of
from bridge.core.quotas import HASH_KEY_MAX, PARTITION_KEY_CHARACTERS_MAX, RECORD_BYTES_MAX_CEILING
from bridge.core.records import Headers, Lane, Partition, SourceBatch


@dataclass(slots=True, frozen=True)
class Rejection:
    """The record that ended a batch, and why it was not carried."""

    offset: int
    reason: Reason
    detail: str
    timestamp_ms: int


class Mapper:
    """Maps the batches of one topic."""

    def __init__(self, spec: MappingSpec, cache: KeyCache) -> None:
        self.spec = spec
        self._cache = cache
        self._keys = STRATEGIES[spec.strategy](spec, cache)

    def map(self, batch: SourceBatch, lanes_of: PartitionLanes) -> tuple[MappedBatch, Rejection | None]:
        """The batch with its mapped columns, up to the first record at which it has to stop."""
        faults = self._tombstones(batch)
        hashed_before = self._cache.hashed
        rows, of_keys = self._keys(batch)
        faults += of_keys
        partition_keys, hash_keys, key_sizes = zip(*rows, strict=True) if rows else ((), (), ())
        lanes = self._lanes(batch, partition_keys)
        explicit = None
        if self.spec.carry_origin is not None or self.spec.strategy == "partition":
            explicit = [str(place) for place in hash_keys]
        if self.spec.carry_origin is not None:
            partition_keys = self._origins(batch)
            key_sizes = tuple(map(len, partition_keys))
            faults += _too_long(partition_keys)
        values, nulls = _without_nulls(batch.values)
        if self.spec.aggregates_of is None and (opened := [i for i, v in enumerate(values) if v[:4] == MAGIC and kcl_opens(v)]):
            values = _wrapped(values, opened, partition_keys, explicit)
        sizes = list(map(add, map(len, values), key_sizes))
        if self.spec.aggregates_of is not None and batch.headers:
            sizes = list(map(add, sizes, map(_header_bytes, batch.headers)))
        faults += self._oversize(sizes, batch.partition)
        mapped = MappedBatch(
            lanes_of,
            batch.next_offset,
            batch.offsets,
            batch.timestamps_ms,
            values,
            partition_keys,
            hash_keys,
            explicit,
            lanes,
            sizes,
            nulls=nulls,
            headers=batch.headers,
            hashed_keys=self._cache.hashed - hashed_before,
        )
        if (decided := lanes_of.decided) is not None and decided.offset in batch.offsets:
            faults += [Fault(batch.offsets.index(decided.offset), decided.reason, decided.detail)]
        return self._judged(mapped, faults) if faults else (mapped, None)

    def _tombstones(self, batch: SourceBatch) -> list[Fault]:
        if not _has_null(batch.values) or self.spec.policies.on_tombstone == "send_empty":
            return []
        detail = "the value is null, which Kinesis cannot hold"
        return [Fault(i, "tombstone", detail) for i, value in enumerate(batch.values) if value is None]

    def _origins(self, batch: SourceBatch) -> tuple[str, ...]:
        origin = f"{self.spec.carry_origin}:{batch.partition.topic}/{batch.partition.number}/"
        return tuple([f"{origin}{offset}" for offset in batch.offsets])

    def _lanes(self, batch: SourceBatch, partition_keys: tuple[str, ...]) -> Sequence[Lane]:
        """A lane is a partition key, the partition (0), or the record itself (its offset)."""
        if self.spec.ordering == "partition":
            return [0] * len(partition_keys)
        if self.spec.ordering == "none":
            return batch.offsets
        if self.spec.strategy == "key" and self.spec.null_key == "spread" and _has_null(batch.keys):
            rows = zip(batch.keys, batch.offsets, partition_keys, strict=True)
            return [offset if key is None else partition_key for key, offset, partition_key in rows]
        return partition_keys

    def _oversize(self, sizes: list[int], partition: Partition) -> list[Fault]:
        limit = self.spec.record_bytes_max
        if self.spec.aggregates_of is not None:
            limit -= _around_one(self.spec.aggregates_of, partition)
        if not sizes or max(sizes) <= limit:
            return []
        detail = f"bytes with its partition key, at most {limit} fit into the stream and into a request"
        return [Fault(i, "oversize", f"{size} {detail}") for i, size in enumerate(sizes) if size > limit]

    def _judged(self, mapped: MappedBatch, faults: list[Fault]) -> tuple[MappedBatch, Rejection | None]:
        """What the policies say; of several faults of a record the first that was found counts."""
        of_row: dict[int, Fault] = {}
        decided = mapped.lanes_of.decided
        for fault in faults:
            of_row.setdefault(fault.row, fault)
        diverted: list[Diverted] = []
        for row in sorted(of_row):
            fault = of_row[row]
            if decided is not None and decided.offset == mapped.offsets[row]:
                diverted.append(Diverted(row, decided.action, decided.reason, decided.detail))
                continue
            action = action_of(self.spec.policies, fault.reason)
            if action == "stop":
                rejection = Rejection(mapped.offsets[row], fault.reason, fault.detail, mapped.timestamps_ms[row])
                return mapped.head(row, diverted), rejection
            diverted.append(Diverted(row, action, fault.reason, fault.detail))
        return mapped.head(len(mapped), diverted), None


def _too_long(partition_keys: Sequence[str]) -> list[Fault]:
    """Offsets ascend, so the last origin is the longest."""
    if not partition_keys or len(partition_keys[-1]) <= PARTITION_KEY_CHARACTERS_MAX:
        return []
    detail = f"<name>:topic/partition/offset has more than {PARTITION_KEY_CHARACTERS_MAX} characters"
    return [Fault(i, "key_too_long", detail) for i, key in enumerate(partition_keys) if len(key) > PARTITION_KEY_CHARACTERS_MAX]


def _has_null(column: Sequence[bytes | None]) -> bool:
    return not all(column) and None in column  # `all` costs a fifth of the comparisons


def _without_nulls(values: Sequence[bytes | None]) -> tuple[list[bytes], frozenset[int]]:
    if not _has_null(values):
        return values, frozenset()  # type: ignore[return-value]
    return [value or b"" for value in values], frozenset(i for i, value in enumerate(values) if value is None)


def _wrapped(
    values: Sequence[bytes], rows: Sequence[int], partition_keys: Sequence[str], explicit: Sequence[str] | None
) -> list[bytes]:
    """These values look like aggregates, and KCL would open them: each goes inside an aggregate of one."""
    wrapped = list(values)
    for row in rows:
        place = None if explicit is None else [explicit[row]]
        wrapped[row] = encode_aggregate([partition_keys[row]], place, [values[row]])
    return wrapped


def _header_bytes(headers: Headers | None) -> int:
    """What a record's headers add to an aggregate: they travel in base64."""
    return 4 * ((headers_bytes(headers) + 2) // 3) if headers else 0


@cache
def _around_one(bridge: str, partition: Partition) -> int:
    """What an aggregate adds at most to a lone record without headers, and the partition key outside."""
    tag = tag_bytes_max(tag_text_bytes_max(Origin(bridge, partition), 1, 1))
    keys = table_entry_bytes(4 * PARTITION_KEY_CHARACTERS_MAX) - 4 * PARTITION_KEY_CHARACTERS_MAX
    hash_keys = table_entry_bytes(len(str(HASH_KEY_MAX)))
    record = sub_record_bytes_max(RECORD_BYTES_MAX_CEILING, explicit=True) - RECORD_BYTES_MAX_CEILING
    return FRAME_BYTES + keys + hash_keys + record + tag + len(str(partition).encode())
