"""A client's offset commits: sent again where the connection breaks, answered for each partition."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tests.simulation.kafka.errors import error
from tests.simulation.kafka.group import Committed
from tests.simulation.kafka.host import Parking
from tests.simulation.kafka.messages import Place
from tests.simulation.kafka.wire import Wire

if TYPE_CHECKING:
    from tests.simulation.kafka.cluster import Cluster

Member = tuple[str, int]
"""Its id, and its generation or epoch."""
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

    def __init__(self, cluster: "Cluster", wire: Wire, group: str, member: Member, offsets: Sequence[TopicPartition]) -> None:
        self._cluster = cluster
        self._wire = wire
        self._group = group
        self._member = member
        self._offsets: Mapping[Place, Committed] = {
            (o.topic, o.partition): Committed(o.offset, o.metadata or "") for o in sorted(offsets, key=_by_place)
        }
        self._answered: Answered = lambda _error, _offsets: None
        self._give_up_at = 0.0

    def send(self, answered: Answered, wait_s: float) -> None:
        """`wait_s` is how long it may wait for a coordinator that cannot be reached."""
        self._answered = answered
        self._give_up_at = self._cluster.timeline.now + wait_s
        self._send()

    def _send(self) -> None:
        faults = self._cluster.faults
        if faults.happens("late_commits"):
            self._cluster.timeline.after(faults.chance.uniform(0.0, faults.commit_delay_s), self._send_now)
        else:
            self._send_now()

    def _send_now(self) -> None:
        self._wire.send(self._arrive, self._end, self._lost)

    def _arrive(self, reply: Callable[[dict[Place, int]], None]) -> None:
        faults = self._cluster.faults
        if faults.happens("refuse_commits"):
            reply(dict.fromkeys(self._offsets, faults.refusal))
        elif faults.happens("unanswered_commits"):
            if faults.unanswered_applied:
                self._carry_out()
            self._wire.break_off()
        elif faults.happens("slow_commits"):
            codes = self._carry_out()
            self._cluster.timeline.after(faults.chance.uniform(0.0, faults.commit_answer_s), lambda: reply(codes))
        else:
            reply(self._carry_out())

    def _carry_out(self) -> dict[Place, int]:
        return self._cluster.group(self._group).commit(*self._member, self._offsets)

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


class Commits:
    """Those of one client. `wait_s` is how long one may wait for a coordinator that cannot be reached."""

    def __init__(self, cluster: "Cluster", wire: Wire, group: str, wait_s: float, parking: Parking) -> None:
        self._cluster = cluster
        self._wire = wire
        self._group = group
        self._wait_s = wait_s
        self._parking = parking
        self._open = 0

    def begin(self, member: Member, offsets: Sequence[TopicPartition], answered: Answered) -> None:
        """Calls `answered` from the client's background."""
        self._open += 1

        def end(problem: KafkaError | None, results: list[TopicPartition]) -> None:
            self._open -= 1
            answered(problem, results)
            self._parking.wake()

        Commit(self._cluster, self._wire, self._group, member, offsets).send(end, self._wait_s)

    def carry_out(self, member: Member, offsets: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Blocks for the answer. Raises KafkaException where that is an error."""
        answers: list[tuple[KafkaError | None, list[TopicPartition]]] = []
        self.begin(member, offsets, lambda problem, results: answers.append((problem, results)))
        while not answers:
            self._parking.wait(float("inf"))
            self._cluster.advance()
        problem, results = answers[0]
        if problem is not None:
            raise KafkaException(problem)
        return results

    def finish(self, seconds: float) -> None:
        """Blocks until all are answered, at most so long."""
        give_up_at = self._cluster.timeline.now + seconds
        while self._open and self._cluster.timeline.now < give_up_at:
            self._parking.wait(give_up_at)
            self._cluster.advance()


def _by_place(offset: TopicPartition) -> Place:
    return offset.topic, offset.partition
