"""What Amazon's consumer library (KCL) makes of the data of a Kinesis record. The format is described in `aggregation`.

A record that is no aggregate in KCL's eyes is delivered as it is: one without the magic or the right MD5, or with a message
that protobuf refuses (see `aggregate_message`). An aggregate without sub-records is nothing to it.
Source: AggregatorUtil of amazon-kinesis-client 3.5.1, and what it was seen to deliver (tests/vectors/kpl/kcl-reads.json).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import md5
from typing import NamedTuple

from bridge.core.delivery.aggregate_message import AggregatedRecord, Tags, parse_message
from bridge.core.delivery.aggregation import DIGEST_BYTES, FRAME_BYTES, MAGIC, TAG_KEY
from bridge.core.delivery.partition_keys import hash_key
from bridge.core.quotas import HASH_KEY_MAX

_JAVA_INT = 0xFFFF_FFFF
"""KCL casts an index to 32 bits before it looks it up."""

_INTEGER = re.compile(r"([+-]?)0*(\d*)")
_HASH_KEY_DIGITS_MAX = len(str(HASH_KEY_MAX))


class PoisonError(ValueError):
    """KCL opens the aggregate and fails at sub-record `row`. Never write one.

    With javax.xml.bind on its class path KCL delivers the sub-records before `row` and loses the others. Without (Java 11
    and later) it skips everything that it fetched together with this record.
    """

    def __init__(self, row: int, detail: str) -> None:
        super().__init__(f"sub-record {row}: {detail}")
        self.row = row


@dataclass(slots=True, frozen=True)
class Aggregate:
    """What an aggregate holds, as columns; there may be no rows."""

    partition_keys: list[str]
    explicit_hash_keys: list[str | None]
    datas: list[bytes]
    tags: list[Tags]

    def __len__(self) -> int:
        return len(self.datas)

    @property
    def first_tag(self) -> str | None:
        """The value of our tag; None where another program wrote the aggregate."""
        return dict(self.tags[0]).get(TAG_KEY) if self.tags else None


class Delivered(NamedTuple):
    """A user record as KCL hands it to the application. KCL shows no explicit hash key of a plain record."""

    sub_sequence_number: int
    aggregated: bool
    partition_key: str
    explicit_hash_key: str | None
    data: bytes


def decode_aggregate(data: bytes) -> Aggregate | None:
    """The sub-records, whatever shard they hash into. None: KCL delivers the record as it is.

    Raises:
        PoisonError: a sub-record has no readable key.
    """
    message = _open(data)
    if message is None:
        return None
    keys = _Keys(message)
    named = [keys.of_row(row) for row in range(len(message.records))]
    return Aggregate(
        [key for key, _ in named],
        [explicit for _, explicit in named],
        [record.data for record in message.records],
        [record.tags for record in message.records],
    )


def kcl_opens(data: bytes) -> bool:
    """Whether KCL takes these bytes for an aggregate, be it an empty or a poisonous one.

    A value of which this is true has to travel inside an aggregate: KCL does not open one that it finds there.
    """
    return data[:4] == MAGIC and _open(data) is not None


def delivered_by_kcl(data: bytes, partition_key: str, starting_hash_key: int, ending_hash_key: int) -> list[Delivered]:
    """The user records that KCL hands out for one Kinesis record of a shard with this range of hash keys.

    One sub-record outside the range drops the whole aggregate.

    Raises:
        PoisonError: a sub-record without readable key comes before any that is outside the range.
    """
    message = _open(data)
    if message is None:
        return [Delivered(0, False, partition_key, None, data)]
    keys = _Keys(message)
    delivered = []
    for row, record in enumerate(message.records):
        key, explicit = keys.of_row(row)
        if not starting_hash_key <= keys.place(row) <= ending_hash_key:
            return []
        delivered.append(Delivered(row, True, key, explicit, record.data))
    return delivered


def _open(data: bytes) -> AggregatedRecord | None:
    if data[:4] != MAGIC or len(data) <= FRAME_BYTES:
        return None
    message = data[len(MAGIC) : -DIGEST_BYTES]
    if md5(message, usedforsecurity=False).digest() != data[-DIGEST_BYTES:]:
        return None
    try:
        return parse_message(message)
    except ValueError:
        return None


class _Keys:
    """The keys of the sub-records of one message."""

    def __init__(self, message: AggregatedRecord) -> None:
        self._records = message.records
        self._keys = _Table("partition key", message.partition_keys, hash_key)
        self._explicit = _Table("explicit hash key", message.explicit_hash_keys, explicit_place)

    def of_row(self, row: int) -> tuple[str, str | None]:
        """Partition key and explicit hash key. Raises PoisonError."""
        record = self._records[row]
        try:
            key = self._keys.text(record.key_index)
            if record.explicit_index is None:
                return key, None
            self._explicit.place(record.explicit_index)
            return key, self._explicit.text(record.explicit_index)
        except ValueError as error:
            raise PoisonError(row, str(error)) from error

    def place(self, row: int) -> int:
        """The place that they decide in the hash-key space."""
        record = self._records[row]
        if record.explicit_index is None:
            return self._keys.place(record.key_index)
        return self._explicit.place(record.explicit_index)


class _Table:
    """Keys of an aggregate. The place of each is found out once: a long key may be used by many records."""

    def __init__(self, name: str, texts: list[str], place_of: Callable[[str], int]) -> None:
        self._name = name
        self._texts = texts
        self._place_of = place_of
        self._places: dict[int, int] = {}

    def text(self, index: int) -> str:
        """Raises ValueError for an index beyond the table."""
        try:
            return self._texts[index & _JAVA_INT]
        except IndexError:
            raise ValueError(f"{self._name} {index} of a table of {len(self._texts)}") from None

    def place(self, index: int) -> int:
        """Place in the hash-key space. Raises ValueError for a text without one."""
        place = self._places.get(index)
        if place is None:
            place = self._places[index] = self._place_of(self.text(index))
        return place


def explicit_place(text: str) -> int:
    """The number of an explicit hash key as Java's BigInteger reads it: a sign and leading zeros may stand before it.

    One below 0 is -1 and one above the space is the first above it: neither is in any shard.

    Raises:
        ValueError: it is not a number.
    """
    match = _INTEGER.fullmatch(text)
    if match is None or not text[-1:].isdecimal():
        raise ValueError(f"the explicit hash key {text[:50]!r} is not a number")
    sign, digits = match.groups()
    place = int(digits or "0") if len(digits) <= _HASH_KEY_DIGITS_MAX else HASH_KEY_MAX + 1
    return place if sign != "-" or not place else -1
