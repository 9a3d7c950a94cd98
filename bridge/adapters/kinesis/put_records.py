"""The PutRecords exchange as bytes: the request's body, and what each answer means.

JSON 1.1 protocol of the Kinesis API. The body is written here because botocore's serialiser costs several times as much
as the rest of the line.
"""

from collections import Counter
from operator import itemgetter
from typing import Any

import orjson
from pybase64 import b64encode_as_string

from bridge.core.delivery.lanes import ROW_DATA, ROW_EXPLICIT_HASH_KEY, ROW_PARTITION_KEY
from bridge.core.delivery.requests import Request
from bridge.core.records import Outcome, PutAnswer

TARGET = "Kinesis_20131202.PutRecords"
CONTENT_TYPE = "application/x-amz-json-1.1"

_THROTTLED = {
    "ProvisionedThroughputExceededException",
    "LimitExceededException",
    "ThrottlingException",
    "Throttling",
    "RequestLimitExceeded",
    "KMSThrottlingException",
    "SlowDown",
}
_REJECTED = {"ValidationException", "InvalidArgumentException", "SerializationException"}
_TRANSIENT = {"ResourceInUseException", "ExpiredTokenException", "RequestExpired", "RequestTimeTooSkewed"}
"""Certainly not stored: a stream that is not ACTIVE yet, credentials that are renewed by the next request."""


_SHARD_ID = itemgetter("ShardId")
_SEQUENCE_NUMBER = itemgetter("SequenceNumber")


def stream_member(stream: str) -> dict[str, str]:
    """How a request names a stream given by its name or its ARN."""
    return {"StreamARN": stream} if stream.startswith("arn:") else {"StreamName": stream}


def encode(stream: str, request: Request) -> bytes:
    """Body of a PutRecords call."""
    rows = request.rows
    records = [{"Data": b64encode_as_string(row[ROW_DATA]), "PartitionKey": row[ROW_PARTITION_KEY]} for row in rows]
    for record, row in zip(records, rows, strict=True):
        if row[ROW_EXPLICIT_HASH_KEY] is not None:
            record["ExplicitHashKey"] = row[ROW_EXPLICIT_HASH_KEY]
    return orjson.dumps({**stream_member(stream), "Records": records})


def decode(status: int, body: bytes, records: int) -> PutAnswer:
    """What the service answered to a request of so many records.

    Whatever is not certain counts as unknown: a 5xx may stand for a stored request, and so does an answer that does not
    have one entry per record.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        return PutAnswer(Outcome.UNKNOWN, code=f"Http{status}", message="the answer is not a JSON object")
    if status == 200:
        return _entries(document.get("Records"), records)
    code = str(document.get("__type", f"Http{status}")).rsplit("#", 1)[-1]
    message = str(document.get("message") or document.get("Message") or "")
    return PutAnswer(_class_of(status, code), code=code, message=message)


def _class_of(status: int, code: str) -> Outcome:
    if code in _THROTTLED or status == 429:
        return Outcome.THROTTLED
    if status >= 500:
        return Outcome.UNKNOWN
    if code in _REJECTED:
        return Outcome.REJECTED
    if code in _TRANSIENT:
        return Outcome.TRANSIENT
    return Outcome.FATAL


def _entries(entries: Any, records: int) -> PutAnswer:  # noqa: ANN401 - what the service sent
    if not isinstance(entries, list) or len(entries) != records:
        count = len(entries) if isinstance(entries, list) else "no"
        return PutAnswer(Outcome.UNKNOWN, code="AnswerShape", message=f"{count} entries for {records} records")
    try:
        shard_ids = list(map(_SHARD_ID, entries))
        sequence_numbers = list(map(_SEQUENCE_NUMBER, entries))
    except (KeyError, TypeError):
        return _mixed(entries)
    # A stored record's entry has these two members and no more; an error's has others.
    if set(map(len, entries)) != {2} or not (_all_texts(shard_ids) and _all_texts(sequence_numbers)):
        return _mixed(entries)
    return PutAnswer(None, [Outcome.STORED] * records, shard_ids, sequence_numbers)


def _all_texts(values: list[Any]) -> bool:
    return all(values) and set(map(type, values)) == {str}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _mixed(entries: list[Any]) -> PutAnswer:
    """Entries of which some failed. One that names neither a sequence number nor an error is unknown."""
    outcomes, shard_ids, sequence_numbers, codes = [], [], [], Counter[str]()
    for entry in entries:
        fields = entry if isinstance(entry, dict) else {}
        shard_id, sequence_number = _text(fields.get("ShardId")), _text(fields.get("SequenceNumber"))
        shard_ids.append(shard_id)
        sequence_numbers.append(sequence_number)
        if fields.get("ErrorCode"):
            code = str(fields["ErrorCode"])
            codes[code] += 1
            outcomes.append(Outcome.THROTTLED if code in _THROTTLED else Outcome.TRANSIENT)
        elif shard_id and sequence_number:
            outcomes.append(Outcome.STORED)
        else:
            codes["AnswerShape"] += 1
            outcomes.append(Outcome.UNKNOWN)
    return PutAnswer(None, outcomes, shard_ids, sequence_numbers, codes=dict(codes))
