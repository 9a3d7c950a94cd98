"""The ledger topic of a run, against what the streams hold."""

from collections.abc import Iterable

from bridge.core.delivery.commit_metadata import decode as decode_metadata
from bridge.core.proof.ledger_codec import decode
from bridge.core.proof.ledger_entries import Doubts, Resolved, ResolvedAs, Stored, records_of
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
        self._open: set[tuple[str, str]] = set()
        """Partitions for which a process has committed that attempts may follow."""
        self.altered = False
        """Whether faults are on that change what was stored."""
        self.forgotten: set[str] = set()
        """Streams that were deleted."""

    def assigned(self, process: Process, partitions: Iterable[str]) -> None:
        """A process says that it was given these partitions."""
        self.look()
        self._at_assignment |= {(process.name, partition): len(self.entries) for partition in partitions}

    def committed(self, partition: str, metadata: str) -> None:
        """This stands beside the committed offset now."""
        if owned := decode_metadata(metadata).ownership:
            (self._open.add if owned.is_open else self._open.discard)((owned.owner, partition))

    def sent(self, process: str, origin: Origin, anew: bool) -> None:
        """A record leaves a process. `anew`: what was carried may be carried for the second time."""
        place = process, f"{origin.topic.partition('~')[0]}-{origin.partition}"
        if place not in self._open:
            self._laws.breaks("open", f"{process} sends {origin}, and has not committed that it may")
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
            place = shard.place_at_or_after(number)
            if place >= shard.next_place or int(shard.sequence_number_at(place)) != number:
                self._laws.breaks("L5", f"the ledger names {number} of {group.shard}, which is not there")
                return
            if shard.is_lost(place):
                continue  # the service said that it is there
            found = records_in(shard.data_at(place), shard.partition_key_at(place))
            named = [origin and (origin.partition, origin.offset) for origin in found]
            if not all(there in (None, (group.partition.number, offset)) for there, offset in zip(named, offsets, strict=False)):
                self._laws.breaks("L5", f"the ledger says {group.partition} {offsets} of {number}, which holds {found}")
            if len(found) != len(offsets):
                self._laws.breaks("L5", f"the ledger says {len(offsets)} records of {number}, which holds {len(found)}")
