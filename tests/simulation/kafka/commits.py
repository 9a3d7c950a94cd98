"""A client's offset commits: sent again where the connection breaks, answered for each partition."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, TopicPartition

from tests.simulation.kafka.errors import error
from tests.simulation.kafka.group import Committed
from tests.simulation.kafka.messages import Place
from tests.simulation.kafka.wire import Wire

if TYPE_CHECKING:
    from tests.simulation.kafka.cluster import Cluster

RETRIES = 2
"""Of one request, after which the client gives it up."""

Answered = Callable[[KafkaError | None, list[TopicPartition]], None]


class AnsweredOffset(TopicPartition):
    """With an error, which the library's own class does not let us set."""

    _error: KafkaError | None = None

    @property
    def error(self) -> KafkaError | None:  # type: ignore[override]
        return self._error


def answered_offset(place: Place, offset: int, metadata: str | None, code: int = 0) -> TopicPartition:
    answer: Any = AnsweredOffset(*place, offset) if metadata is None else AnsweredOffset(*place, offset, metadata)
    answer._error = error(code) if code else None
    return answer  # type: ignore[no-any-return]


class Commit:
    """One commit. What it says of the member is what holds when it is made, also where it is sent again later."""

    def __init__(
        self, cluster: "Cluster", wire: Wire, group: str, member: tuple[str, int], offsets: Sequence[TopicPartition]
    ) -> None:
        self._cluster = cluster
        self._wire = wire
        self._group = group
        self._member = member
        self._offsets: Mapping[Place, Committed] = {
            (o.topic, o.partition): Committed(o.offset, o.metadata or "") for o in sorted(offsets, key=_by_place)
        }
        self._retries = 0
        self._answered: Answered = lambda _error, _offsets: None
        self._give_up_at = 0.0

    def send(self, answered: Answered, wait_s: float) -> None:
        """`wait_s` is how long it may wait for a coordinator that cannot be reached."""
        self._answered = answered
        self._give_up_at = self._cluster.timeline.now + wait_s
        self._send()

    def _send(self) -> None:
        self._wire.send(self._arrive, self._end, self._lost)

    def _arrive(self, reply: Callable[[dict[Place, int]], None]) -> None:
        faults = self._cluster.faults
        if faults.happens("late_commits"):
            self._cluster.timeline.after(faults.chance.uniform(0.0, faults.commit_delay_s), lambda: self._store(reply))
        else:
            self._store(reply)

    def _store(self, reply: Callable[[dict[Place, int]], None]) -> None:
        faults = self._cluster.faults
        if faults.happens("refuse_commits"):
            reply(dict.fromkeys(self._offsets, faults.refusal))
        elif faults.happens("unanswered_commits"):
            if faults.unanswered_applied:
                self._carry_out()
            self._cluster.timeline.after(self._cluster.notice_s(), lambda: self._wire.hear(self._unanswered))
        else:
            reply(self._carry_out())

    def _carry_out(self) -> dict[Place, int]:
        return self._cluster.group(self._group).commit(*self._member, self._offsets)

    def _unanswered(self) -> None:
        self._retries += 1
        if self._retries > RETRIES:
            self._end(dict.fromkeys(self._offsets, KafkaError._TRANSPORT))
        else:
            self._cluster.timeline.after(self._cluster.backoff_s(), self._send)

    def _lost(self) -> None:
        """It waits for the coordinator to come back."""
        if self._cluster.timeline.now < self._give_up_at:
            self._cluster.timeline.after(self._cluster.backoff_s(), self._send)
        else:
            self._end(dict.fromkeys(self._offsets, KafkaError._TRANSPORT))

    def _end(self, codes: Mapping[Place, int]) -> None:
        """As librdkafka does, the last error of a partition is also that of the whole."""
        results = [
            answered_offset(place, committed.offset, committed.metadata, codes.get(place, 0))
            for place, committed in self._offsets.items()
        ]
        failed = [result.error for result in results if result.error is not None]
        self._answered(failed[-1] if failed else None, results)


def _by_place(offset: TopicPartition) -> Place:
    return offset.topic, offset.partition
