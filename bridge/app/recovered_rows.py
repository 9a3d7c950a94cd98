"""Which rows of a partition that was found open may have been attempted by its owner before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from bridge.app.partition_line import PartitionLine
from bridge.core.delivery.mapping import Mapper
from bridge.core.delivery.ownership import Ownership
from bridge.core.proof.digests import digests, key_hash
from bridge.core.proof.ledger_index import Doubt, LedgerIndex, Origin
from bridge.core.proof.verdicts import Expected
from bridge.core.records import SourceBatch


@dataclass(slots=True, eq=False)
class AttemptedRows:
    """Of one partition, from what the ledger holds and, without marks, from its records in Kafka.

    `until_ms` is the last moment at which a record of the owner before may have been stored.
    """

    line: PartitionLine
    before: Ownership
    until_ms: float
    end: int
    """Nothing at or above this offset was attempted."""
    done: frozenset[int]
    """Offsets that the ledger has as stored."""
    resolved: frozenset[int]
    """Offsets that were resolved without a record."""
    doubts: Mapping[int, Doubt]
    """By offset, what the owner before had in doubt itself."""
    offsets: list[int] = field(default_factory=list)
    key_hashes: list[int] = field(default_factory=list)
    digests: list[int] = field(default_factory=list)

    @property
    def begin(self) -> int:
        return self.line.tracker.committable()

    def add(self, batch: SourceBatch, mapper: Mapper) -> None:
        """Records without marks, behind those before. One at which a partition stands still, and all behind it, were never
        attempted: `end` is there then."""
        mapped, rejection = mapper.map(batch.starting_at(self.begin), self.line.lanes)
        diverted = {diverted.row for diverted in mapped.diverted}
        rows = [
            row
            for row, offset in enumerate(mapped.offsets)
            if row not in diverted and offset not in self.resolved and offset < self.end
        ]
        keys = [mapped.partition_keys[row] for row in rows]
        self.offsets += [mapped.offsets[row] for row in rows]
        self.key_hashes += map(key_hash, keys)
        self.digests += digests(keys, [mapped.values[row] for row in rows])
        if rejection is not None:
            self.end = min(self.end, rejection.offset)

    def marked(self, is_ordered: bool) -> Expected:
        """Rows with marks: every offset, though Kafka may not have it."""
        offsets = [offset for offset in range(self.begin, self.end) if offset not in self.done and offset not in self.resolved]
        return self._expected(offsets, is_marked=True, is_ordered=is_ordered)

    def unmarked(self, is_ordered: bool) -> Expected:
        """The rows that were added."""
        return self._expected(self.offsets, is_marked=False, is_ordered=is_ordered)

    def _expected(self, offsets: Sequence[int], is_marked: bool, is_ordered: bool) -> Expected:
        doubts, watermark_ms, until_ms = self.doubts, self.before.watermark_ms, ceil(self.until_ms)
        return Expected(
            self.line.stream,
            self.line.partition,
            offsets,
            [doubts[offset].not_before_ms if offset in doubts else watermark_ms for offset in offsets],
            [doubts[offset].until_ms if offset in doubts else until_ms for offset in offsets],
            self.key_hashes,
            self.digests,
            is_marked,
            is_ordered,
            is_inherited=True,
        )


def attempted_rows(line: PartitionLine, before: Ownership, index: LedgerIndex, end: int, settle_ms: float) -> AttemptedRows:
    """Those of a partition that `index` follows; `end` is that of the partition, taken after the lease of the owner before."""
    offsets = index.offsets_of(line.partition)
    resolved = frozenset(offset for offset in offsets if index.resolved_as(Origin(line.partition, offset)) is not None)
    doubts = {d.origin.offset: d for d in index.doubts_of(line.stream) if d.origin.partition == line.partition}
    until_ms = before.lease_end_ms + settle_ms
    end = min(end, before.attempts_to)
    return AttemptedRows(line, before, until_ms, end, frozenset(offsets) - resolved, resolved, doubts)
