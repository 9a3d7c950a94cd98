"""The way of a client's requests to the cluster, and of the answers back."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from confluent_kafka import KafkaError

from tests.simulation.kafka.errors import Refused, error, exception
from tests.simulation.kafka.host import Host

if TYPE_CHECKING:
    from tests.simulation.kafka.cluster import Cluster

FROZEN_LOOK_S = 0.25
"""How often what has come for a frozen process asks whether it runs again."""

T = TypeVar("T")
Reply = Callable[[T], None]


class Wire:
    """Of one client. Its `lost` callbacks tell that a connection broke: nobody knows whether the request was carried out."""

    def __init__(self, cluster: "Cluster", host: Host, on_error: Callable[[KafkaError], None]) -> None:
        self._cluster = cluster
        self._host = host
        self._on_error = on_error
        self._broken = False  # since the last answer
        self.closed = False
        """A closed one hears nothing."""

    def send(self, request: Callable[[Reply[T]], None], answered: Callable[[T], None], lost: Callable[[], None]) -> None:
        """`request` is carried out by the cluster, and calls what it is given with the answer, then or later."""
        timeline = self._cluster.timeline
        if not self._reaches():
            timeline.after(self._cluster.notice_s(), lambda: self.hear(lambda: self._break(lost)))
            return
        epoch = self._cluster.outages

        def arrive() -> None:
            if self._reaches():
                request(reply)
            else:
                timeline.after(self._cluster.notice_s(), lambda: self.hear(lambda: self._break(lost)))

        def reply(answer: T) -> None:
            timeline.after(self._cluster.latency() / 2, lambda: come_back(answer))

        def come_back(answer: T) -> None:
            if self._reaches() and epoch == self._cluster.outages:
                self.hear(lambda: self._take(answered, answer))
            else:
                timeline.after(self._cluster.notice_s(), lambda: self.hear(lambda: self._break(lost)))

        timeline.after(self._cluster.latency() / 2, arrive)

    def tell(self, request: Callable[[], T], answered: Callable[[T], None], lost: Callable[[], None]) -> None:
        """As `send`, of what is answered at once."""
        self.send(lambda reply: reply(request()), answered, lost)

    def ask(self, request: Callable[[], T], timeout_s: float) -> T:
        """Blocks the calling thread for the answer. Raises KafkaException: refused, or not answered in time."""
        return _Question(self, self._cluster, self._host, request).answer(timeout_s)

    def _reaches(self) -> bool:
        return self._host.connected and not self._cluster.is_down()

    def hear(self, act: Callable[[], None]) -> None:
        """Carries out what the client's background does, as soon as it runs."""
        if self.closed:
            return
        if self._host.beating(self._cluster.timeline.now):
            act()
        else:
            self._cluster.timeline.after(FROZEN_LOOK_S, lambda: self.hear(act))

    def _take(self, answered: Callable[[T], None], answer: T) -> None:
        self._broken = False
        answered(answer)

    def _break(self, lost: Callable[[], None]) -> None:
        if not self._broken:
            self._broken = True
            self._on_error(error(KafkaError._TRANSPORT, "simulated:9092/1: Disconnected"))
            self._on_error(error(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
        lost()


class _Question(Generic[T]):
    """Asked again whenever the connection breaks, until it is answered or too late."""

    def __init__(self, wire: Wire, cluster: "Cluster", host: Host, request: Callable[[], T]) -> None:
        self._wire = wire
        self._cluster = cluster
        self._request = request
        self._parking = host.parking()
        self._answers: list[T | Refused] = []
        self._over = False

    def answer(self, timeout_s: float) -> T:
        deadline = self._cluster.timeline.now + (timeout_s if timeout_s >= 0 else self._cluster.settings.request_timeout_s)
        self._ask()
        while not self._answers:
            now = self._cluster.timeline.now
            if now >= deadline:
                self._over = True
                raise exception(KafkaError._TIMED_OUT)
            self._parking.wait(deadline)
            self._cluster.advance()
        answer = self._answers[0]
        if isinstance(answer, Refused):
            raise exception(answer.code)
        return answer

    def _ask(self) -> None:
        self._wire.send(self._carry_out, self._answered, self._lost)

    def _carry_out(self, reply: Reply[T | Refused]) -> None:
        try:
            answer: T | Refused = self._request()
        except Refused as refusal:
            answer = refusal
        reply(answer)

    def _answered(self, answer: T | Refused) -> None:
        self._answers.append(answer)
        self._parking.wake()

    def _lost(self) -> None:
        if not self._answers and not self._over:
            self._cluster.timeline.after(self._cluster.backoff_s(), self._ask)
