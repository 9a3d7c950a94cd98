"""Ledger entries as bytes: the value of a message in the ledger topic.

`BL`, the version as one byte, the fields below, and the xxh3_64 of all that stands before it (8 bytes, the lowest first). How
numbers (z: of either sign), texts and columns are written is described in `number_columns`.

    texts       number of them, each a text: topics, streams, reasons, unusual shard ids
    partitions  number of them, each: index of the topic's text, partition number
    shards      number of them, each: index of the stream's text, and either n + 1 of `shardId-<n, twelve digits>`, or 0 and the
                index of the shard id's text
    groups to the end, each: a kind byte, and

    0, 1  Stored    index of the shard, index of the partition, rows number (1 or more), [counts], offsets, sequence numbers (see
                    below), digests of 8 bytes each, the lowest first
    2     Resolved  index of the partition, 0 parked, 1 skipped or 2 not written as a byte, index of the reason's text, rows
                    number, offsets
    3, 4  Doubts    index of the stream's text, 1 where they are ordered, else 0, as a byte, index of the partition, rows number,
                    [counts], offsets, column not before, column until, hashes of keys and digests of 8 bytes each
    5     Stored, that is a claim: as 0

`rows` counts Kinesis records. Kinds 1 and 4 have a column of counts (origin 0), how many offsets belong to each row; in the
others each row has one. Origin of a column of offsets is the last offset of the same partition in the groups before, or 0; of
times the last time of that column, or 0.

A sequence number is three columns: bits 80 and up, bits 36 to 79, bits 0 to 35. In the numbers of the service these hold when
the shard was created and the record's place in it, the second of its arrival, and the index of the shard (observed; see
`bridge/embedded/sequence_numbers.py`): so the first rises by little, the others hardly change. Any number can be written so.
Origins are the last number's parts, of the first column the last of the same shard, or of any, or 0.
"""

from collections.abc import Sequence

from xxhash import xxh3_64_intdigest

from bridge.core.proof.ledger_entries import Group
from bridge.core.proof.ledger_layout import HEAD, MAGIC, VERSION
from bridge.core.proof.ledger_reader import LedgerReader
from bridge.core.proof.ledger_writer import LedgerWriter

_CHECK_BYTES = 8


class LedgerVersionError(ValueError):
    """A later version of the bridge wrote these entries."""


def encode(groups: Sequence[Group]) -> bytes:
    """The message for these groups, in this order.

    Raises:
        ValueError: a group without rows, columns that do not fit together, a number out of range, more than OFFSETS_MAX offsets.
    """
    writer = LedgerWriter()
    for group in groups:
        writer.add(group)
    body = writer.body()
    return body + xxh3_64_intdigest(body).to_bytes(_CHECK_BYTES, "little")


def decode(data: bytes) -> list[Group]:
    """The inverse of `encode`.

    Raises:
        LedgerVersionError: a later version wrote this.
        ValueError: the data was not made by `encode`, or not all of it is there.
    """
    if data[: len(MAGIC)] != MAGIC or len(data) < len(HEAD) + _CHECK_BYTES:
        raise ValueError("this is no ledger entry")
    version = data[len(MAGIC)]
    if version > VERSION:
        raise LedgerVersionError(f"the ledger entry has version {version}, this program knows versions up to {VERSION}")
    end = len(data) - _CHECK_BYTES
    if version != VERSION or xxh3_64_intdigest(data[:end]).to_bytes(_CHECK_BYTES, "little") != data[end:]:
        raise ValueError("the ledger entry is damaged")
    return decode_body(data, end)


def decode_body(data: bytes, end: int) -> list[Group]:
    """`decode` of what ends there, its checksum not looked at. Raises ValueError."""
    try:
        return LedgerReader(data, len(HEAD), end).groups()
    except ValueError as error:
        raise ValueError(f"the ledger entry is not readable: {error}") from error
