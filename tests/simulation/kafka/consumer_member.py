"""A member under the `consumer` protocol (KIP-848): one kind of request, the heartbeat, brings what it is to have."""

from collections.abc import Callable
from uuid import UUID

from confluent_kafka import KafkaError

from tests.simulation.kafka.consumer_group import Beat
from tests.simulation.kafka.errors import Refused
from tests.simulation.kafka.membership import Membership
from tests.simulation.kafka.messages import Place


class ConsumerMembership(Membership):
    """It knows nothing of its session: that it has ended the coordinator says, or nobody."""

    _target: set[Place] | None = None
    _beating = False
    _again = False  # a heartbeat as soon as the one under way is answered
    _full = False
    _changed = False  # what we have, and the coordinator is to be told
    _epoch = 0

    def start(self) -> None:
        self.member_id = str(UUID(int=self.cluster.random.getrandbits(128), version=4))
        super().start()

    def farewell(self) -> Callable[[], None]:
        return lambda: self.cluster.consumer_group(self.settings.group).leave(self.member_id)

    def _forget_group(self) -> None:
        self.generation, self._epoch, self._target = -1, 0, None

    def _part_lost(self, places: set[Place]) -> None:
        self.cluster.consumer_group(self.settings.group).drop(self.member_id, places)
        if self._target is not None:
            self._target = self._target - places

    def _go_on(self) -> None:
        if self._target is None or self._target == self.owned:
            if self._epoch == 0:
                self._beat()
            return
        added = self._target - self.owned
        if leaving := self.owned - self._target:
            self._call("revoke", leaving, lambda: self._take(added))
        else:
            self._take(added)

    def _take(self, added: set[Place]) -> None:
        """After a revocation the application is told also that nothing came in its place."""
        if not self._expelled:
            self._call("assign", added, self._acknowledge)

    def _acknowledge(self) -> None:
        self._again = self._changed = True
        self._beat()

    def _beat(self) -> None:
        if self._beating or self._expelled or self._idle or self._failed or self.ended:
            return
        self._beating, self._again = True, False
        member_id, epoch, full, changed = self.member_id, self._epoch, self._full, self._changed
        owned = set(self.owned) if changed else None
        self._full = self._changed = False

        def beat() -> Beat | Refused:
            try:
                group = self.cluster.consumer_group(self.settings.group)
                return group.heartbeat(member_id, epoch, self.settings.joining, owned, full)
            except Refused as refusal:
                return refusal

        def lost() -> None:
            self._changed = self._changed or changed
            self._beat_lost()

        self.wire.tell(beat, lambda answer: self._beaten(answer, epoch), lost)

    def _beat_lost(self) -> None:
        self._beating, self._full = False, True
        if not self.ended:
            self.cluster.timeline.after(self.cluster.backoff_s(), self._beat)

    def _beaten(self, answer: Beat | Refused, epoch: int) -> None:
        self._beating = False
        if self.ended or epoch != self._epoch or self._expelled:
            return
        if isinstance(answer, Refused):
            if answer.code == KafkaError.UNRELEASED_INSTANCE_ID:
                self._fail(answer.code)
            else:
                self._expel()
            return
        self._epoch = self.generation = answer.epoch
        if answer.assignment is not None:
            self._target = answer.assignment
        self._step()
        if self._again:
            self._beat()
