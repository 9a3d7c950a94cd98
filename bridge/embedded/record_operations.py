"""The operations that write and read records, from a request's JSON members to the bytes of its answer.

Data is base64 in JSON. PutRecords is the hot path: columns, and its answer is put together as text.
"""

from collections.abc import Callable
from typing import Any

import orjson
import pybase64

from bridge.embedded.kinesis_errors import KinesisError, SerializationException, constraint_broken
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.put_path import PutAnswer, PutCall
from bridge.embedded.request_fields import Call, RequestFields, hash_key_number, lower_camel
from bridge.embedded.shard_listing import child_shard_shape

RecordOperation = Callable[[KinesisModel, Call, float], bytes]


def put_records(model: KinesisModel, call: Call, now: float) -> bytes:
    return put_records_answer(model.put(put_records_call(call), now))


def put_records_call(call: Call) -> PutCall:
    """The columns of PutRecords. Raises ValidationException, SerializationException, InvalidArgumentException."""
    members = call.members
    request = RequestFields(members)
    stream, dry_run = request.stream(), request.flag("DryRun")
    records = members.get("Records")
    if records is None:
        raise constraint_broken(None, "records", "not be null")
    if not isinstance(records, list):
        raise SerializationException("Records is not a list.")
    decode = pybase64.b64decode
    try:
        partition_keys = [record["PartitionKey"] for record in records]
        datas = [decode(record["Data"], validate=True) for record in records]
        hash_keys = _explicit_hash_keys(records)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _wrong_record(records, error) from None
    if set(map(type, partition_keys)) - {str}:
        raise SerializationException("PartitionKey is not a string.")
    return PutCall(stream, partition_keys, hash_keys, datas, dry_run, call.client, call.operation)


def put_records_answer(answer: PutAnswer) -> bytes:
    """JSON of a PutRecords answer."""
    entries = [
        f'{{"SequenceNumber":"{number}","ShardId":"{shard_id}"}}'
        for shard_id, number in zip(answer.shard_ids, answer.sequence_numbers, strict=True)
    ]
    for index, error in answer.errors.items():
        entries[index] = orjson.dumps({"ErrorCode": error.code, "ErrorMessage": error.message}).decode()
    return f'{{"FailedRecordCount":{len(answer.errors)},"Records":[{",".join(entries)}]}}'.encode()


def put_record(model: KinesisModel, call: Call, now: float) -> bytes:
    shard_id, number = model.put_record(put_record_call(call), now)
    return orjson.dumps({"ShardId": shard_id, "SequenceNumber": number})


def put_record_call(call: Call) -> PutCall:
    """The columns of PutRecord, of one record. Raises what `put_records_call` does."""
    request = RequestFields(call.members)
    explicit = request.optional_text("ExplicitHashKey")
    if request.has("SequenceNumberForOrdering"):
        ordering = request.text("SequenceNumberForOrdering")
        # Numbers of a shard rise with each record anyway, so nothing more follows from this member.
        if not (ordering.isascii() and ordering.isdecimal()):
            raise constraint_broken(
                ordering, "sequenceNumberForOrdering", "satisfy regular expression pattern: 0|([1-9]\\d{0,128})"
            )
    stream, partition_key = request.stream(), request.text("PartitionKey")
    hash_keys: list[int | None] | None = None if explicit is None else [hash_key_number(explicit, "ExplicitHashKey")]
    data, dry_run = _decoded(request.text("Data")), request.flag("DryRun")
    return PutCall(stream, [partition_key], hash_keys, [data], dry_run, call.client, call.operation)


def get_shard_iterator(model: KinesisModel, call: Call, now: float) -> bytes:
    request = RequestFields(call.members)
    kind = request.text("ShardIteratorType")
    start = request.timestamp("Timestamp") if kind == "AT_TIMESTAMP" else request.optional_text("StartingSequenceNumber")
    iterator = model.get_shard_iterator(request.stream(), request.text("ShardId"), kind, now, start, request.flag("DryRun"))
    return orjson.dumps({"ShardIterator": iterator})


def get_records(model: KinesisModel, call: Call, now: float) -> bytes:
    request = RequestFields(call.members)
    answer = model.get_records(request.text("ShardIterator"), now, request.optional_integer("Limit"), request.flag("DryRun"))
    encode = pybase64.b64encode_as_string
    body: dict[str, Any] = {
        "Records": [
            {"SequenceNumber": number, "ApproximateArrivalTimestamp": ms / 1000, "Data": encode(data), "PartitionKey": key}
            for number, key, data, ms in zip(*answer.records, strict=True)
        ],
        "NextShardIterator": answer.next_iterator,
        "MillisBehindLatest": answer.millis_behind_latest,
    }
    if answer.children:
        body["ChildShards"] = [child_shard_shape(child) for child in answer.children]
    return orjson.dumps(body)


def _wrong_record(records: list[Any], error: Exception) -> KinesisError:
    """The error for the first record that is not one; found only now, as requests are rarely wrong."""
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict):
            return SerializationException(f"Record {number} is not a structure.")
        for member in ("PartitionKey", "Data"):
            if record.get(member) is None:
                return constraint_broken(None, f"records.{number}.member.{lower_camel(member)}", "not be null")
    return SerializationException(f"Records: {error}")


def _explicit_hash_keys(records: list[dict[str, Any]]) -> list[int | None] | None:
    texts = [record.get("ExplicitHashKey") for record in records]
    if texts.count(None) == len(texts):
        return None
    return [None if text is None else hash_key_number(text, "ExplicitHashKey") for text in texts]


def _decoded(text: str) -> bytes:
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError as error:
        raise SerializationException(f"Data: {error}") from None


RECORD_OPERATIONS: dict[str, RecordOperation] = {
    "PutRecords": put_records,
    "PutRecord": put_record,
    "GetShardIterator": get_shard_iterator,
    "GetRecords": get_records,
}

PUT_CALLS: dict[str, Callable[[Call], PutCall]] = {"PutRecords": put_records_call, "PutRecord": put_record_call}
"""Of the operations that write records: how their columns are read."""
