"""Reads groups of ledger entries; the format is described in `ledger_codec`."""

from collections.abc import Sequence

from bridge.core.delivery.aggregation import SUB_RECORDS_MAX
from bridge.core.proof.ledger_entries import Doubts, Group, Resolved, ResolvedAs, Stored, StreamShard
from bridge.core.proof.ledger_layout import (
    CLAIMS,
    DOUBTFUL_AGGREGATES,
    DOUBTS,
    LOW_MASK,
    OFFSET_MAX,
    OFFSETS_MAX,
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
from bridge.core.proof.number_columns import ColumnReader
from bridge.core.records import Partition


class LedgerReader(ColumnReader):
    """Reads the tables, and then the groups. Methods raise ValueError where they are not there as the writer writes them."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        super().__init__(data, at, end)
        self._origins = Origins()
        self._texts = [self.text() for _ in range(self.number())]
        self._partitions = [Partition(self._named(self._texts), self.number()) for _ in range(self.number())]
        self._shards = [StreamShard(self._named(self._texts), self._shard_id()) for _ in range(self.number())]

    def groups(self) -> list[Group]:
        """Up to the end."""
        groups: list[Group] = []
        while not self.ended:
            kind = self.bytes(1)[0]
            if kind in (STORED, STORED_AGGREGATES, CLAIMS):
                groups.append(self._stored(kind))
            elif kind == RESOLVED:
                groups.append(self._resolved())
            elif kind in (DOUBTS, DOUBTFUL_AGGREGATES):
                groups.append(self._doubts(kind == DOUBTFUL_AGGREGATES))
            else:
                raise ValueError(f"a group of kind {kind}")
        return groups

    def _stored(self, kind: int) -> Stored:
        origins, shard = self._origins, self._index(self._shards)
        partition, rows, counts, offsets = self._rows(kind == STORED_AGGREGATES)
        places = self.column(rows, origins.places.get(shard, origins.place))
        seconds, lows = self.column(rows, origins.second), self.column(rows, origins.low)
        if min(places) < 0 or not _within(seconds, SECOND_MASK) or not _within(lows, LOW_MASK):
            raise ValueError("a sequence number out of range")
        numbers = [
            place << PLACE_SHIFT | second << SECOND_SHIFT | low for place, second, low in zip(places, seconds, lows, strict=True)
        ]
        origins.took_sequence_number(shard, places[-1], seconds[-1], lows[-1])
        return Stored(self._shards[shard], partition, numbers, self.fixed(rows), offsets, counts, kind == CLAIMS)

    def _resolved(self) -> Resolved:
        partition, resolved_as = self._index(self._partitions), ResolvedAs(self.bytes(1)[0])
        reason = self._named(self._texts)
        return Resolved(self._partitions[partition], resolved_as, reason, self._offsets(partition, self.number()))

    def _doubts(self, aggregates: bool) -> Doubts:
        origins, stream, ordered = self._origins, self._named(self._texts), self.bytes(1)[0]
        if ordered > 1:
            raise ValueError("a flag out of range")
        partition, rows, counts, offsets = self._rows(aggregates)
        not_before, until = self.column(rows, origins.not_before_ms), self.column(rows, origins.until_ms)
        origins.not_before_ms, origins.until_ms = not_before[-1], until[-1]
        return Doubts(stream, partition, self.fixed(rows), self.fixed(rows), not_before, until, offsets, counts, bool(ordered))

    def _rows(self, aggregates: bool) -> tuple[Partition, int, list[int] | None, list[int]]:
        partition, rows = self._index(self._partitions), self.number()
        if not 1 <= rows <= OFFSETS_MAX:
            raise ValueError(f"{rows} rows")
        if not aggregates:
            return self._partitions[partition], rows, None, self._offsets(partition, rows)
        counts = self.column(rows, 0)
        if min(counts) < 1 or max(counts) > SUB_RECORDS_MAX:
            raise ValueError("a count out of range")
        return self._partitions[partition], rows, counts, self._offsets(partition, sum(counts))

    def _offsets(self, partition: int, rows: int) -> list[int]:
        if rows < 1:
            raise ValueError("no offsets")
        self._origins.count(rows)
        offsets = self.column(rows, self._origins.offsets.get(partition, 0))
        if not _within(offsets, OFFSET_MAX):
            raise ValueError("an offset out of range")
        self._origins.offsets[partition] = offsets[-1]
        return offsets

    def _index(self, table: Sequence[object]) -> int:
        index = self.number()
        if index >= len(table):
            raise ValueError("an entry of a table that it does not have")
        return index

    def _named(self, texts: Sequence[str]) -> str:
        return texts[self._index(texts)]

    def _shard_id(self) -> str:
        number = self.number()
        if number > 10**SHARD_DIGITS:
            raise ValueError("a shard out of range")
        return f"{SHARD_PREFIX}{number - 1:0{SHARD_DIGITS}d}" if number else self._named(self._texts)


def _within(values: Sequence[int], largest: int) -> bool:
    return min(values) >= 0 and max(values) <= largest
