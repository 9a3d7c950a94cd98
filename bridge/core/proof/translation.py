"""Looks for one position in the ledger: a Kafka offset, or a Kinesis sequence number, and what follows it.

Groups may come in any order of slots, those of a slot in theirs. Kept is only what can still be the answer. Facts alone are
answers; that there is a claim or a doubt is remembered, because then nothing may be said of that record yet.
"""

from collections.abc import Iterable, Sequence

from bridge.core.proof.ledger_entries import Doubts, Group, Resolved, ResolvedAs, Stored, StreamShard, records_of
from bridge.core.proof.ledger_index import Entry, Origin, Place

_ENDED_AS = {ResolvedAs.PARKED: "parked", ResolvedAs.SKIPPED: "skipped"}


class OffsetSearch:
    """Where a Kafka record is, and the nearest one behind it that is anywhere."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self.places: set[Place] = set()
        """Where it is: several for one that was written twice."""
        self.ended_as: str | None = None
        """`parked` or `skipped` with the reason."""
        self.is_unsettled = False
        """It was claimed or was in doubt."""
        self.lowest: int | None = None
        """Of the partition, the lowest offset of which something certain is said."""
        self.next_offset: int | None = None
        self.next_places: set[Place] = set()

    def add(self, groups: Iterable[Group]) -> None:
        """What comes next of the ledger."""
        for group in groups:
            if group.partition != self._origin.partition:
                continue
            match group:
                case Stored(is_claim=False):
                    self._know(group.offsets)
                    self._add_stored(group)
                case Resolved() if group.resolved_as in _ENDED_AS:
                    self._know(group.offsets)
                    if self._origin.offset in group.offsets:
                        self.ended_as = f"{_ENDED_AS[group.resolved_as]}: {group.reason}"
                case Stored() | Doubts():
                    self.is_unsettled |= self._origin.offset in group.offsets

    def _know(self, offsets: Sequence[int]) -> None:
        lowest = min(offsets)
        self.lowest = lowest if self.lowest is None else min(lowest, self.lowest)

    def _add_stored(self, group: Stored) -> None:
        offset = self._origin.offset
        if offset in group.offsets:
            self.places |= _places(group, offset)
        following = min([behind for behind in group.offsets if behind > offset], default=None)
        if following is None or (self.next_offset is not None and following > self.next_offset):
            return
        if following != self.next_offset:
            self.next_offset, self.next_places = following, set()
        self.next_places |= _places(group, following)


def _places(group: Stored, offset: int) -> set[Place]:
    if group.counts is None:
        rows = zip(group.sequence_numbers, group.offsets, strict=True)
        return {Place(group.shard, number, 0) for number, at in rows if at == offset}
    records = zip(group.sequence_numbers, records_of(group.offsets, group.counts), strict=True)
    return {Place(group.shard, number, row.index(offset)) for number, row in records if offset in row}


class NumberSearch:
    """Which Kafka records a Kinesis record holds, and the nearest one behind it in its shard that is in the ledger.

    Of several facts for one record the first in the ledger's order counts.
    """

    def __init__(self, shard: StreamShard, sequence_number: int) -> None:
        self._shard = shard
        self._number = sequence_number
        self.entry: Entry | None = None
        self.others: set[Origin] = set()
        """Rows, by their first offset, for which it was claimed, or to which facts give it that do not count."""
        self.lowest: int | None = None
        """The lowest number of the shard."""
        self.next_entry: Entry | None = None

    def add(self, groups: Iterable[Group]) -> None:
        """What comes next of the slot."""
        for group in groups:
            if not isinstance(group, Stored) or group.shard != self._shard:
                continue
            if self._number in group.sequence_numbers:
                self._name(group)
            if group.is_claim:
                continue
            lowest = min(group.sequence_numbers)
            self.lowest = lowest if self.lowest is None else min(lowest, self.lowest)
            following = min([number for number in group.sequence_numbers if number > self._number], default=None)
            if following is not None and (self.next_entry is None or following < self.next_entry.sequence_number):
                self.next_entry = _entries(group, following)[0]

    def _name(self, group: Stored) -> None:
        for entry in _entries(group, self._number):
            if self.entry is None and not entry.is_claim:
                self.entry = entry
            elif self.entry is None or (entry.partition, entry.offsets) != (self.entry.partition, self.entry.offsets):
                self.others.add(Origin(entry.partition, entry.offsets[0]))
        if self.entry is not None:
            self.others.discard(Origin(self.entry.partition, self.entry.offsets[0]))


def _entries(group: Stored, number: int) -> list[Entry]:
    records = zip(group.sequence_numbers, records_of(group.offsets, group.counts), strict=True)
    return [Entry(group.shard, number, group.partition, row, group.is_claim) for at, row in records if at == number]
