"""The coordinator under the `classic` protocol, with the cooperative assignor: rounds of join and sync.

A round begins when a member comes or goes, or asks for one. It ends when all members have joined again, or the longest
rebalance timeout is over. All members learn of it by their heartbeats and read on meanwhile. A partition that is to move is
given to nobody in the round that takes it away; its owner joins again when it has given it up, which is the next round.

Commits: those of a member of the current generation are stored for any partition, its own or not, also while a round gathers
its members. Between the end of the joins and the leader's sync they are refused with REBALANCE_IN_PROGRESS.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, cast

from confluent_kafka import KafkaError

from tests.simulation.kafka.errors import Refused
from tests.simulation.kafka.group import Group, Joining, Member
from tests.simulation.kafka.messages import Place

if TYPE_CHECKING:
    from tests.simulation.kafka.cluster import Cluster


class Joined(NamedTuple):
    """The answer to a join."""

    member_id: str
    generation: int


JoinReply = Callable[[Joined | Refused], None]
SyncReply = Callable[[set[Place] | Refused], None]


class State(Enum):
    """Of a group."""

    EMPTY = "Empty"
    GATHERING = "PreparingRebalance"
    SYNCING = "CompletingRebalance"
    STABLE = "Stable"


@dataclass(slots=True, eq=False)
class ClassicMember(Member):
    """With the answers that the coordinator owes it."""

    join_reply: JoinReply | None = None
    sync_reply: SyncReply | None = None
    assignment: set[Place] = field(default_factory=set)


class ClassicGroup(Group):
    """See above."""

    protocol = "classic"

    def __init__(self, cluster: "Cluster", name: str) -> None:
        super().__init__(cluster, name)
        self.state = State.EMPTY
        self._round = 0
        self._delayed = False  # the first round waits for more members
        self._fenced: set[str] = set()  # ids of former lives of static members

    # -- requests

    def join(self, member_id: str, joining: Joining, owned: set[Place], reply: JoinReply) -> None:
        member = self._member_of(member_id, joining)
        if member is None:
            reply(self._unknown(member_id))
            return
        returning = member.id not in self.members
        member = self._admitted(member, joining)
        member.joining, member.owned = joining, set(owned)
        self.touch(member)
        if returning and member.assignment and self.state is State.STABLE and self._complete():  # static, within its session
            member.owned |= member.assignment
            reply(Joined(member.id, self.generation))
            return
        member.join_reply = reply
        if self.state is not State.GATHERING:
            self.rebalance()
        self._end_gathering_if_complete()

    def sync(self, member_id: str, generation: int, reply: SyncReply) -> None:
        member = self._known(member_id)
        if member is None or generation != self.generation:
            reply(self._unknown(member_id) if member is None else Refused(KafkaError.ILLEGAL_GENERATION))
        elif self.state is State.GATHERING:
            reply(Refused(KafkaError.REBALANCE_IN_PROGRESS))
        elif self.state is State.STABLE:
            self.touch(member)
            reply(set(member.assignment))
        else:
            self.touch(member)
            member.sync_reply = reply
            if member is next(iter(self.members.values())):
                self._assign()

    def heartbeat(self, member_id: str, generation: int) -> None:
        """Raises Refused."""
        member = self._known(member_id)
        if member is None:
            raise self._unknown(member_id)
        if generation != self.generation:
            raise Refused(KafkaError.ILLEGAL_GENERATION)
        self.touch(member)
        if self.state is State.GATHERING:
            raise Refused(KafkaError.REBALANCE_IN_PROGRESS)

    def leave(self, member_id: str) -> None:
        if member := self._known(member_id):
            self.remove(member, "left")

    # -- as every group

    def rebalance(self) -> None:
        """Begins a round, unless one gathers already."""
        if not self.members:
            self.state = State.EMPTY
            return
        if self.state is State.GATHERING:
            return
        delay = self._cluster.settings.initial_rebalance_delay_s if self.state is State.EMPTY else None
        for member in self._all():
            if member.sync_reply is not None:
                member.sync_reply(Refused(KafkaError.REBALANCE_IN_PROGRESS))
                member.sync_reply = None
        if not self.members:  # whoever hears of it may leave at once
            return
        self.state = State.GATHERING
        self._round += 1
        this_round = self._round
        longest = max(member.joining.rebalance_timeout_s for member in self._all())
        self._delayed = delay is not None and delay > 0

        def end() -> None:
            if self._round == this_round and self.state is State.GATHERING:
                self._end_gathering()

        self._cluster.timeline.after(delay if delay is not None else longest, end)

    def check_commit(self, member_id: str, generation: int) -> None:
        if not member_id and generation < 0 and not self.members:
            return
        if member_id not in self.members:
            raise self._unknown(member_id)
        if generation != self.generation:
            raise Refused(KafkaError.ILLEGAL_GENERATION)
        if self.state is State.SYNCING:
            raise Refused(KafkaError.REBALANCE_IN_PROGRESS)

    def removed(self, member: Member) -> None:
        self.rebalance()
        if self.state is State.GATHERING:
            self._end_gathering_if_complete()

    def keeps_waiting(self, member: Member) -> bool:
        waiting = cast(ClassicMember, member)
        return waiting.join_reply is not None or waiting.sync_reply is not None

    # -- inside

    def _all(self) -> list[ClassicMember]:
        return cast(list[ClassicMember], list(self.members.values()))

    def _known(self, member_id: str) -> ClassicMember | None:
        return cast(ClassicMember | None, self.members.get(member_id))

    def _unknown(self, member_id: str) -> Refused:
        return Refused(KafkaError.FENCED_INSTANCE_ID if member_id in self._fenced else KafkaError.UNKNOWN_MEMBER_ID)

    def _member_of(self, member_id: str, joining: Joining) -> ClassicMember | None:
        """The member that joins: known, new, or the next life of a static one; None where its id is not known."""
        if member_id:
            return self._known(member_id)
        member = ClassicMember(self._cluster.new_id(joining.client_id), joining, 0.0)
        if before := self.of_instance(joining.instance_id):
            member.assignment = set(cast(ClassicMember, before).assignment)
        return member

    def _admitted(self, member: ClassicMember, joining: Joining) -> ClassicMember:
        if member.id in self.members:
            return member
        if before := self.of_instance(joining.instance_id):
            del self.members[before.id]
            self._fenced.add(before.id)
            self.pinned = {place: member.id if owner == before.id else owner for place, owner in self.pinned.items()}
        self.members[member.id] = member
        self.touch(member)
        self.watch(member)
        return member

    def _complete(self) -> bool:
        """Whether every partition has an owner. One that was between two owners when a static member died has none; a real
        coordinator leaves it so until the next round, whenever that is. Here the member's return is one."""
        topics = self._cluster.topics
        wanted = {place for m in self._all() for topic in m.joining.subscription(topics) for place in topics[topic]}
        return wanted <= {place for m in self._all() for place in m.assignment}

    def _end_gathering_if_complete(self) -> None:
        if self.state is State.GATHERING and not self._delayed and all(m.join_reply is not None for m in self._all()):
            self._end_gathering()

    def _end_gathering(self) -> None:
        """Those that have not joined are out; the others get the new generation."""
        for member in self._all():
            if member.join_reply is None and member.joining.instance_id is None:
                del self.members[member.id]
                self._cluster.counts["rebalance_timeouts"] += 1
        if not self.members:
            self.state = State.EMPTY
            return
        self.generation += 1
        self._cluster.counts["generations"] += 1
        self.state = State.SYNCING
        for member in self._all():
            self.touch(member)
            if member.join_reply is not None:
                member.join_reply(Joined(member.id, self.generation))
                member.join_reply = None

    def _assign(self) -> None:
        """The leader's sync: what moves is given to nobody yet."""
        owner = {place: member.id for member in self._all() for place in member.owned}
        self.withheld &= owner.keys()  # nobody would join again to get the others
        target = self.target()
        self.withheld.clear()
        for member in self._all():
            member.assignment = {place for place in target[member.id] if owner.get(place, member.id) == member.id}
            member.owned |= member.assignment
        self.state = State.STABLE
        for member in self._all():
            if member.sync_reply is not None:
                member.sync_reply(set(member.assignment))
                member.sync_reply = None
