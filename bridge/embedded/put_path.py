"""PutRecords in three steps: `place` checks and routes, `decide` applies the limits, `store` writes.

Only `store` changes records and budgets, so what is stored can be decided elsewhere too (injected faults).
A request is columns; its records are named by their index in it.
"""

from collections import defaultdict
from typing import NamedTuple

from bridge.core.quotas import HASH_KEY_MAX, MIB, REQUEST_BYTES_MAX, REQUEST_RECORDS_MAX
from bridge.embedded.kinesis_errors import (
    InvalidArgumentException,
    ProvisionedThroughputExceededException,
    constraint_broken,
    over_limit,
)
from bridge.embedded.shard import Shard, milliseconds
from bridge.embedded.stream import Stream, partition_key_bytes


class PutCall(NamedTuple):
    """PutRecords, or PutRecord with one record: columns of one length. `stream` is a name or an ARN; `client` says whose call
    it is, for the figures."""

    stream: str
    partition_keys: list[str]
    explicit_hash_keys: list[int | None] | None
    datas: list[bytes]
    dry_run: bool = False
    client: str = ""
    operation: str = "PutRecords"


class RecordError(NamedTuple):
    """Why one record of a request was refused: AWS's ErrorCode and ErrorMessage."""

    code: str
    message: str


class PutAnswer(NamedTuple):
    """One entry per record of the request. A record in `errors` has empty text in both columns."""

    shard_ids: list[str]
    sequence_numbers: list[str]
    errors: dict[int, RecordError]


class PlacedRequest(NamedTuple):
    """A valid request: sizes are bytes of data and partition key (size their sum, largest the largest), groups the indices of
    each open shard's records."""

    partition_keys: list[str]
    datas: list[bytes]
    sizes: list[int]
    size: int
    largest: int
    groups: dict[int, list[int]]


class ShardRun(NamedTuple):
    """What a request brought to one shard: indices in its order, and those to store in the order to store them.

    What is not stored was throttled, but for `failed` records that failed for another reason.
    """

    shard: Shard
    offered: list[int]
    offered_bytes: int
    stored: list[int]
    stored_bytes: int
    failed: int = 0
    failed_bytes: int = 0


class Decision(NamedTuple):
    """Which records to store, and the refused ones."""

    runs: list[ShardRun]
    refused: dict[int, RecordError]


def place(stream: Stream, call: PutCall) -> PlacedRequest:
    """Raises ValidationException or InvalidArgumentException for an invalid request."""
    _, partition_keys, explicit_hash_keys, datas, *_ = call
    count = len(datas)
    if not 0 < count <= REQUEST_RECORDS_MAX:
        must = "greater than or equal to 1" if not count else f"less than or equal to {REQUEST_RECORDS_MAX}"
        raise over_limit(constraint_broken(f"[{count} records]", "records", f"have length {must}"))
    if explicit_hash_keys is None or stream.distribution == "AUTO":
        slots, key_sizes = stream.route(partition_keys)
    else:
        slots, key_sizes = _route_explicitly(stream, partition_keys, explicit_hash_keys)
    sizes = [size + len(data) for size, data in zip(key_sizes, datas, strict=True)]
    size, largest = sum(sizes), max(sizes)
    if largest > stream.max_record_bytes:
        raise over_limit(InvalidArgumentException(f"Record size exceeds {stream.max_record_kib} KiB limit"))
    if size > REQUEST_BYTES_MAX:
        raise over_limit(InvalidArgumentException(f"Records size exceeds {REQUEST_BYTES_MAX // MIB} MB limit"))
    groups: dict[int, list[int]] = defaultdict(list)
    for index, slot in enumerate(slots):
        groups[slot].append(index)
    return PlacedRequest(partition_keys, datas, sizes, size, largest, groups)


def decide(stream: Stream, request: PlacedRequest, now: float, account: str) -> Decision:
    """Fills each shard's room in the order of the request; a record that no longer fits is refused, a smaller one after it
    may still fit."""
    runs: list[ShardRun] = []
    refused: dict[int, RecordError] = {}
    for slot, indices in request.groups.items():
        run = _filled(stream.open_shards[slot], indices, request.sizes, now)
        runs.append(run)
        if run.stored is not indices:
            error = rate_exceeded(run.shard, stream, account)
            refused.update(dict.fromkeys(set(indices).difference(run.stored), error))
    return Decision(runs, refused)


def admit_all(stream: Stream, request: PlacedRequest) -> Decision:
    """The decision of a service without limits."""
    runs = []
    for slot, indices in request.groups.items():
        size = bytes_of(indices, request.sizes)
        runs.append(ShardRun(stream.open_shards[slot], indices, size, indices, size))
    return Decision(runs, {})


def admit_none(stream: Stream, request: PlacedRequest, throttled: bool) -> Decision:
    """The decision where the request as a whole is answered with an error; the errors of single records do not matter then."""
    runs = []
    for slot, indices in request.groups.items():
        size = bytes_of(indices, request.sizes)
        failed, failed_bytes = (0, 0) if throttled else (len(indices), size)
        runs.append(ShardRun(stream.open_shards[slot], indices, size, [], 0, failed, failed_bytes))
    return Decision(runs, {})


def store(stream: Stream, request: PlacedRequest, decision: Decision, now: float) -> PutAnswer:
    """Appends what was decided, charges each shard for it, and answers in the order of the request."""
    keys, datas = request.partition_keys, request.datas
    shard_ids = [""] * len(datas)
    numbers = [""] * len(datas)
    horizon_ms = milliseconds(stream.trim_horizon(now))
    for run in decision.runs:
        if not run.stored:
            continue
        shard, indices = run.shard, run.stored
        shard.trim(horizon_ms)
        shard.writes.take(len(indices), run.stored_bytes, now)
        given = shard.append([keys[index] for index in indices], [datas[index] for index in indices], now)
        shard_id = shard.shard_id
        for index, number in zip(indices, given, strict=True):
            shard_ids[index] = shard_id
            numbers[index] = number
    return PutAnswer(shard_ids, numbers, decision.refused)


def bytes_of(indices: list[int], sizes: list[int]) -> int:
    """Sum of the sizes of some records."""
    return sum([sizes[index] for index in indices])


def rate_exceeded(shard: Shard, stream: Stream, account: str) -> RecordError:
    """The error of a throttled record, worded as in the API reference of PutRecords."""
    return RecordError(
        ProvisionedThroughputExceededException.code,
        f"Rate exceeded for shard {shard.shard_id} in stream {stream.name} under account {account}.",
    )


def _route_explicitly(
    stream: Stream, partition_keys: list[str], explicit_hash_keys: list[int | None]
) -> tuple[list[int], list[int]]:
    slots, sizes = [], []
    for key, explicit in zip(partition_keys, explicit_hash_keys, strict=True):
        if explicit is None:
            (slot,), (size,) = stream.route([key])
        elif 0 <= explicit <= HASH_KEY_MAX:
            slot, size = stream.slot_of(explicit), partition_key_bytes(key)
        else:
            raise InvalidArgumentException(f"Invalid ExplicitHashKey. It must be in the range: [0, 2^128-1], not {explicit}")
        slots.append(slot)
        sizes.append(size)
    return slots, sizes


def _filled(shard: Shard, indices: list[int], sizes: list[int], now: float) -> ShardRun:
    records, room = shard.writes.room(now)
    offered_bytes = bytes_of(indices, sizes)
    if len(indices) <= records and offered_bytes <= room:
        return ShardRun(shard, indices, offered_bytes, indices, offered_bytes)
    admitted: list[int] = []
    admitted_bytes = 0
    unused = shard.writes.is_unused(now)
    for index in indices:
        size = sizes[index]
        # A record above a second's budget is allowed on streams with large records; it waits for an unused second.
        if records > 0 and (size <= room or (unused and not admitted)):
            admitted.append(index)
            admitted_bytes += size
            records -= 1
            room -= size
    return ShardRun(shard, indices, offered_bytes, admitted, admitted_bytes)
