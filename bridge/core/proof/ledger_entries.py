"""What the ledger says, as columns: which Kafka offset became which Kinesis record, which never will, and which is in doubt."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

from bridge.core.records import Partition


class StreamShard(NamedTuple):
    """A shard of a stream."""

    stream: str
    shard_id: str


class ResolvedAs(IntEnum):
    """How an offset was resolved without a Kinesis record."""

    PARKED = 0
    """It is in the dead-letter topic."""
    SKIPPED = 1
    """It was passed by, for a reason that the configuration names."""
    NOT_WRITTEN = 2
    """Not resolved: the attempt in doubt was not written. Stands in the ledger before the row is attempted again, so that a doubt
    is always of the last attempt."""


@dataclass(slots=True, frozen=True)
class Stored:
    """Records of one partition that one shard stored. Facts: the same one twice counts once.

    One row a Kinesis record: `sequence_numbers`, `digests` (see `digests`), and `counts`, how many Kafka records it holds: None
    where each is one. `offsets` has one row a Kafka record; those of an aggregate stand side by side in the order of their
    sub-sequence numbers 0, 1, 2, ...
    """

    shard: StreamShard
    partition: Partition
    sequence_numbers: Sequence[int]
    digests: Sequence[int]
    offsets: Sequence[int]
    counts: Sequence[int] | None = None
    is_claim: bool = False
    """No fact yet: who wrote this takes the records for its own because they are alike, and others may do the same. For each
    sequence number the first entry in the ledger's order counts; its writer then says so with an entry that is a fact."""


@dataclass(slots=True, frozen=True)
class Resolved:
    """Offsets that were resolved without a Kinesis record; `reason` is the short name of the policy's reason, if there is one."""

    partition: Partition
    resolved_as: ResolvedAs
    reason: str
    offsets: Sequence[int]


@dataclass(slots=True, frozen=True)
class Doubts:
    """Attempts whose outcome nobody knows; columns as in `Stored`.

    Each Kinesis record that may have been stored has the hash of its partition key (`digests.key_hash`), its digest, and when it
    may have been: not before `not_before_ms`, not after `until_ms` (Kinesis's clock, milliseconds since the epoch). A fact
    `Stored` or `Resolved` for its first offset settles a doubt; the same offset again replaces it.
    """

    stream: str
    partition: Partition
    key_hashes: Sequence[int]
    digests: Sequence[int]
    not_before_ms: Sequence[int]
    until_ms: Sequence[int]
    offsets: Sequence[int]
    counts: Sequence[int] | None = None
    is_ordered: bool = True
    """Rows with the same partition key are one lane: none was attempted before the one below it was stored."""


Group = Stored | Resolved | Doubts


def records_of(offsets: Sequence[int], counts: Sequence[int] | None) -> list[tuple[int, ...]]:
    """The offsets of each Kinesis record of a group."""
    if counts is None:
        return [(offset,) for offset in offsets]
    records, at = [], 0
    for count in counts:
        records.append(tuple(offsets[at : at + count]))
        at += count
    return records


def facts_from(groups: Iterable[Group], least: Mapping[Partition, int]) -> list[Stored | Resolved]:
    """Of these groups the facts about Kafka records of these partitions at or above their least offset; Kinesis records whole.

    What is left out says nothing that lasts: claims, doubts, and that an attempt in doubt was not written.
    """
    found: list[Stored | Resolved] = []
    for group in groups:
        lowest = least.get(group.partition)
        if lowest is None or max(group.offsets) < lowest:
            continue
        if isinstance(group, Stored) and not group.is_claim:
            found.append(_stored_from(group, lowest))
        elif isinstance(group, Resolved) and group.resolved_as is not ResolvedAs.NOT_WRITTEN:
            found.append(replace(group, offsets=[offset for offset in group.offsets if offset >= lowest]))
    return found


def _stored_from(group: Stored, lowest: int) -> Stored:
    records = records_of(group.offsets, group.counts)
    rows = [row for row, offsets in enumerate(records) if max(offsets) >= lowest]
    return replace(
        group,
        sequence_numbers=[group.sequence_numbers[row] for row in rows],
        digests=[group.digests[row] for row in rows],
        offsets=[offset for row in rows for offset in records[row]],
        counts=None if group.counts is None else [group.counts[row] for row in rows],
    )
