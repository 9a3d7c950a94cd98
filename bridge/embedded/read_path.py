"""GetShardIterator and GetRecords: where an iterator begins, what a read gives, where it goes on."""

import re
from typing import NamedTuple

from bridge.core.quotas import ITERATOR_LIFETIME_S
from bridge.embedded.kinesis_errors import ExpiredIteratorException, InvalidArgumentException, constraint_broken
from bridge.embedded.position_tokens import ShardPosition
from bridge.embedded.shard import RecordColumns, Shard, milliseconds
from bridge.embedded.stream import Stream

ITERATOR_TYPES = ("TRIM_HORIZON", "LATEST", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "AT_TIMESTAMP")

_SEQUENCE_NUMBER = re.compile(r"0|([1-9]\d{0,128})", re.ASCII)


class GetAnswer(NamedTuple):
    """`next_iterator` is None at the end of a closed shard, and only then are there `children`."""

    records: RecordColumns
    next_iterator: str | None
    millis_behind_latest: int
    children: list[Shard]


def iterator_place(shard: Shard, iterator_type: str, start: str | float | None, now: float) -> int:
    """Place in the shard where an iterator of the type begins; raises InvalidArgumentException, ValidationException."""
    if iterator_type not in ITERATOR_TYPES:
        raise constraint_broken(iterator_type, "shardIteratorType", f"satisfy enum value set: [{', '.join(ITERATOR_TYPES)}]")
    if iterator_type == "AT_TIMESTAMP":
        return shard.place_at_time(_timestamp_ms(start, now))
    if iterator_type in ("TRIM_HORIZON", "LATEST"):
        if start is not None:
            raise InvalidArgumentException(f"StartingSequenceNumber must not be given with {iterator_type}.")
        return shard.first_place if iterator_type == "TRIM_HORIZON" else shard.next_place
    if not isinstance(start, str):
        raise InvalidArgumentException(f"StartingSequenceNumber must be given with {iterator_type}.")
    if not _SEQUENCE_NUMBER.fullmatch(start):
        must = f"satisfy regular expression pattern: {_SEQUENCE_NUMBER.pattern}"
        raise constraint_broken(start, "startingSequenceNumber", must)
    if not shard.is_within(int(start)):
        raise InvalidArgumentException(
            f"StartingSequenceNumber {start} used in GetShardIterator on shard {shard.shard_id} is invalid because it did not "
            "come from this shard."
        )
    return shard.place_at_or_after(int(start) + (iterator_type == "AFTER_SEQUENCE_NUMBER"))


def iterator_token(stream: Stream, shard: Shard, place: int, now: float) -> str:
    """An iterator of this incarnation of the stream, valid for 300 s."""
    return ShardPosition(stream.name, milliseconds(stream.created_at), milliseconds(now), shard.index, place).token()


def check_position(position: ShardPosition, stream: Stream, now: float) -> None:
    """Raises InvalidArgumentException for an earlier stream of the name, ExpiredIteratorException after 300 s."""
    if position.created_ms != milliseconds(stream.created_at):
        raise InvalidArgumentException("Invalid ShardIterator: its stream was deleted.")
    now_ms = milliseconds(now)
    if now_ms - position.issued_ms > ITERATOR_LIFETIME_S * 1000:
        raise ExpiredIteratorException(
            f"Iterator expired. The iterator was created at time {position.issued_ms} while right now it is {now_ms} "
            f"which is further in the future than the tolerated delay of {ITERATOR_LIFETIME_S * 1000} milliseconds."
        )


def read(stream: Stream, shard: Shard, place: int, limit: int, now: float) -> GetAnswer:
    """Reads from a place on and books the read."""
    shard.trim(milliseconds(stream.trim_horizon(now)))
    place = max(place, shard.first_place)
    records, size, place = shard.read(place, limit)
    shard.reads.take(1, size, now)
    at_tip = place >= shard.next_place
    ended = at_tip and shard.closed_at is not None
    return GetAnswer(
        records,
        None if ended else iterator_token(stream, shard, place, now),
        # At least 1, so that no reader believes it has caught up while the clock stands still.
        0 if at_tip else max(1, milliseconds(now) - shard.arrival_ms(place)),
        shard.children if ended else [],
    )


def _timestamp_ms(start: str | float | None, now: float) -> int:
    if start is None or isinstance(start, str):
        raise InvalidArgumentException("Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP.")
    wanted = milliseconds(start)
    if wanted > milliseconds(now):
        raise InvalidArgumentException(
            "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. "
            f"timestampInMillis: {wanted}, currentTimestampInMillis: {milliseconds(now)}"
        )
    return wanted
