"""The way of a client's requests to the cluster, and of the answers back."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from confluent_kafka import KafkaError

from tests.simulation.kafka.errors import Refused, error, exception
from tests.simulation.kafka.host import Host

if TYPE_CHECKING:
    from tests.simulation.kafka.cluster import Cluster

FROZEN_LOOK_S = 0.25
"""How often what has come for a frozen process asks whether it runs again."""

T = TypeVar("T")
Reply = Callable[[T], None]


@dataclass(slots=True, eq=False)
class _Request:
    """Under way, on its connection."""

    carry_out: Callable[[Reply[Any]], None]
    answered: Callable[[Any], None]
    lost: Callable[[], None]
    connection: int
    outages: int


class Wire:
    """One connection at a time, over which everything comes in the order in which it was sent.

    As a Kafka broker does, it begins with a request only when it has answered the one before: what is sent behind a join
    waits until the group's members are together.
    """

    def __init__(self, cluster: "Cluster", host: Host, on_error: Callable[[KafkaError], None] | None = None) -> None:
        self._cluster = cluster
        self._host = host
        self._on_error = on_error
        self._broken = False  # since the last answer
        self._connection = 0
        self._under_way: dict[_Request, None] = {}
        self._arrived: deque[_Request] = deque()
        self._serving = False
        self._last_arrival = self._last_return = 0.0
        self.closed = False
        """A closed one hears nothing."""

    def send(self, request: Callable[[Reply[T]], None], answered: Callable[[T], None], lost: Callable[[], None]) -> None:
        """`request` is carried out by the cluster, and calls what it is given with the answer, then or later.

        In place of `answered`, `lost` tells that the connection broke: nobody knows whether the request was carried out.
        """
        sent = _Request(request, answered, lost, self._connection, self._cluster.outages)
        self._under_way[sent] = None
        if not self._holds(sent):
            self.break_off()
            return
        timeline = self._cluster.timeline
        self._last_arrival = max(self._last_arrival, timeline.now + self._cluster.latency() / 2)
        timeline.at(self._last_arrival, lambda: self._arrive(sent))

    def tell(self, request: Callable[[], T], answered: Callable[[T], None], lost: Callable[[], None]) -> None:
        """As `send`, of what is answered at once."""
        self.send(lambda reply: reply(request()), answered, lost)

    def ask(self, request: Callable[[], T], timeout_s: float) -> T:
        """Blocks the calling thread for the answer. Raises KafkaException: refused, or not answered in time."""
        return _Question(self, self._cluster, self._host, request).answer(timeout_s)

    def hear(self, act: Callable[[], None]) -> None:
        """Carries out what the client's background does, as soon as it runs."""
        if self.closed:
            return
        if self._host.beating(self._cluster.timeline.now):
            act()
        else:
            self._cluster.timeline.after(FROZEN_LOOK_S, lambda: self.hear(act))

    def break_off(self) -> None:
        """The connection breaks: what is under way is lost, or its answer is."""
        self._connection += 1
        self._arrived.clear()
        self._serving = False
        lost, self._under_way = list(self._under_way), {}
        notice_s = self._cluster.notice_s()
        for request in lost:
            self._cluster.timeline.after(notice_s, lambda request=request: self.hear(lambda: self._lose(request)))  # type: ignore[misc]

    def _holds(self, request: _Request) -> bool:
        """Whether what is sent on the request's connection arrives."""
        same = request.connection == self._connection and request.outages == self._cluster.outages
        return same and self._host.connected and not self._cluster.is_down()

    def _arrive(self, request: _Request) -> None:
        if request not in self._under_way:
            return
        if not self._holds(request):
            self.break_off()
            return
        self._arrived.append(request)
        self._serve()

    def _serve(self) -> None:
        while self._arrived and not self._serving:
            request = self._arrived.popleft()
            self._serving = True
            request.carry_out(lambda answer, request=request: self._reply(request, answer))  # type: ignore[misc]

    def _reply(self, request: _Request, answer: object) -> None:
        if request.connection != self._connection:
            return
        timeline = self._cluster.timeline
        self._last_return = max(self._last_return, timeline.now + self._cluster.latency() / 2)
        timeline.at(self._last_return, lambda: self._come_back(request, answer))
        self._serving = False
        self._serve()

    def _come_back(self, request: _Request, answer: object) -> None:
        if request not in self._under_way:
            return
        if not self._holds(request):
            self.break_off()
            return
        del self._under_way[request]
        self.hear(lambda: self._take(request, answer))

    def _take(self, request: _Request, answer: object) -> None:
        self._broken = False
        request.answered(answer)

    def _lose(self, request: _Request) -> None:
        if not self._broken and self._on_error is not None:
            self._on_error(error(KafkaError._TRANSPORT, "simulated:9092/1: Disconnected"))
            self._on_error(error(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
        self._broken = True
        request.lost()


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
        if not self._over:
            self._wire.tell(self._carry_out, self._answered, self._lost)

    def _carry_out(self) -> T | Refused:
        try:
            return self._request()
        except Refused as refusal:
            return refusal

    def _answered(self, answer: T | Refused) -> None:
        self._answers.append(answer)
        self._parking.wake()

    def _lost(self) -> None:
        self._cluster.timeline.after(self._cluster.backoff_s(), self._ask)
