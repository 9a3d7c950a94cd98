"""From the client library's message objects to columns, one batch per partition."""

from collections.abc import Sequence
from itertools import accumulate, groupby
from operator import ge
from typing import Any

from confluent_kafka import KafkaError, Message

from bridge.core.records import Partition, SourceBatch
from bridge.ports import PartitionFailed, SourceEvent, SourceTrouble

_Place = tuple[Any, Any]
"""Topic and partition."""


def events_of(messages: Sequence[Message]) -> list[SourceEvent]:
    """Batches in the order in which their partitions first appear; what Kafka said of partitions and itself after them.

    An end-of-partition event moves `next_offset` past the transaction markers at the end.
    """
    errors = [message.error() for message in messages]
    rows: dict[_Place, list[Message]] = {}
    ends: dict[_Place, int] = {}
    reports: list[SourceEvent] = []
    if any(errors):
        _take_out_errors(messages, errors, ends, reports)
        messages = [message for message, error in zip(messages, errors, strict=True) if error is None]
    first = 0
    places: list[_Place] = [(message.topic(), message.partition()) for message in messages]
    for place, run in groupby(places):  # the client hands over a partition's messages in runs
        end = first + len(list(run))
        rows.setdefault(place, []).extend(messages[first:end])
        first = end
    batches = [_batch(place, rows.get(place, []), ends.get(place, 0)) for place in dict.fromkeys((*rows, *ends))]
    return [*batches, *reports]


def is_record_or_end(message: Message) -> bool:
    """Not what Kafka has to say of anything else."""
    error = message.error()
    return error is None or error.code() == KafkaError._PARTITION_EOF


def _take_out_errors(
    messages: Sequence[Message], errors: list[KafkaError | None], ends: dict[_Place, int], reports: list[SourceEvent]
) -> None:
    for message, error in zip(messages, errors, strict=True):
        if error is None:
            continue
        if error.code() == KafkaError._PARTITION_EOF:
            ends[message.topic(), message.partition()] = message.offset() or 0
        else:
            reports.append(_report(error, message))


def _batch(place: _Place, messages: list[Message], end: int) -> SourceBatch:
    offsets: list[int] = [message.offset() for message in messages]  # type: ignore[misc]
    if any(map(ge, offsets, offsets[1:])):
        messages = _for_the_first_time(messages, offsets)
        return _batch(place, messages, end)
    headers: list[Any] = [message.headers() for message in messages]
    return SourceBatch(
        Partition(*place),
        max(end, offsets[-1] + 1 if offsets else 0),
        offsets,
        [message.timestamp()[1] for message in messages],
        [message.key() for message in messages],
        [message.value() for message in messages],
        headers if any(headers) else [],
    )


def _for_the_first_time(messages: list[Message], offsets: list[int]) -> list[Message]:
    """Without those that were handed over again in one go, after a fetch that went back: offsets ascend in a batch."""
    highest = accumulate(offsets, max, initial=-1)
    return [message for message, offset, before in zip(messages, offsets, highest, strict=False) if offset > before]


def _report(error: KafkaError, message: Message) -> SourceEvent:
    topic, number = message.topic(), message.partition()
    if error.code() == KafkaError._AUTO_OFFSET_RESET and topic is not None and number is not None and number >= 0:
        detail = (
            f"Kafka does not have the committed offset any more ({error.str()}): retention removed it, or the log was "
            "truncated. Records may be missing; nothing is skipped without your word"
        )
        return PartitionFailed(Partition(topic, number), "offset_out_of_range", detail)
    subject = f"{topic}: " if topic else ""
    return SourceTrouble(error.name(), subject + error.str())
