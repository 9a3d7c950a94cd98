"""What writer and reader of the ledger's format agree on; the format itself is described in `ledger_codec`."""

from dataclasses import dataclass, field
from typing import NamedTuple

MAGIC = b"BL"
VERSION = 1
HEAD = MAGIC + bytes((VERSION,))
OFFSETS_MAX = 131_072
"""Of one batch: bounds what bytes that nobody meant can cost. A raw row takes 11 to 25 bytes."""

STORED, STORED_AGGREGATES, RESOLVED, DOUBTS, DOUBTFUL_AGGREGATES, CLAIMS = range(6)
"""Kinds of groups."""

PLACE_SHIFT, SECOND_SHIFT = 80, 36
SECOND_MASK = (1 << PLACE_SHIFT - SECOND_SHIFT) - 1
LOW_MASK = (1 << SECOND_SHIFT) - 1
"""Where the three parts of a sequence number stand in it."""

OFFSET_MAX = 2**63 - 1
SHARD_PREFIX = "shardId-"
SHARD_DIGITS = 12


@dataclass(slots=True)
class Origins:
    """What columns are written relative to: the same for writer and reader, by the numbers of shards and partitions."""

    offsets: dict[int, int] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)
    place: int = 0
    second: int = 0
    low: int = 0
    not_before_ms: int = 0
    until_ms: int = 0
    total: int = 0

    def count(self, offsets: int) -> None:
        """So many offsets more. Raises ValueError for too many."""
        self.total += offsets
        if self.total > OFFSETS_MAX:
            raise ValueError(f"more than {OFFSETS_MAX} offsets")

    def took_sequence_number(self, shard: int, place: int, second: int, low: int) -> None:
        """Of this shard, in its three parts."""
        self.places[shard] = self.place = place
        self.second, self.low = second, low


class LedgerMessage(NamedTuple):
    """A message of the ledger topic. The slot is its partition."""

    slot: int
    offset: int
    value: bytes
