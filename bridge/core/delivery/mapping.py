"""From a batch of Kafka records to partition keys, hash keys and lanes: one function per strategy, in `MAPPERS`.

A mapper works on columns. The first record that Kinesis could not take ends the batch: what stands before it is mapped,
the record is named in a `Rejection`, and nothing behind it is offered.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import add

import orjson

from bridge.core.delivery.halts import Reason
from bridge.core.delivery.lanes import MappedBatch, PartitionLanes
from bridge.core.delivery.partition_keys import KeyTooLongError, encode_key, hash_key, slice_hash_key
from bridge.core.quotas import PARTITION_KEY_CHARACTERS_MAX, RECORD_BYTES_MAX_DEFAULT
from bridge.core.records import Lane, SourceBatch

CACHED_KEYS_MAX = 32_768
"""Some 300 bytes each; shared by all routes of a process."""


@dataclass(slots=True, frozen=True)
class MappingSpec:
    """How the records of one route are mapped. `slices` is N of `partition_key: partition`."""

    strategy: str
    topic: str
    null_key: str = "spread"
    template: str = ""
    carry_origin: str | None = None
    """Name of the bridge that goes into the partition key; None: origin is not carried."""
    ordering: str = "key"
    slices: int = 1
    record_bytes_max: int = RECORD_BYTES_MAX_DEFAULT
    """Data and partition key together (PutRecords API reference)."""

    def place_of(self, number: int) -> int | None:
        """The hash key that all records of this Kafka partition get; None: they go anywhere."""
        return slice_hash_key(number, self.slices) if self.strategy == "partition" else None


@dataclass(slots=True, frozen=True)
class Rejection:
    """The record that ended a batch, and why Kinesis could not take it."""

    offset: int
    reason: Reason
    detail: str
    timestamp_ms: int


_Key = tuple[str, int, int]  # partition key, hash key, bytes of the partition key
_KeyedRows = list[_Key]
_Mapper = Callable[[SourceBatch], tuple[_KeyedRows, Rejection | None]]


class _RejectedRow(Exception):
    """Ends the mapping of a batch at the row that raised it."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class KeyCache:
    """Partition key and hash key of a Kafka key, remembered: an MD5 costs more than the rest of the mapping."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Key] = {}

    def rows(self, keys: list[bytes]) -> _KeyedRows:
        """Partition key, hash key and size of each key. Raises _RejectedRow for one that is too long."""
        rows = list(map(self._known.get, keys))
        if None not in rows:
            return rows  # type: ignore[return-value]
        return [row or self._learn(key) for row, key in zip(rows, keys, strict=True)]

    def _learn(self, key: bytes) -> _Key:
        if len(self._known) >= CACHED_KEYS_MAX:
            self._known.clear()
        entry = self._known[key] = _keyed(_codec(key))
        return entry


def _codec(key: bytes) -> str:
    try:
        return encode_key(key)
    except KeyTooLongError as error:
        raise _RejectedRow("key_too_long", str(error)) from error


def _keyed(partition_key: str) -> _Key:
    return partition_key, hash_key(partition_key), len(partition_key.encode("utf-8"))


def map_by_key(spec: MappingSpec, cache: KeyCache) -> _Mapper:
    """`key`: the Kafka key as text; a null key by its coordinates (`spread`) or `topic-partition` (`partition`)."""

    def of_null(partition: int, offset: int) -> _Key:
        if spec.null_key == "partition":
            return cache.rows([f"{spec.topic}-{partition}".encode()])[0]
        return _keyed(_codec(f"{spec.topic}/{partition}/{offset}".encode()))

    def rows(batch: SourceBatch) -> tuple[_KeyedRows, Rejection | None]:
        keys = batch.keys
        with suppress(_RejectedRow):  # raised again below, where its row is known
            if None not in keys:
                return cache.rows(keys), None  # type: ignore[arg-type]
        number = batch.partition.number
        return _row_by_row(
            batch, lambda i: of_null(number, batch.offsets[i]) if (key := keys[i]) is None else cache.rows([key])[0]
        )

    return rows


def map_by_partition(spec: MappingSpec, _cache: KeyCache) -> _Mapper:
    """`partition`: `topic-partition`, placed in the middle of the (p mod N)-th of N equal slices of the hash-key space."""

    def rows(batch: SourceBatch) -> tuple[_KeyedRows, Rejection | None]:
        text = str(batch.partition)
        place = slice_hash_key(batch.partition.number, spec.slices)
        return [(text, place, len(text))] * len(batch), None

    return rows


def map_by_field(spec: MappingSpec, cache: KeyCache) -> _Mapper:
    """`field`: a template over scalar JSON fields, for example `user_{user_id}` or `{customer.id}`."""
    names = [tuple(name.split(".")) for name in re.findall(r"\{([^{}]+)\}", spec.template)]
    form = re.sub(r"\{[^{}]+\}", "{}", spec.template)

    def row(value: bytes | None) -> _Key:
        try:
            document = orjson.loads(value or b"")
        except orjson.JSONDecodeError as error:
            raise _RejectedRow(
                "not_json", f"the value is not JSON ({error}), so it has no fields for {spec.template!r}"
            ) from error
        return cache.rows([form.format(*(_scalar(document, name) for name in names)).encode()])[0]

    def rows(batch: SourceBatch) -> tuple[_KeyedRows, Rejection | None]:
        return _row_by_row(batch, lambda i: row(batch.values[i]))

    return rows


def _scalar(document: object, name: tuple[str, ...]) -> str:
    for part in name:
        document = document.get(part) if isinstance(document, Mapping) else None
    if isinstance(document, bool):
        return "true" if document else "false"
    if isinstance(document, str | int | float):
        return str(document)
    raise _RejectedRow("missing_field", f"field {'.'.join(name)!r} is missing or not a string, number or boolean")


MAPPERS: dict[str, Callable[[MappingSpec, KeyCache], _Mapper]] = {
    "key": map_by_key,
    "partition": map_by_partition,
    "field": map_by_field,
}
"""A new strategy is one function and one line here."""


def _row_by_row(batch: SourceBatch, row: Callable[[int], _Key]) -> tuple[_KeyedRows, Rejection | None]:
    rows: _KeyedRows = []
    for i, offset in enumerate(batch.offsets):
        try:
            rows.append(row(i))
        except _RejectedRow as error:
            return rows, Rejection(offset, error.reason, error.detail, batch.timestamps_ms[i])
    return rows, None


class Mapper:
    """Maps the batches of one topic."""

    def __init__(self, spec: MappingSpec, cache: KeyCache) -> None:
        self.spec = spec
        self._rows = MAPPERS[spec.strategy](spec, cache)

    def map(self, batch: SourceBatch, lanes_of: PartitionLanes) -> tuple[MappedBatch, Rejection | None]:
        """The batch with its mapped columns, up to the first record that Kinesis could not take."""
        tombstone = _first_null_value(batch)
        rows, rejection = self._rows(_cut(batch, tombstone.offset) if tombstone else batch)
        rejection = rejection or tombstone
        count = len(rows)
        partition_keys, hash_keys, key_sizes = zip(*rows, strict=True) if rows else ((), (), ())
        lanes = self._lanes(batch, partition_keys)
        carried = self.spec.carry_origin is not None
        explicit = [str(place) for place in hash_keys] if carried or self.spec.strategy == "partition" else None
        if carried:
            origin = f"{self.spec.carry_origin}:{batch.partition.topic}/{batch.partition.number}/"
            partition_keys = tuple([f"{origin}{offset}" for offset in batch.offsets[:count]])
            key_sizes = tuple(map(len, partition_keys))
            if count and key_sizes[-1] > PARTITION_KEY_CHARACTERS_MAX:  # offsets ascend, so the last key is the longest
                return self._origin_too_long(batch, lanes_of)
        values = batch.values[:count]
        sizes = list(map(add, map(len, values), key_sizes))  # type: ignore[arg-type]
        mapped = MappedBatch(
            lanes_of,
            batch.next_offset if rejection is None else rejection.offset,
            batch.offsets[:count],
            batch.timestamps_ms[:count],
            values,
            partition_keys,
            hash_keys,
            explicit,
            lanes,
            sizes,
        )
        return self._within_size(mapped, rejection)

    def _origin_too_long(self, batch: SourceBatch, lanes_of: PartitionLanes) -> tuple[MappedBatch, Rejection | None]:
        """The configuration check refuses this wherever the topic's name is known; a pattern may still bring it."""
        detail = f"<name>:topic/partition/offset of {batch.partition} has more than {PARTITION_KEY_CHARACTERS_MAX} characters"
        rejection = Rejection(batch.offsets[0], "key_too_long", detail, batch.timestamps_ms[0])
        return MappedBatch(lanes_of, batch.offsets[0], [], [], [], (), (), (), (), []), rejection

    def _lanes(self, batch: SourceBatch, partition_keys: tuple[str, ...]) -> Sequence[Lane]:
        """A lane is a partition key, the partition (0), or the record itself (its offset)."""
        if self.spec.ordering == "partition":
            return [0] * len(partition_keys)
        if self.spec.ordering == "none":
            return batch.offsets[: len(partition_keys)]
        if self.spec.strategy == "key" and self.spec.null_key == "spread" and None in batch.keys:
            rows = zip(batch.keys, batch.offsets, partition_keys, strict=False)
            return [offset if key is None else partition_key for key, offset, partition_key in rows]
        return partition_keys

    def _within_size(self, mapped: MappedBatch, rejection: Rejection | None) -> tuple[MappedBatch, Rejection | None]:
        limit = self.spec.record_bytes_max
        if not mapped.sizes or max(mapped.sizes) <= limit:
            return mapped, rejection
        i = next(i for i, size in enumerate(mapped.sizes) if size > limit)
        detail = f"{mapped.sizes[i]} bytes with its partition key, at most {limit} fit into the stream and into a request"
        return _head(mapped, i), Rejection(mapped.offsets[i], "oversize", detail, mapped.timestamps_ms[i])


def _head(mapped: MappedBatch, rows: int) -> MappedBatch:
    """The first rows of a mapped batch."""
    explicit = mapped.explicit_hash_keys
    return MappedBatch(
        mapped.lanes_of,
        mapped.offsets[rows],
        mapped.offsets[:rows],
        mapped.timestamps_ms[:rows],
        mapped.values[:rows],
        mapped.partition_keys[:rows],
        mapped.hash_keys[:rows],
        None if explicit is None else explicit[:rows],
        mapped.lanes[:rows],
        mapped.sizes[:rows],
    )


def _first_null_value(batch: SourceBatch) -> Rejection | None:
    if None not in batch.values:
        return None
    i = batch.values.index(None)
    return Rejection(batch.offsets[i], "tombstone", "the value is null, which Kinesis cannot hold", batch.timestamps_ms[i])


def _cut(batch: SourceBatch, offset: int) -> SourceBatch:
    """The rows below `offset`."""
    rows = batch.offsets.index(offset)
    return SourceBatch(
        batch.partition, offset, batch.offsets[:rows], batch.timestamps_ms[:rows], batch.keys[:rows], batch.values[:rows]
    )
