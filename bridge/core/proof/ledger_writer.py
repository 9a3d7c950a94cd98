"""Writes groups of ledger entries; the format is described in `ledger_codec`."""

from collections.abc import Sequence
from itertools import repeat
from operator import rshift

from bridge.core.delivery.aggregation import SUB_RECORDS_MAX
from bridge.core.delivery.varints import varint
from bridge.core.proof.ledger_entries import Doubts, Group, Resolved, Stored, StreamShard
from bridge.core.proof.ledger_layout import (
    CLAIMS,
    DOUBTFUL_AGGREGATES,
    DOUBTS,
    HEAD,
    LOW_MASK,
    OFFSET_MAX,
    PLACE_SHIFT,
    RESOLVED,
    SECOND_MASK,
    SECOND_SHIFT,
    SHARD_DIGITS,
    SHARD_PREFIX,
    STORED,
    STORED_AGGREGATES,
    Origins,
)
from bridge.core.proof.number_columns import column_bytes, fixed_bytes, text_bytes
from bridge.core.records import Partition


class LedgerWriter:
    """Puts the tables together while the groups are written."""

    def __init__(self) -> None:
        self._texts: dict[str, int] = {}
        self._partitions: dict[Partition, int] = {}
        self._shards: dict[StreamShard, int] = {}
        self._groups: list[bytes] = []
        self._origins = Origins()

    def add(self, group: Group) -> None:
        """One group. Raises ValueError."""
        if not group.offsets or not 0 <= min(group.offsets) <= max(group.offsets) <= OFFSET_MAX:
            raise ValueError("a group has offsets, from 0 to 2**63 - 1")
        self._origins.count(len(group.offsets))
        match group:
            case Stored():
                self._stored(group)
            case Resolved():
                self._resolved(group)
            case Doubts():
                self._doubts(group)

    def body(self) -> bytes:
        """All but the checksum."""
        partitions = [varint(self._text(topic)) + varint(number) for topic, number in self._partitions]
        shards = [varint(self._text(shard.stream)) + self._shard_id(shard.shard_id) for shard in self._shards]
        texts = list(map(text_bytes, self._texts))  # the last, when all texts are known
        tables = [part for table in (texts, partitions, shards) for part in (varint(len(table)), *table)]
        return b"".join((HEAD, *tables, *self._groups))

    def _stored(self, group: Stored) -> None:
        numbers, origins = group.sequence_numbers, self._origins
        _check_rows(len(numbers), group.offsets, group.counts, (group.digests,))
        shard = self._shards.setdefault(group.shard, len(self._shards))
        places = list(map(rshift, numbers, repeat(PLACE_SHIFT)))
        seconds = [number >> SECOND_SHIFT & SECOND_MASK for number in numbers]
        lows = [number & LOW_MASK for number in numbers]
        if min(places) < 0:
            raise ValueError("a sequence number below 0")
        kind = STORED if group.counts is None else STORED_AGGREGATES
        if group.is_claim:
            kind = CLAIMS
            if group.counts is not None:
                raise ValueError("aggregates are marked, nobody has to claim them")
        self._groups += (
            bytes((kind,)) + varint(shard),
            self._rows(group.partition, len(numbers), group.offsets, group.counts),
            column_bytes(places, origins.places.get(shard, origins.place)),
            column_bytes(seconds, origins.second),
            column_bytes(lows, origins.low),
            fixed_bytes(group.digests),
        )
        origins.took_sequence_number(shard, places[-1], seconds[-1], lows[-1])

    def _resolved(self, group: Resolved) -> None:
        partition, offsets = self._partition(group.partition), group.offsets
        head = bytes((RESOLVED,)) + varint(partition) + bytes((group.resolved_as,)) + varint(self._text(group.reason))
        self._groups += (head, varint(len(offsets)), column_bytes(offsets, self._origins.offsets.get(partition, 0)))
        self._origins.offsets[partition] = offsets[-1]

    def _doubts(self, group: Doubts) -> None:
        rows, origins = len(group.digests), self._origins
        _check_rows(rows, group.offsets, group.counts, (group.key_hashes, group.not_before_ms, group.until_ms))
        kind = DOUBTS if group.counts is None else DOUBTFUL_AGGREGATES
        self._groups += (
            bytes((kind,)) + varint(self._text(group.stream)) + bytes((group.is_ordered,)),
            self._rows(group.partition, rows, group.offsets, group.counts),
            column_bytes(group.not_before_ms, origins.not_before_ms),
            column_bytes(group.until_ms, origins.until_ms),
            fixed_bytes(group.key_hashes),
            fixed_bytes(group.digests),
        )
        origins.not_before_ms, origins.until_ms = group.not_before_ms[-1], group.until_ms[-1]

    def _rows(self, named: Partition, rows: int, offsets: Sequence[int], counts: Sequence[int] | None) -> bytes:
        partition = self._partition(named)
        written = column_bytes(offsets, self._origins.offsets.get(partition, 0))
        self._origins.offsets[partition] = offsets[-1]
        return varint(partition) + varint(rows) + (b"" if counts is None else column_bytes(counts, 0)) + written

    def _text(self, text: str) -> int:
        return self._texts.setdefault(text, len(self._texts))

    def _partition(self, partition: Partition) -> int:
        if partition.number < 0:
            raise ValueError(f"partition {partition.number}")
        return self._partitions.setdefault(partition, len(self._partitions))

    def _shard_id(self, shard_id: str) -> bytes:
        digits = shard_id.removeprefix(SHARD_PREFIX)
        if len(digits) == SHARD_DIGITS == len(shard_id) - len(SHARD_PREFIX) and digits.isascii() and digits.isdecimal():
            return varint(int(digits) + 1)
        return varint(0) + varint(self._text(shard_id))


def _check_rows(rows: int, offsets: Sequence[int], counts: Sequence[int] | None, columns: Sequence[Sequence[int]]) -> None:
    if rows == 0 or any(len(column) != rows for column in columns):
        raise ValueError("a group has rows, and columns of one length")
    if counts is None:
        if len(offsets) != rows:
            raise ValueError("one offset for each row, where no counts are given")
    elif len(counts) != rows or not 1 <= min(counts) <= max(counts) <= SUB_RECORDS_MAX or sum(counts) != len(offsets):
        raise ValueError(f"counts from 1 to {SUB_RECORDS_MAX} for each row, that add up to the offsets")
