"""Faults that change the shards of a stream at a moment, in the middle of what its writers and readers do."""

from collections.abc import Callable
from typing import Any

from bridge.embedded.fault_kinds import Fault, Merge, Split, UpdateShardCount
from bridge.embedded.fault_plan import Injection
from bridge.embedded.kinesis_errors import InvalidArgumentException, KinesisError
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.shard import Shard


def carry_out_reshards(model: KinesisModel, operation: str, stream: str | None, now: float) -> None:
    """What is due before a call to this stream (None: to none). What cannot be done now is tried again before the next one."""
    for rule in model.faults.reshard_rules:
        fault = rule.fault
        if operation == rule.operation and fault.stream in (None, stream):
            rule.calls += 1
        elif fault.after_calls:
            continue
        target = fault.stream or stream
        if target is None or not rule.is_on(now) or not rule.hits():
            continue
        try:
            _RESHARDS[type(fault)](model, target, fault, now)
        except KinesisError as error:
            rule.problem = error.message
            continue
        model.faults.note(rule, model.traffic.faults, Injection(now, rule.index, fault.kind, operation, target))


def _split(model: KinesisModel, stream: str, fault: Split, now: float) -> None:
    shards = _open_shards(model, stream, now)
    shard = (
        _named(shards, fault.shard) if fault.shard else max(shards, key=lambda shard: shard.end_hash_key - shard.start_hash_key)
    )
    middle = (shard.start_hash_key + shard.end_hash_key + 1) // 2
    at = middle if fault.new_starting_hash_key is None else int(fault.new_starting_hash_key)
    model.split_shard(stream, shard.shard_id, at, now)


def _merge(model: KinesisModel, stream: str, fault: Merge, now: float) -> None:
    shards = _open_shards(model, stream, now)
    shard = _named(shards, fault.shard) if fault.shard else shards[0]
    following = [other.shard_id for other in shards if other.start_hash_key == shard.end_hash_key + 1]
    adjacent = fault.adjacent_shard or next(iter(following), None)
    if adjacent is None:
        raise InvalidArgumentException(f"{shard.shard_id} of {stream} has no next shard to merge with; name adjacent_shard")
    model.merge_shards(stream, shard.shard_id, adjacent, now)


def _scale(model: KinesisModel, stream: str, fault: UpdateShardCount, now: float) -> None:
    model.update_shard_count(stream, fault.target, now)


def _open_shards(model: KinesisModel, stream: str, now: float) -> list[Shard]:
    return model.streams.idle(stream, now).open_shards


def _named(shards: list[Shard], shard_id: str) -> Shard:
    for shard in shards:
        if shard.shard_id == shard_id:
            return shard
    raise InvalidArgumentException(f"{shard_id} is no open shard; open are {', '.join(shard.shard_id for shard in shards)}")


_RESHARDS: dict[type[Fault], Callable[[KinesisModel, str, Any, float], None]] = {
    Split: _split,
    Merge: _merge,
    UpdateShardCount: _scale,
}
