"""The ledger topic of a run, against what the streams hold."""

from collections.abc import Iterable

from bridge.core.delivery.commit_metadata import decode as decode_metadata
from bridge.core.delivery.ownership import Ownership
from bridge.core.proof.ledger_codec import decode
from bridge.core.proof.ledger_entries import Doubts, Resolved, ResolvedAs, Stored, StreamShard, records_of
from bridge.core.topics import ledger_topic
from tests.simulation.kafka.cluster import Cluster
from tests.simulation.laws import Laws, Origin, records_in
from tests.simulation.process import Process
from tests.simulation.replica import GROUP

TOPIC = ledger_topic(GROUP)


class LedgerTopic:
    """Knows which records have an entry, and tells the laws of one that is not true."""

    def __init__(self, cluster: Cluster, laws: Laws) -> None:
        self._cluster = cluster
        self._laws = laws
        self._read_to: dict[int, int] = {}
        self.entries: dict[Origin, int] = {}
        """By the names that the topics have for Kafka; each with a number that is higher for one that was seen later."""
        self._at_assignment: dict[tuple[str, str], int] = {}
        """How many entries there were when a process was given a partition."""
        self._open: dict[tuple[str, str], Ownership] = {}
        """What a process has committed last of a partition, that attempts may follow."""
        self.altered = False
        """Whether faults are on that change what was stored."""
        self._facts: dict[tuple[StreamShard, int], tuple[Origin, ...]] = {}
        """By sequence number, whose it is."""
        self.forgotten: set[str] = set()
        """Streams that were deleted."""

    def assigned(self, process: Process, partitions: Iterable[str]) -> None:
        """A process says that it was given these partitions."""
        self.look()
        self._at_assignment |= {(process.name, partition): len(self.entries) for partition in partitions}

    def committed(self, partition: str, metadata: str) -> None:
        """This stands beside the committed offset now."""
        if owned := decode_metadata(metadata).ownership:
            if owned.is_open:
                self._open[owned.owner, partition] = owned
            else:
                self._open.pop((owned.owner, partition), None)

    def sent(self, process: str, origin: Origin, anew: bool) -> None:
        """A record leaves a process. `anew`: what was carried may be carried for the second time."""
        place = process, f"{origin.topic.partition('~')[0]}-{origin.partition}"
        owned = self._open.get(place)
        if owned is None:
            self._laws.breaks("open", f"{process} sends {origin}, and has not committed that it may")
        elif origin.offset >= owned.attempts_to:
            self._laws.breaks("open", f"{process} sends {origin}, and has committed that it may only below {owned.attempts_to}")
        elif (late_ms := self._laws.kinesis.told_s() * 1000 - owned.lease_end_ms) > 0:
            self._laws.breaks("lease", f"{process} sends {origin} {late_ms:.0f} ms after the end of its lease")
        if self.entries.get(origin, 2**63) < self._at_assignment.get(place, 0) and not anew:
            self._laws.breaks("L3", f"{process} sends {origin}, which was in the ledger when it was given the partition")

    def look(self) -> None:
        """What came since the last look."""
        for place in self._cluster.topics.get(TOPIC, ()):
            read_to = self._read_to.get(place[1], 0)
            messages, self._read_to[place[1]] = self._cluster.logs[place].read(read_to, 2**40)
            for message in messages:
                for group in decode(message.value() or b""):
                    if isinstance(group, Doubts) or (isinstance(group, Stored) and group.is_claim):
                        continue
                    if isinstance(group, Resolved) and group.resolved_as is ResolvedAs.NOT_WRITTEN:
                        continue
                    for offset in group.offsets:
                        self.entries.setdefault(Origin(*group.partition, offset), len(self.entries))
                    if isinstance(group, Stored):
                        self._check(group)
                    assert isinstance(group, Stored | Resolved)

    def _check(self, group: Stored) -> None:
        """The records are where the entry says."""
        shard = self._laws.shard(*group.shard)
        if self.altered or group.shard.stream in self.forgotten or shard is None:
            return
        for number, offsets in zip(group.sequence_numbers, records_of(group.offsets, group.counts), strict=True):
            origins = tuple(Origin(*group.partition, offset) for offset in offsets)
            others = self._facts.setdefault((group.shard, number), origins)
            if others != origins and not self._are_equal(others, origins):
                self._laws.breaks("L5", f"the ledger says that {number} of {group.shard} is both {others[0]} and {origins[0]}")
            place = shard.place_at_or_after(number)
            if place >= shard.next_place or int(shard.sequence_number_at(place)) != number:
                self._laws.breaks("L5", f"the ledger names {number} of {group.shard}, which is not there")
                return
            if shard.is_lost(place):
                continue  # the service said that it is there
            found = records_in(shard.data_at(place), shard.partition_key_at(place))
            named = [self._laws.equals.get(origin, origin)[1:] for origin in origins]
            if not all(there in (None, name) for there, name in zip((o and o[1:] for o in found), named, strict=False)):
                self._laws.breaks("L5", f"the ledger says {group.partition} {offsets} of {number}, which holds {found}")
            if len(found) != len(offsets):
                self._laws.breaks("L5", f"the ledger says {len(offsets)} records of {number}, which holds {len(found)}")

    def _are_equal(self, some: tuple[Origin, ...], others: tuple[Origin, ...]) -> bool:
        """Whether nothing tells these records apart. Then a new owner may take one for the other, and an owner before that comes
        back hears which it was; the first entry counts."""
        equals = self._laws.equals
        return [equals.get(origin, origin) for origin in some] == [equals.get(origin, origin) for origin in others]
