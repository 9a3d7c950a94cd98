"""The coordinator under the `consumer` protocol (KIP-848): members are brought one by one to a target, by their heartbeats.

A partition goes to its next owner when the one before has acknowledged its loss, with a heartbeat that does not name it any
more, or has been fenced: after the rebalance timeout at the latest.

Commits: those of a member are stored for any partition, its own or not, as long as they carry its epoch; else
STALE_MEMBER_EPOCH (which librdkafka does not repeat), or UNKNOWN_MEMBER_ID.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, cast

from confluent_kafka import KafkaError

from tests.simulation.kafka.errors import Refused
from tests.simulation.kafka.group import Group, Joining, Member
from tests.simulation.kafka.messages import Place

if TYPE_CHECKING:
    from tests.simulation.kafka.cluster import Cluster


class Beat(NamedTuple):
    """The answer to a heartbeat; `assignment` is None where it has not changed."""

    epoch: int
    assignment: set[Place] | None


@dataclass(slots=True, eq=False)
class ConsumerMember(Member):
    """`owned` is what it has been given and what it is still to give up, `revoking`."""

    epoch: int = 0
    epoch_before: int = 0
    revoking: set[Place] = field(default_factory=set)
    told: set[Place] | None = None
    revocations: int = 0
    away: bool = False
    """A static member that has left, and is expected back."""


class ConsumerGroup(Group):
    """See above."""

    protocol = "consumer"

    def __init__(self, cluster: "Cluster", name: str) -> None:
        super().__init__(cluster, name)
        self._target: dict[str, set[Place]] = {}

    def heartbeat(self, member_id: str, epoch: int, joining: Joining, owned: set[Place] | None, full: bool) -> Beat:
        """`owned` comes with what acknowledges a change; a `full` one, after a lost answer, is told all again. Raises Refused."""
        if epoch == 0:
            member = self._join(member_id, joining)
        else:
            member = self._known(member_id)
            if epoch != member.epoch and not (full and epoch == member.epoch_before):
                raise Refused(KafkaError.FENCED_MEMBER_EPOCH)
        self.touch(member)
        if member.revoking and owned is not None and not owned & member.revoking:
            member.owned -= member.revoking
            member.revoking = set()
            member.revocations += 1
            self._given_up()
        self._reconcile(member)
        assignment = member.owned - member.revoking
        if assignment == member.told and epoch != 0 and not full:
            return Beat(member.epoch, None)
        member.told = set(assignment)
        return Beat(member.epoch, set(assignment))

    def leave(self, member_id: str) -> None:
        """A static member keeps its partitions until its session ends."""
        if member_id in self.members:
            member = self._known(member_id)
            if member.joining.instance_id is None:
                self.remove(member, "left")
            else:
                member.away = True

    def drop(self, member_id: str, places: set[Place]) -> None:
        """A fault: the member does not have these any more, without having been asked."""
        if member_id in self.members:
            member = self._known(member_id)
            member.owned -= places
            member.revoking -= places
            member.told = None
            self.rebalance()

    # -- as every group

    def rebalance(self) -> None:
        self.generation += 1
        self._cluster.counts["generations"] += 1
        self.withheld &= {place for member in self._all() for place in member.owned}  # the others may be given back
        self._target = self.target()

    def check_commit(self, member_id: str, generation: int) -> None:
        if not member_id and generation < 0 and not self.members:
            return
        if generation != self._known(member_id).epoch:
            raise Refused(KafkaError.STALE_MEMBER_EPOCH)

    def removed(self, member: Member) -> None:
        self.rebalance()

    # -- inside

    def _all(self) -> list[ConsumerMember]:
        return cast(list[ConsumerMember], list(self.members.values()))

    def _known(self, member_id: str) -> ConsumerMember:
        if member_id not in self.members:
            raise Refused(KafkaError.UNKNOWN_MEMBER_ID)
        return cast(ConsumerMember, self.members[member_id])

    def _join(self, member_id: str, joining: Joining) -> ConsumerMember:
        member = ConsumerMember(member_id, joining, 0.0)
        before = self.of_instance(joining.instance_id)
        if before is not None and before.id != member_id:  # the next life of a static member
            if not self._known(before.id).away:
                raise Refused(KafkaError.UNRELEASED_INSTANCE_ID)
            member.owned = set(before.owned)
            self.pinned = {place: member_id if owner == before.id else owner for place, owner in self.pinned.items()}
            del self.members[before.id]
        self.members[member_id] = member
        self.touch(member)
        self.watch(member)
        self.rebalance()
        if member.owned - self._target.get(member_id, set()):  # it names nothing as its own, so this waits for no revocation
            member.owned &= self._target.get(member_id, set())
            self._given_up()
        return member

    def _given_up(self) -> None:
        if self.withheld:
            self.rebalance()

    def _reconcile(self, member: ConsumerMember) -> None:
        """One step nearer to the target."""
        target = self._target.get(member.id, set())
        if member.revoking:
            return
        if leaving := member.owned - target:
            member.revoking = leaving
            self._watch_revocation(member)
            return
        taken = {place for other in self._all() if other is not member for place in other.owned}
        member.owned |= target - taken
        if member.epoch != self.generation:
            member.epoch_before, member.epoch = member.epoch, self.generation

    def _watch_revocation(self, member: ConsumerMember) -> None:
        number = member.revocations

        def look() -> None:
            if self.members.get(member.id) is member and member.revoking and member.revocations == number:
                self.remove(member, "rebalance_timeouts")

        self._cluster.timeline.after(member.joining.rebalance_timeout_s, look)
