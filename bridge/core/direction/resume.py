"""The operator's word for a halted partition, as the control topic holds it.

It names the record at which the partition stands, so it is about this halt and no later one.
"""

from dataclasses import dataclass
from enum import StrEnum

import orjson

from bridge.core.delivery.halts import HALTS, Reason, reason_named
from bridge.core.direction.control_record import ControlRecordError
from bridge.core.records import Partition

VERSION = 1
AT_ONE_RECORD: frozenset[Reason] = frozenset(
    {"oversize", "tombstone", "key_too_long", "not_json", "missing_field", "rejected", "dead_letters"}
)
"""Reasons that end with the record; any other is about the offsets themselves, or about the stream."""


class Way(StrEnum):
    """What becomes of the record: it is looked at again, left out, or written to the dead-letter topic."""

    RESEND = "resend"
    SKIP = "skip"
    PARK = "park"


@dataclass(slots=True, frozen=True)
class Resume:
    """`reason` is that of the halt, `why` the operator's; `at_ms` is milliseconds since 1970. `topic_id` is Kafka's, None
    where it tells none: the same offset of a topic that was created anew is another record."""

    partition: Partition
    offset: int
    reason: Reason
    way: Way
    who: str
    why: str
    at_ms: int
    topic_id: str | None = None


def remedy_where_no_word_helps(reason: Reason) -> str | None:
    """What is to be done about a halt that no operator's word about one record ends; None where it can."""
    return None if reason in AT_ONE_RECORD else HALTS[reason].remedy


def encode_resume(resume: Resume) -> bytes:
    """The value of its message."""
    fields = {
        "v": VERSION,
        "topic": resume.partition.topic,
        "partition": resume.partition.number,
        "offset": resume.offset,
        "reason": resume.reason,
        "way": resume.way,
        "who": resume.who,
        "why": resume.why,
        "at": resume.at_ms,
        "t": resume.topic_id,
    }
    try:
        return orjson.dumps(fields)
    except orjson.JSONEncodeError as error:  # a text that is no Unicode
        raise ControlRecordError(f"the word for {resume.partition} cannot be written: {error}") from error


def decode_resume(value: bytes) -> Resume:
    """The inverse of `encode_resume`. Raises ControlRecordError."""
    try:
        fields = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise ControlRecordError(f"a resume is not JSON ({error}): another program wrote to the control topic") from error
    match fields:
        case {
            "v": 1,
            "topic": str() as topic,
            "partition": int() as number,
            "offset": int() as offset,
            "reason": str() as name,
            "way": "resend" | "skip" | "park" as way,
            "who": str() as who,
            "why": str() as why,
            "at": int() as at_ms,
            "t": str() | None as topic_id,
        } if (reason := reason_named(name)) is not None:
            return Resume(Partition(topic, number), offset, reason, Way(way), who, why, at_ms, topic_id)
        case _:
            raise ControlRecordError(
                "a resume in the control topic cannot be read by this version: a newer bridge or another program wrote it"
            )
