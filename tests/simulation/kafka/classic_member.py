"""A member under the `classic` protocol: joins, syncs, sends heartbeats, joins again when it is told to."""

from collections.abc import Callable

from confluent_kafka import KafkaError

from tests.simulation.kafka.classic_group import Joined
from tests.simulation.kafka.errors import Refused
from tests.simulation.kafka.membership import Membership
from tests.simulation.kafka.messages import Place


class ClassicMembership(Membership):
    """It reads on while it joins again. Under `_step` it gives up first, then takes, then joins again if it gave up."""

    _joining = False
    _rejoin = True
    _assignment: set[Place] | None = None
    _contact = 0.0
    _refreshed_at = 0.0

    def start(self) -> None:
        super().start()
        self._step()

    def farewell(self) -> Callable[[], None]:
        """A static member says nothing."""
        member_id, static = self.member_id, self.settings.joining.instance_id is not None
        group = self.cluster.classic_group
        return lambda: None if static else group(self.settings.group).leave(member_id)

    def _forget_group(self) -> None:
        self.member_id, self.generation = "", -1
        self._rejoin, self._assignment = True, None

    def _part_lost(self, places: set[Place]) -> None:
        self._rejoin = True

    def _go_on(self) -> None:
        if self._assignment is not None:
            target, self._assignment = self._assignment, None
            added = target - self.owned
            if leaving := self.owned - target:
                self._call("revoke", leaving, lambda: self._take(added))
            else:
                self._call("assign", added)
        elif self._rejoin and not self._joining:
            self._join()

    def _take(self, added: set[Place]) -> None:
        """What was given up is given to others in the next round only."""
        self._rejoin = True
        if not self._expelled:
            self._call("assign", added)

    def _join(self) -> None:
        self._joining, self._rejoin = True, False
        member_id, owned, joining = self.member_id, set(self.owned), self.settings.joining
        self._topics = self._wanted_topics()
        group = self.cluster.classic_group
        self.wire.send(
            lambda reply: group(self.settings.group).join(member_id, joining, owned, reply), self._joined, self._join_lost
        )

    def _joined(self, answer: Joined | Refused) -> None:
        if self.ended:
            return
        self._contact = self.cluster.timeline.now
        if isinstance(answer, Refused):
            self._join_refused(answer.code)
            return
        self.member_id, self.generation = answer
        group, (member_id, generation) = self.cluster.classic_group, answer
        self.wire.send(lambda reply: group(self.settings.group).sync(member_id, generation, reply), self._synced, self._join_lost)

    def _synced(self, answer: set[Place] | Refused) -> None:
        if self.ended:
            return
        self._contact = self.cluster.timeline.now
        if isinstance(answer, Refused):
            self._join_refused(answer.code)
            return
        self._joining = False
        if not self._expelled:
            self._assignment = answer
        self._step()

    def _join_refused(self, code: int) -> None:
        self._joining, self._rejoin = False, True
        if code == KafkaError.FENCED_INSTANCE_ID:
            self._fail(code)
        elif code == KafkaError.REBALANCE_IN_PROGRESS:
            self._step()
        else:
            self._expel()

    def _join_lost(self) -> None:
        if not self.ended:
            self._joining, self._rejoin = False, True
            self.cluster.timeline.after(self.cluster.backoff_s(), self._step)

    def _beat(self) -> None:
        self._refresh_topics()
        if self._joining or not self.member_id:
            return
        if self.cluster.timeline.now - self._contact > self.settings.joining.session_timeout_s:
            self.cluster.counts["sessions_given_up"] += 1
            self._expel()
            return
        member_id, generation = self.member_id, self.generation

        def beat() -> int:
            try:
                self.cluster.classic_group(self.settings.group).heartbeat(member_id, generation)
            except Refused as refusal:
                return refusal.code
            return 0

        self.wire.tell(beat, lambda code: self._beaten(code, member_id, generation), lambda: None)

    def _beaten(self, code: int, member_id: str, generation: int) -> None:
        if self.ended or (member_id, generation) != (self.member_id, self.generation) or self._joining:
            return
        if code in (0, KafkaError.REBALANCE_IN_PROGRESS):
            self._contact = self.cluster.timeline.now
        if code == KafkaError.REBALANCE_IN_PROGRESS:
            self._rejoin = True
            self._step()
        elif code == KafkaError.FENCED_INSTANCE_ID:
            self._fail(code)
        elif code:
            self._expel()

    def _refresh_topics(self) -> None:
        """A new topic, or more partitions of one: the member asks for a round."""
        now = self.cluster.timeline.now
        if now - self._refreshed_at < self.settings.metadata_refresh_s or self.cluster.is_down():
            return
        self._refreshed_at = now
        if not self._joining and self.member_id and self._topics != self._wanted_topics():
            self._rejoin = True
            self._step()

    def _wanted_topics(self) -> dict[str, int]:
        topics = self.cluster.topics
        return {topic: len(topics[topic]) for topic in sorted(self.settings.joining.subscription(topics))}
