"""What the two group protocols have in common at the coordinator: members, sessions, committed offsets."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import KafkaError

from tests.simulation.kafka.assignor import assign
from tests.simulation.kafka.errors import Refused
from tests.simulation.kafka.messages import Place

if TYPE_CHECKING:
    from tests.simulation.kafka.cluster import Cluster

METADATA_BYTES_MAX = 4096
"""Default of `offset.metadata.max.bytes`."""


class Committed(NamedTuple):
    """An offset (next to read) with its metadata."""

    offset: int
    metadata: str


@dataclass(frozen=True, slots=True)
class Joining:
    """What a member says of itself; times in seconds."""

    client_id: str
    subscription: Callable[[Iterable[str]], frozenset[str]]
    """Which of the cluster's topics it wants."""
    session_timeout_s: float
    rebalance_timeout_s: float
    instance_id: str | None = None


@dataclass(slots=True, eq=False)
class Member:
    """A member as the coordinator knows it."""

    id: str
    joining: Joining
    deadline: float
    owned: set[Place] = field(default_factory=set)
    """What it may be reading: given to it, and not yet acknowledged as given up."""


class Group:
    """A consumer group. The subclasses are the protocols."""

    def __init__(self, cluster: "Cluster", name: str) -> None:
        self._cluster = cluster
        self.name = name
        self.offsets: dict[Place, Committed] = {}
        self.members: dict[str, Member] = {}
        self.generation = 0
        """With the `consumer` protocol the group's epoch."""
        self.pinned: dict[Place, str] = {}
        """Who is to have a partition, by order of `force_rebalance`."""
        self.withheld: set[Place] = set()
        """Given to nobody in the next assignment, then again to whom it is due."""

    # -- what a protocol decides

    def rebalance(self) -> None:
        """Members, their subscriptions or the topics have changed."""
        raise NotImplementedError

    def check_commit(self, member_id: str, generation: int) -> None:
        """Raises Refused where a commit of this member is not to be stored."""
        raise NotImplementedError

    def removed(self, member: Member) -> None:
        """A member is gone."""
        raise NotImplementedError

    # -- sessions

    def watch(self, member: Member) -> None:
        """Removes the member when its session is over."""

        def look() -> None:
            if self.members.get(member.id) is not member:
                return
            now = self._cluster.timeline.now
            if now < member.deadline:
                self._cluster.timeline.at(member.deadline, look)
            elif self.keeps_waiting(member):
                self._cluster.timeline.at(now + member.joining.session_timeout_s, look)
            else:
                self.remove(member, "sessions_expired")

        self._cluster.timeline.at(member.deadline, look)

    def keeps_waiting(self, _member: Member) -> bool:
        """Whether a member needs no heartbeat now, because the coordinator owes it an answer."""
        return False

    def touch(self, member: Member) -> None:
        """A heartbeat."""
        member.deadline = self._cluster.timeline.now + member.joining.session_timeout_s

    def spare(self, until: float) -> None:
        """Nobody's session ends because the cluster itself was away."""
        for member in self.members.values():
            member.deadline = max(member.deadline, until + member.joining.session_timeout_s)

    def remove(self, member: Member, why: str) -> None:
        self._cluster.counts[why] += 1
        del self.members[member.id]
        self.pinned = {place: owner for place, owner in self.pinned.items() if owner != member.id}
        self.removed(member)

    def of_instance(self, instance_id: str | None) -> Member | None:
        """The static member of this instance."""
        return next((m for m in self.members.values() if instance_id and m.joining.instance_id == instance_id), None)

    # -- assignment

    def target(self) -> dict[str, set[Place]]:
        """A balanced assignment near to the one that holds; what is withheld is left out, once."""
        topics = self._cluster.topics
        wanted = {
            member.id: [place for topic in member.joining.subscription(topics) for place in topics[topic]]
            for member in self.members.values()
        }
        owned = {member.id: member.owned for member in self.members.values()}
        target = assign(wanted, owned, self.pinned)
        for places in target.values():
            places -= self.withheld
        return target

    def force(self, moves: Mapping[Place, str]) -> None:
        """Gives partitions to these members; one that already has it loses it first and gets it back."""
        self._cluster.counts["forced_rebalances"] += 1
        owners = {place: member.id for member in self.members.values() for place in member.owned}
        self.pinned |= moves
        self.withheld |= {place for place, member in moves.items() if owners.get(place) == member}
        self.rebalance()

    # -- offsets

    def commit(self, member_id: str, generation: int, offsets: Mapping[Place, Committed]) -> dict[Place, int]:
        """The error code of each partition that is refused."""
        try:
            self.check_commit(member_id, generation)
        except Refused as refusal:
            self._cluster.counts["commits_fenced"] += 1
            return dict.fromkeys(offsets, refusal.code)
        refused = {}
        for place, committed in offsets.items():
            if place not in self._cluster.logs:
                refused[place] = KafkaError.UNKNOWN_TOPIC_OR_PART
            elif len(committed.metadata.encode()) > METADATA_BYTES_MAX:
                refused[place] = KafkaError.OFFSET_METADATA_TOO_LARGE
            else:
                self.offsets[place] = committed
                for hook in self._cluster.on_commit_stored:
                    hook(self.name, member_id, *place, *committed, self._cluster.timeline.now)
        return refused


class NoProtocol(Group):
    """A group without members so far: offsets may be committed by anybody."""

    def rebalance(self) -> None:
        """Nobody to assign to."""

    def check_commit(self, member_id: str, generation: int) -> None:
        if generation >= 0 or member_id:
            raise Refused(KafkaError.UNKNOWN_MEMBER_ID)

    def removed(self, member: Member) -> None:
        raise AssertionError(f"{member.id} was no member")
