"""Whole reads and reshards over the model, for tests that judge what came out."""

from typing import Any, NamedTuple

from bridge.embedded.fault_document import read_document
from bridge.embedded.fault_plan import FaultPlan
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.shard import Shard
from bridge.embedded.shard_listing import ShardFilter, filtered_shards

NOW = 1_700_000_000.0


class ReadRecord(NamedTuple):
    sequence_number: str
    partition_key: str
    data: bytes


def new_model(stream: str = "orders", shards: int = 1, *, enforce_limits: bool = True) -> KinesisModel:
    model = KinesisModel(enforce_limits=enforce_limits)
    model.streams.create(stream, shards, NOW)
    return model


def open_shards(model: KinesisModel, stream: str, now: float) -> list[Shard]:
    return model.streams.find(stream, now).open_shards


def read_shard(model: KinesisModel, stream: str, shard_id: str, now: float, limit: int | None = None) -> list[ReadRecord]:
    """Everything from TRIM_HORIZON to the tip or the end of the shard; for models without limits."""
    iterator: str | None = model.get_shard_iterator(stream, shard_id, "TRIM_HORIZON", now)
    records: list[ReadRecord] = []
    while iterator is not None:
        answer = model.get_records(iterator, now, limit)
        columns = answer.records
        records += map(ReadRecord, columns.sequence_numbers, columns.partition_keys, columns.datas)
        iterator = answer.next_iterator if answer.millis_behind_latest or answer.next_iterator is None else None
    return records


def listed(model: KinesisModel, wanted: ShardFilter, now: float) -> list[int]:
    """Indices of the shards that ListShards gives for a filter."""
    return [shard.index for shard in filtered_shards(model.streams.find("orders", now), wanted, now)]


def put(model: KinesisModel, keys: list[str], now: float, data: bytes = b"x", stream: str = "orders") -> list[str]:
    """Sequence numbers, empty where a record was throttled."""
    return model.put_records(stream, keys, None, [data] * len(keys), now).sequence_numbers


def inject(model: KinesisModel, *faults: dict[str, Any], seed: int = 0, now: float = NOW) -> FaultPlan:
    """The faults of a document, in place of those before."""
    model.faults = FaultPlan(read_document({"seed": seed, "faults": list(faults)}), now)
    return model.faults
