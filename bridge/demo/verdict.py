"""The verdict: what the producer knows that it sent, against what was read back from the stream. Pure.

A record is known by its content: its expected partition key and a digest of its value. The records of one partition key
are a lane; the demonstration keeps every key in one partition. Within a lane each content must be stored as often as it
was sent. Order is judged by first occurrences: a content that was sent once counts where it is stored first; copies of a
content that was sent several times cannot be told apart and are taken in favour of the order.
"""

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

EXAMPLES_MAX = 3


@dataclass(slots=True)
class SentPartition:
    """A partition's records as Kafka confirmed them, offset by offset from 0: keys, and 64-bit digests of the values."""

    keys: list[str | None] = field(default_factory=list)
    digests: "array[int]" = field(default_factory=lambda: array("Q"))


@dataclass(slots=True)
class StoredShard:
    """A shard's records in the order in which it gives them: partition keys, and 64-bit digests of the data."""

    partition_keys: list[str] = field(default_factory=list)
    digests: "array[int]" = field(default_factory=lambda: array("Q"))


@dataclass(slots=True, frozen=True)
class Comparison:
    """Records by what became of them. `inversions` counts records that were overtaken by a later one of their key."""

    sent: int
    stored: int
    missing: int
    unexpected: int
    duplicates: int
    inversions: int
    busiest_shard: str
    busiest_shard_records: int
    examples: tuple[str, ...]
    """The first few partition keys of each defect, in words."""

    @property
    def busiest_shard_share(self) -> float:
        """Its part of all stored records, 0..1."""
        return self.busiest_shard_records / self.stored if self.stored else 0.0


@dataclass(slots=True, frozen=True)
class Verdict:
    """A comparison and what was measured beside it. `troubles` are failures that no count shows."""

    expected: int
    comparison: Comparison
    throttled_records: int
    shards: int
    seconds: float
    troubles: tuple[str, ...] = ()

    @property
    def records_per_s(self) -> float:
        """Stored records over the wall time of the job."""
        return self.comparison.stored / self.seconds if self.seconds > 0 else 0.0

    @property
    def problems(self) -> list[str]:
        """Everything that is wrong, in sentences; empty when the job was done exactly."""
        found = self.comparison
        problems = list(self.troubles)
        if found.sent != self.expected:
            problems.append(f"{found.sent:,} records were sent to Kafka, not {self.expected:,}.")
        if found.stored != found.sent:
            problems.append(f"{found.stored:,} records are stored, but {found.sent:,} were sent.")
        defects = (
            (found.missing, "records were sent and are not stored"),
            (found.unexpected, "records are stored that nobody sent"),
            (found.duplicates, "records are stored once more than they were sent"),
            (found.inversions, "records are stored after a later record of their key"),
        )
        problems += [f"{count:,} {what}." for count, what in defects if count]
        return problems + list(found.examples)

    @property
    def exact(self) -> bool:
        """Every record stored once, in order, and nothing else."""
        return not self.problems

    @property
    def exit_status(self) -> int:
        """0 when exact, else 1."""
        return 0 if self.exact else 1

    def document(self) -> dict[str, Any]:
        """For scripts."""
        counts = asdict(self.comparison)
        del counts["examples"]
        return {
            "exact": self.exact,
            "problems": self.problems,
            "expected": self.expected,
            **counts,
            "busiest_shard_share": round(self.comparison.busiest_shard_share, 4),
            "shards": self.shards,
            "throttled_records": self.throttled_records,
            "seconds": round(self.seconds, 3),
            "records_per_s": round(self.records_per_s, 1),
        }


def compare(topic: str, sent: Sequence[SentPartition], stored: Mapping[str, StoredShard]) -> Comparison:
    """Compares all partitions (by number) with all shards (by id). Raises ValueError when a key is in two partitions."""
    sent_lanes = _sent_lanes(topic, sent)
    stored_lanes: dict[str, list[int]] = defaultdict(list)
    for shard in stored.values():
        for partition_key, digest in zip(shard.partition_keys, shard.digests, strict=True):
            stored_lanes[partition_key].append(digest)
    counts: Counter[str] = Counter()
    examples: dict[str, list[str]] = defaultdict(list)
    for partition_key in sent_lanes.keys() | stored_lanes.keys():
        wanted, found = sent_lanes.get(partition_key, []), stored_lanes.get(partition_key, [])
        if wanted == found:
            continue
        for defect, count in _lane_defects(wanted, found).items():
            counts[defect] += count
            examples[defect].append(f"{defect}: {count} of partition key {partition_key!r}")
    sizes = {shard_id: len(shard.digests) for shard_id, shard in stored.items()}
    busiest = max(sizes, key=lambda shard_id: sizes[shard_id], default="")
    return Comparison(
        sent=sum(len(partition.digests) for partition in sent),
        stored=sum(sizes.values()),
        missing=counts["missing"],
        unexpected=counts["unexpected"],
        duplicates=counts["duplicate"],
        inversions=counts["out of order"],
        busiest_shard=busiest,
        busiest_shard_records=sizes.get(busiest, 0),
        examples=tuple(text for texts in examples.values() for text in sorted(texts)[:EXAMPLES_MAX]),
    )


def _sent_lanes(topic: str, sent: Sequence[SentPartition]) -> dict[str, list[int]]:
    lanes: dict[str, list[int]] = {}
    for number, partition in enumerate(sent):
        own: dict[str, list[int]] = defaultdict(list)
        for offset, (key, digest) in enumerate(zip(partition.keys, partition.digests, strict=True)):
            # `null_key: spread`: a record without a key gets its coordinates as partition key, and so a lane of its own.
            own[f"{topic}/{number}/{offset}" if key is None else key].append(digest)
        if shared := own.keys() & lanes.keys():
            raise ValueError(f"key {min(shared)!r} is in two partitions")
        lanes.update(own)
    return lanes


def _lane_defects(sent: list[int], stored: list[int]) -> Counter[str]:
    wanted, found = Counter(sent), Counter(stored)
    defects = Counter[str]()
    for digest, count in found.items():
        surplus = count - wanted[digest]
        if surplus > 0:
            defects["duplicate" if wanted[digest] else "unexpected"] += surplus
    defects["missing"] = (wanted - found).total()
    defects["out of order"] = (wanted & found).total() - _longest_in_order(sent, stored, wanted)
    return +defects


def _longest_in_order(sent: list[int], stored: list[int], wanted: Counter[int]) -> int:
    """Length of the longest part of `sent` that `stored` has in the same order, by first occurrences."""
    places: dict[int, list[int]] = defaultdict(list)
    for place in range(len(sent) - 1, -1, -1):
        places[sent[place]].append(place)
    seen: set[int] = set()
    # Hunt and Szymanski: the longest rising run over the places of each stored content, latest place first.
    lowest_ends: list[int] = []
    for digest in stored:
        if wanted[digest] == 1:
            if digest in seen:
                continue
            seen.add(digest)
        for place in places.get(digest, ()):
            index = bisect_left(lowest_ends, place)
            lowest_ends[index : index + 1] = [place]
    return len(lowest_ends)
