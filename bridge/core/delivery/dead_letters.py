"""A dead letter as a message in the dead-letter topic.

Key, value and headers stand there as they were; our own headers follow them as one block that begins with
`bridge-dlq-version`. The last such header begins the block: what stands before it is the record's own, whatever its names, so a
dead letter of a dead letter keeps both blocks. Kafka's clients return the last of equal names, which is ours.
"""

from dataclasses import dataclass
from typing import NamedTuple

from bridge.core.records import DeadLetter, Headers, Partition

PREFIX = "bridge-dlq-"
VERSION = "1"
_VERSION = PREFIX + "version"
_BRIDGE = PREFIX + "bridge"
_TOPIC = PREFIX + "topic"
_PARTITION = PREFIX + "partition"
_OFFSET = PREFIX + "offset"
_TIMESTAMP = PREFIX + "timestamp"
_REASON = PREFIX + "reason"
_DETAIL = PREFIX + "detail"
_PARKED_AT = PREFIX + "parked-at"
_REPLAYED_AT = PREFIX + "replayed-at"


class Origin(NamedTuple):
    """The record that a dead letter is. The timestamp (milliseconds) tells two apart where a topic was created anew."""

    partition: Partition
    offset: int
    timestamp_ms: int

    @property
    def id(self) -> str:
        """As people name it: `orders-3@17`."""
        return f"{self.partition}@{self.offset}"


class TopicMessage(NamedTuple):
    """What is written, and where the record came from: its partition decides the message's."""

    origin: Origin
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


@dataclass(slots=True, frozen=True)
class Parked:
    """A dead letter as it was found in the topic."""

    letter: DeadLetter
    bridge: str
    parked_at_ms: int

    @property
    def origin(self) -> Origin:
        return origin_of(self.letter)


@dataclass(slots=True, frozen=True)
class Replayed:
    """The mark that a dead letter has been carried after all."""

    origin: Origin
    bridge: str
    replayed_at_ms: int


def origin_of(letter: DeadLetter) -> Origin:
    """Where the record came from."""
    return Origin(letter.partition, letter.offset, letter.timestamp_ms)


def parse_id(text: str) -> tuple[Partition, int]:
    """Partition and offset of `orders-3@17`. Raises ValueError."""
    place, _, offset = text.rpartition("@")
    topic, _, number = place.rpartition("-")
    if not (topic and number.isdecimal() and offset.isdecimal()):
        raise ValueError(f"{text}: write topic-partition@offset, such as orders-3@17")
    return Partition(topic, int(number)), int(offset)


def parked_message(letter: DeadLetter, bridge: str, now_ms: float) -> TopicMessage:
    """The message that parks a record."""
    origin = origin_of(letter)
    own = {_REASON: letter.reason, _DETAIL: letter.detail, _PARKED_AT: str(int(now_ms))}
    return TopicMessage(origin, letter.key, letter.value, [*letter.headers, *_block(origin, bridge, own)])


def replayed_message(origin: Origin, bridge: str, now_ms: float) -> TopicMessage:
    """The mark for a dead letter that was carried: its origin, without key and value."""
    return TopicMessage(origin, None, None, _block(origin, bridge, {_REPLAYED_AT: str(int(now_ms))}))


def read_message(key: bytes | None, value: bytes | None, headers: Headers | None) -> Parked | Replayed | None:
    """What a message of the topic is; None for one that no bridge wrote, or a later version did."""
    headers = headers or []
    begin = max((i for i, (name, _) in enumerate(headers) if name == _VERSION), default=None)
    if begin is None:
        return None
    try:
        return _read(key, value, headers[:begin], headers[begin:])
    except (KeyError, ValueError):
        return None


def _read(key: bytes | None, value: bytes | None, original: Headers, block: Headers) -> Parked | Replayed | None:
    own: dict[str, str] = {}
    for name, content in block:
        if name.startswith(PREFIX):  # what a copying tool added behind us is nobody's
            own.setdefault(name, (content or b"").decode("utf-8"))
    if own[_VERSION] != VERSION:
        return None
    partition = Partition(own[_TOPIC], int(own[_PARTITION]))
    origin = Origin(partition, int(own[_OFFSET]), int(own[_TIMESTAMP]))
    if _REPLAYED_AT in own:
        return Replayed(origin, own[_BRIDGE], int(own[_REPLAYED_AT]))
    letter = DeadLetter(*origin, key, value, list(original), own[_REASON], own[_DETAIL])
    return Parked(letter, own[_BRIDGE], int(own[_PARKED_AT]))


def _block(origin: Origin, bridge: str, more: dict[str, str]) -> list[tuple[str, bytes | None]]:
    partition, offset, timestamp_ms = origin
    own = {
        _VERSION: VERSION,
        _BRIDGE: bridge,
        _TOPIC: partition.topic,
        _PARTITION: str(partition.number),
        _OFFSET: str(offset),
        _TIMESTAMP: str(timestamp_ms),
        **more,
    }
    return [(name, text.encode("utf-8", "backslashreplace")) for name, text in own.items()]


def size_of(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """About the bytes of a record in Kafka."""
    return len(key or b"") + len(value or b"") + sum(len(name) + len(content or b"") for name, content in headers)


class Place(NamedTuple):
    """Of a message in the dead-letter topic."""

    partition: int
    offset: int


@dataclass(slots=True, frozen=True)
class StoredEntry:
    """A message of the dead-letter topic; `entry` is None where no bridge wrote it. `size` is about its bytes."""

    place: Place
    entry: Parked | Replayed | None
    size: int
