"""The cluster: topics, groups and their offsets, its latencies and faults. One broker, which is every group's coordinator."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from confluent_kafka import Uuid

from tests.simulation.kafka.classic_group import ClassicGroup
from tests.simulation.kafka.consumer_group import ConsumerGroup
from tests.simulation.kafka.faults import Faults
from tests.simulation.kafka.group import Committed, Group, NoProtocol
from tests.simulation.kafka.log import PartitionLog, Record
from tests.simulation.kafka.messages import Place
from tests.simulation.kafka.timeline import Timeline
from tests.simulation.kafka.transactions import Transactions

if TYPE_CHECKING:
    from tests.simulation.kafka.consumer import SimConsumer

CommitHook = Callable[[str, str, str, int, int, str, float], None]
"""Group, member, topic, partition, offset, metadata, and the cluster's time."""


@dataclass(slots=True)
class ClusterSettings:
    """Of the broker; seconds. The defaults are Kafka's."""

    initial_rebalance_delay_s: float = 3.0
    consumer_session_timeout_s: float = 45.0
    consumer_heartbeat_s: float = 5.0
    request_timeout_s: float = 60.0
    fetch_wait_s: float = 0.5
    """How long a fetch that finds nothing waits for records; the clients' default."""


class Cluster:
    """Seconds are those of `clock`; all chance comes from `random`."""

    def __init__(self, clock: Callable[[], float], random: Random, wall_ms: Callable[[], float] | None = None) -> None:
        """`wall_ms` stamps records that come without a timestamp; by default `clock` does."""
        self.timeline = Timeline(clock)
        self.random = random
        self.wall_ms = wall_ms or (lambda: clock() * 1000)
        self.settings = ClusterSettings()
        self.faults = Faults(Random(random.random()))
        self.latency: Callable[[], float] = lambda: random.uniform(0.002, 0.010)
        """Of one round trip; what it says is halved for each way."""
        self.lock: AbstractContextManager[object] = _Unlocked()
        """Held by every call of a client, except where it waits or calls back. For hosts with real threads."""
        self.topics: dict[str, list[Place]] = {}
        self.topic_settings: dict[str, dict[str, str]] = {}
        self.topic_ids: dict[str, Uuid] = {}
        self.logs: dict[Place, PartitionLog] = {}
        self.groups: dict[str, Group] = {}
        self.transactions = Transactions(self)
        self.consumers: list[SimConsumer] = []
        """Those that are open."""
        self.on_commit_stored: list[CommitHook] = []
        self.on_append: list[Callable[[Place], None]] = []
        self.outages = 0
        self._down_until = float("-inf")
        self._ids = 0
        self._topics_made = 0

    @property
    def counts(self) -> Counter[str]:
        """How often each fault happened, and what became of groups."""
        return self.faults.counts

    # -- time

    def advance(self, now: float | None = None) -> None:
        """Does what is due by now."""
        self.timeline.advance(self.timeline.now if now is None else now)

    def next_due(self) -> float:
        """When `advance` has something to do next; infinite where it never has."""
        return self.timeline.next_due()

    def notice_s(self) -> float:
        """After so long a client notices that a request is lost."""
        return self.random.uniform(0.05, 1.0)

    def backoff_s(self) -> float:
        """Before a client tries again."""
        return self.random.uniform(0.1, 0.5)

    # -- topics

    def create_topic(self, name: str, partitions: int, settings: Mapping[str, str] | None = None) -> None:
        """`settings` are those that differ from the defaults."""
        self.topics[name] = []
        self.topic_settings[name] = dict(settings or {})
        self._name_topic(name)
        self.add_partitions(name, partitions)

    def add_partitions(self, name: str, count: int) -> None:
        """`count` more of them."""
        for _ in range(count):
            place = (name, len(self.topics[name]))
            self.logs[place] = PartitionLog(place)
            self.topics[name].append(place)
        self._topics_changed()

    def recreate_topic(self, name: str) -> None:
        """Deleted and created anew: its records are gone, and every group's offsets for it."""
        self.counts["recreated_topics"] += 1
        self._name_topic(name)
        for place in self.topics[name]:
            self.logs[place].empty()
            for group in self.groups.values():
                group.offsets.pop(place, None)

    def _name_topic(self, name: str) -> None:
        """No two topics have the same id, whatever their names."""
        self._topics_made += 1
        self.topic_ids[name] = Uuid(1, self._topics_made)

    def _topics_changed(self) -> None:
        """The coordinator of the `consumer` protocol sees it; members of the other one ask from time to time."""
        for group in self.groups.values():
            if isinstance(group, ConsumerGroup):
                group.rebalance()

    # -- records

    def produce(self, topic: str, partition: int, records: Iterable[Record], timestamp_ms: int | None = None) -> int:
        """Appends records. Returns the offset of the first one."""
        stamp = int(self.wall_ms()) if timestamp_ms is None else timestamp_ms
        offset = self.logs[topic, partition].append(records, stamp)
        self._appended((topic, partition))
        return offset

    def append_hole(self, topic: str, partition: int, offsets: int) -> None:
        """Offsets without records, as transaction markers leave them."""
        self.logs[topic, partition].append_hole(offsets)
        self._appended((topic, partition))

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """The log begins at this offset from now on."""
        self.counts["records_deleted"] += 1
        self.logs[topic, partition].delete_before(before)

    def expire(self) -> None:
        """As a broker does now and then, with topics that were made with a retention."""
        for topic, settings in self.topic_settings.items():
            retention_ms = float(settings.get("retention.ms", "-1"))
            for place in self.topics.get(topic, ()) if retention_ms >= 0 else ():
                self.logs[place].expire(self.wall_ms() - retention_ms)

    def _appended(self, place: Place) -> None:
        for hook in list(self.on_append):
            hook(place)

    # -- groups

    def classic_group(self, name: str) -> ClassicGroup:
        return self._group(name, ClassicGroup)  # type: ignore[return-value]

    def consumer_group(self, name: str) -> ConsumerGroup:
        return self._group(name, ConsumerGroup)  # type: ignore[return-value]

    def group(self, name: str) -> Group:
        """Whatever protocol it has; for offsets."""
        return self.groups.setdefault(name, NoProtocol(self, name))

    def _group(self, name: str, protocol: type[Group]) -> Group:
        """An empty group takes the protocol of its first member."""
        group = self.group(name)
        if isinstance(group, protocol):
            return group
        if group.members:
            raise NotImplementedError("members of both protocols in one group")
        converted = protocol(self, name)
        converted.offsets, converted.generation = group.offsets, group.generation
        self.groups[name] = converted
        return converted

    def committed(self, group: str) -> dict[Place, Committed]:
        """Offsets (next to read) with their metadata; for who checks."""
        return dict(self.group(group).offsets)

    def new_id(self, client_id: str) -> str:
        self._ids += 1
        return f"{client_id}-{self._ids:08d}"

    # -- what befalls it

    def is_down(self) -> bool:
        return self.timeline.now < self._down_until

    def broker_down(self, until: float) -> None:
        """Nothing is answered until then, not even what was asked before. No session ends meanwhile."""
        self.counts["broker_down"] += 1
        self.outages += 1
        self._down_until = max(self._down_until, until)
        for group in self.groups.values():
            group.spare(self._down_until)

    def broker_up(self) -> None:
        """Before the time that `broker_down` was told."""
        self._down_until = self.timeline.now

    def force_rebalance(self, group: str, moves: Mapping[Place, str] | None = None) -> None:
        """Moves partitions to the members named, or some at random, which may have them already and then get them back."""
        found = self.group(group)
        members = sorted(found.members)
        if moves is None:
            owned = sorted({place for member in found.members.values() for place in member.owned})
            moves = {place: self.random.choice(members) for place in owned if self.random.random() < 0.5}
        if members:
            found.force(moves)

    def take_and_give_back(self, group: str, places: Iterable[Place] | None = None) -> None:
        """Members lose partitions and get the same ones again; by default each partition with even chances."""
        owners = {place: m.id for m in self.group(group).members.values() for place in m.owned}
        chosen = [place for place in sorted(owners) if self.random.random() < 0.5] if places is None else list(places)
        self.force_rebalance(group, {place: owners[place] for place in chosen if place in owners})

    def lose(self, group: str, member_id: str, places: Iterable[Place] | None = None) -> None:
        """A member loses these partitions, by default all, without being asked for them first."""
        for consumer in self.consumers:
            if consumer.group == group and consumer.memberid() == member_id:
                self.counts["lost"] += 1
                consumer.lose(None if places is None else set(places))

    def members(self, group: str) -> dict[str, set[Place]]:
        """The members by their ids, and what each may be reading; for who checks."""
        return {member.id: set(member.owned) for member in self.group(group).members.values()}


class _Unlocked(AbstractContextManager[None]):
    """Where one thread does everything."""

    def __exit__(self, *_: object) -> None:
        return None
