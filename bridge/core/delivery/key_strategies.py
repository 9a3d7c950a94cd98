"""Where the partition key of a record comes from: one function per strategy, in `STRATEGIES`.

A strategy works on columns. A record that has no partition key gets `NO_KEY` and is named in a `Fault`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from bridge.core.delivery.halts import Reason
from bridge.core.delivery.partition_keys import KeyTooLongError, encode_key, hash_key, hashed_key, slice_hash_key
from bridge.core.delivery.policies import Policies
from bridge.core.quotas import RECORD_BYTES_MAX_DEFAULT
from bridge.core.records import SourceBatch

CACHED_KEYS_MAX = 32_768
"""Some 300 bytes each; shared by all routes of a process."""


SCHEMA_REGISTRY_HEADER = 5
"""Bytes before the payload: a zero and the schema's id (Confluent wire format)."""


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
    aggregates_of: str | None = None
    """Name of the bridge that goes into the tags of aggregates; None: records travel by themselves."""
    policies: Policies = field(default_factory=Policies)

    @property
    def is_marked(self) -> bool:
        """Whether every record carries the coordinates of its origin."""
        return self.carry_origin is not None or self.aggregates_of is not None

    def place_of(self, number: int) -> int | None:
        """The hash key that all records of this Kafka partition get; None: they go anywhere."""
        return slice_hash_key(number, self.slices) if self.strategy == "partition" else None


@dataclass(slots=True, frozen=True)
class Fault:
    """A row of a batch that cannot be carried as it is; `reason` is a short name, `detail` a sentence."""

    row: int
    reason: Reason
    detail: str


Key = tuple[str, int, int]
"""Partition key, hash key, bytes of the partition key."""
NO_KEY: Key = ("", 0, 0)
Keys = tuple[list[Key], list[Fault]]
Strategy = Callable[[SourceBatch], Keys]


class _FaultyRow(Exception):
    """This record has no partition key."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class KeyCache:
    """Partition key and hash key of a Kafka key, remembered: an MD5 costs more than the rest of the mapping."""

    def __init__(self) -> None:
        self._known: dict[bytes, Key] = {}
        self.hashed = 0
        """How many keys were hashed, for ever."""

    def rows(self, keys: list[bytes], hash_long: bool) -> list[Key]:
        """Partition key, hash key and size of each key. Raises _FaultyRow for one that is too long, unless it is to be hashed."""
        return self.known(keys) or [self._known.get(key) or self._learn(key, hash_long) for key in keys]

    def known(self, keys: Sequence[bytes | None]) -> list[Key] | None:
        """The same, where all of them are remembered; a null never is."""
        try:
            return list(map(self._known.__getitem__, keys))  # type: ignore[arg-type]
        except KeyError:
            return None

    def _learn(self, key: bytes, hash_long: bool) -> Key:
        try:
            entry = _keyed(encode_key(key))
        except KeyTooLongError as error:
            if hash_long:
                self.hashed += 1
                return _keyed(hashed_key(key))  # not remembered: other routes may do something else with it
            raise _FaultyRow("key_too_long", str(error)) from error
        if len(self._known) >= CACHED_KEYS_MAX:
            self._known.clear()
        self._known[key] = entry
        return entry


def _keyed(partition_key: str) -> Key:
    return partition_key, hash_key(partition_key), len(partition_key.encode("utf-8"))


def by_key(spec: MappingSpec, cache: KeyCache) -> Strategy:
    """`key`: the Kafka key as text; a null key by its coordinates (`spread`) or `topic-partition` (`partition`)."""
    hash_long = spec.policies.on_long_key == "hash"

    def of_null(partition: int, offset: int) -> Key:
        together = spec.null_key == "partition"
        text = f"{spec.topic}-{partition}" if together else f"{spec.topic}/{partition}/{offset}"
        return _keyed(encode_key(text.encode()))

    def keys(batch: SourceBatch) -> Keys:
        keys = batch.keys
        if known := cache.known(keys):
            return known, []
        number, offsets = batch.partition.number, batch.offsets
        return _row_by_row(
            batch, lambda i: of_null(number, offsets[i]) if (key := keys[i]) is None else cache.rows([key], hash_long)[0]
        )

    return keys


def by_partition(spec: MappingSpec, _cache: KeyCache) -> Strategy:
    """`partition`: `topic-partition`, placed in the middle of the (p mod N)-th of N equal slices of the hash-key space."""

    def keys(batch: SourceBatch) -> Keys:
        text = str(batch.partition)
        place = slice_hash_key(batch.partition.number, spec.slices)
        return [(text, place, len(text))] * len(batch), []

    return keys


def by_field(spec: MappingSpec, cache: KeyCache) -> Strategy:
    """`field`: a template over scalar JSON fields, for example `user_{user_id}` or `{customer.id}`."""
    names = [tuple(name.split(".")) for name in re.findall(r"\{([^{}]+)\}", spec.template)]
    form = re.sub(r"\{[^{}]+\}", "{}", spec.template)
    hash_long = spec.policies.on_long_key == "hash"
    kafka_keys = by_key(spec, cache) if spec.policies.on_missing_field == "use_kafka_key" else None

    def row(value: bytes | None) -> Key:
        try:
            document = orjson.loads(value or b"")
        except orjson.JSONDecodeError as error:
            raise _FaultyRow("not_json", _not_json(value, spec.template)) from error
        return cache.rows([form.format(*(_scalar(document, name) for name in names)).encode()], hash_long)[0]

    def keys(batch: SourceBatch) -> Keys:
        rows, faults = _row_by_row(batch, lambda i: row(batch.values[i]))
        missing = [fault for fault in faults if fault.reason in ("missing_field", "not_json")]
        if kafka_keys is None or not missing:
            return rows, faults
        by_kafka_key, of_keys = kafka_keys(batch)
        for fault in missing:
            rows[fault.row] = by_kafka_key[fault.row]
        places = {fault.row for fault in missing}
        kept = [fault for fault in faults if fault not in missing] + [fault for fault in of_keys if fault.row in places]
        return rows, sorted(kept, key=lambda fault: fault.row)

    return keys


def _not_json(value: bytes | None, template: str) -> str:
    if value and value[0] == 0 and len(value) > SCHEMA_REGISTRY_HEADER:
        what = (
            f"looks like Avro or Protobuf of a Schema Registry (schema {int.from_bytes(value[1:5], 'big')}), which is not decoded"
        )
    else:
        what = "is not JSON"
    return f"the value {what}, so it has no fields for {template!r}: use partition_key key or partition, or on_missing_field"


def _scalar(document: object, name: tuple[str, ...]) -> str:
    for part in name:
        document = document.get(part) if isinstance(document, Mapping) else None
    if isinstance(document, bool):
        return "true" if document else "false"
    if isinstance(document, str | int | float):
        return str(document)
    raise _FaultyRow("missing_field", f"field {'.'.join(name)!r} is missing or not a string, number or boolean")


STRATEGIES: dict[str, Callable[[MappingSpec, KeyCache], Strategy]] = {
    "key": by_key,
    "partition": by_partition,
    "field": by_field,
}
"""A new strategy is one function and one line here."""


def _row_by_row(batch: SourceBatch, row: Callable[[int], Key]) -> Keys:
    rows, faults = [], []
    for i in range(len(batch)):
        try:
            rows.append(row(i))
        except _FaultyRow as error:
            rows.append(NO_KEY)
            faults.append(Fault(i, error.reason, error.detail))
    return rows, faults
