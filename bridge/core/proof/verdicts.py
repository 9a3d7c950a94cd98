"""Rows whose outcome is not known, what is known about them, and what is to be done with each; `recovery` tells it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from bridge.core.proof.ledger_entries import Doubts
from bridge.core.proof.ledger_index import LedgerIndex, Place
from bridge.core.records import Partition


class Settled(IntEnum):
    """What is to be done with a row."""

    WAIT = 0
    """Ask again when more was read."""
    LANDED = 1
    """It was written: into the ledger with its place, as a fact."""
    CLAIM = 2
    """Write a claim for its place, read the ledger until it is there, and ask again."""
    ABSENT = 3
    """It was not written and will not be: send it."""
    UNSETTLED = 4
    """Nobody can tell: send it, and count it as a possible duplicate."""


class Verdict(NamedTuple):
    """Of one row; `place` where it landed or is to be claimed."""

    settled: Settled
    place: Place | None = None


WAIT, ABSENT, UNSETTLED = Verdict(Settled.WAIT), Verdict(Settled.ABSENT), Verdict(Settled.UNSETTLED)


@dataclass(slots=True, frozen=True)
class Expected:
    """Rows of one partition that may have been attempted, ascending; those whose place the ledger knows may be among them, those
    that were resolved without a record may not.

    If a row was written, its record arrived from `not_before_ms` (when the attempt began, or the watermark) to `until_ms` (the
    end of the lease, or when the attempt was given up, and `settle` after it), by Kinesis's clock. Without marks rows need
    `key_hashes` and `digests` (see `digests`). `is_ordered`: rows of one partition key are one lane; else each is one.
    `is_inherited`: an owner before has attempted them, and what it knows of them may still be on its way into the ledger.
    """

    stream: str
    partition: Partition
    offsets: Sequence[int]
    not_before_ms: Sequence[int]
    until_ms: Sequence[int]
    key_hashes: Sequence[int] = ()
    digests: Sequence[int] = ()
    is_marked: bool = False
    is_ordered: bool = True
    is_inherited: bool = False

    def __len__(self) -> int:
        return len(self.offsets)

    def doubts(self, rows: Sequence[int]) -> Doubts:
        """These rows, without marks, as the ledger publishes them."""
        columns = (self.key_hashes, self.digests, self.not_before_ms, self.until_ms, self.offsets)
        picked = [[column[row] for row in rows] for column in columns]
        hashes, digests, not_before_ms, until_ms, offsets = picked
        return Doubts(self.stream, self.partition, hashes, digests, not_before_ms, until_ms, offsets, None, self.is_ordered)


@dataclass(slots=True, frozen=True)
class Known:
    """What was found out so far; all moments are Kinesis's, in milliseconds.

    `index` follows the partitions of the rows and watches the stream for their keys and for `digests_to_watch`. It holds the
    ledger to its end as it was after `known_to_ms` was read, from what was written at `needed_since_ms` less `settle` and twice
    the margin: so that every doubt is there that was not over then, and every entry for a record that arrived later; and own
    acks that are not in the ledger yet. After a takeover all doubts of a partition are said again together, so that none of a
    lane is missing there.

    `known_to_ms`: the lowest watermark of all partitions that feed the stream; of ours, the rows that are asked about aside.
    `read_to_ms`: the earliest moment at which the last read that reached the tip, of every shard, can have begun.
    `margin_ms`: by how much an arrival may differ from what the service's clock showed.
    """

    index: LedgerIndex
    known_to_ms: float
    read_to_ms: float
    deadline_ms: float
    margin_ms: float
