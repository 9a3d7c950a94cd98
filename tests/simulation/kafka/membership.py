"""A client's part in its group, common to both protocols: one rebalance callback at a time, what is owned, what is lost."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from confluent_kafka import KafkaError

from tests.simulation.kafka.member_settings import MemberSettings
from tests.simulation.kafka.messages import Place
from tests.simulation.kafka.wire import Wire

if TYPE_CHECKING:
    from tests.simulation.kafka.cluster import Cluster

Kind = Literal["assign", "revoke", "lost"]
CallBack = Callable[[Kind, list[Place], Callable[[], None]], None]
"""Has a callback called by the application's thread, and then the function given, with what was done."""


class Membership:
    """The subclasses are the protocols. Everything here happens in the client's background, by the cluster's timeline."""

    def __init__(
        self,
        cluster: "Cluster",
        wire: Wire,
        settings: MemberSettings,
        call_back: CallBack,
        trouble: Callable[[KafkaError], None],
    ) -> None:
        self.cluster = cluster
        self.wire = wire
        self.settings = settings
        self.member_id = ""
        self.generation = -1
        self.owned: set[Place] = set()
        self.ended = False
        self.polled: Callable[[], float] = lambda: cluster.timeline.now
        """When the application polled last; now, while it polls."""
        self._call_back = call_back
        self._trouble = trouble
        self._busy = False  # with a callback
        self._losing: set[Place] | None = None  # by a fault, while the membership goes on
        self._expelled = False
        self._idle = False  # out of the group until the application polls
        self._failed = False
        self._topics: Any = None

    # -- from the application

    def start(self) -> None:
        self._tick()

    def lose(self, places: set[Place] | None) -> None:
        """A fault: these partitions (None: all) are gone, with or without the membership."""
        if places is None:
            self._expel()
        else:
            self._losing = (self._losing or set()) | places
            self._part_lost(places)
            self._step()

    def leaving(self) -> tuple[Kind, list[Place]]:
        """The client closes: how what it has goes. No rebalance callback is called any more."""
        self.ended = True
        return ("lost" if self._expelled else "revoke"), sorted(self.owned)

    def farewell(self) -> Callable[[], None]:
        """What the coordinator is told at last, by the member that we are now; to be carried out there."""
        raise NotImplementedError

    # -- what a protocol does

    def _beat(self) -> None:
        """Keeps the session, and hears of changes."""
        raise NotImplementedError

    def _go_on(self) -> None:
        """The next thing to do, with no callback under way and nothing to lose."""
        raise NotImplementedError

    def _forget_group(self) -> None:
        """The member is out; it will join anew."""
        raise NotImplementedError

    def _part_lost(self, places: set[Place]) -> None:
        """The group is to know that these are free."""
        raise NotImplementedError

    # -- common

    def _tick(self) -> None:
        if self.ended:
            return
        self.cluster.timeline.after(self.settings.heartbeat_s, self._tick)
        self.wire.hear(self._look)

    def _look(self) -> None:
        if self.ended or self._failed:
            return
        idle = self.cluster.timeline.now - self.polled() > self.settings.max_poll_interval_s
        if idle and not self._idle:
            self._idle = True
            self.cluster.counts["max_poll_exceeded"] += 1
            self._trouble(KafkaError(KafkaError._MAX_POLL_EXCEEDED))
            self.wire.tell(self.farewell(), lambda _: None, lambda: None)
            self._expel()
        elif self._idle and not idle:
            self._idle = False
            self._step()
        self._beat()

    def _expel(self) -> None:
        """We are no member any more: everything is lost."""
        self._expelled = True
        self._forget_group()
        self._step()

    def _fail(self, code: int) -> None:
        """For good: librdkafka calls it fatal. What we have is lost, and we do not join any more."""
        self._failed = True
        self._trouble(KafkaError(KafkaError._FATAL, f"Fatal consumer error: {KafkaError(code).str()}"))
        self._expel()

    def _step(self) -> None:
        """Goes on with what is to be done next, unless a callback is under way: then after it."""
        if self._busy or self.ended:
            return
        if self._expelled:
            if self.owned:
                self._call("lost", self.owned)
                return
            self._expelled, self._losing = False, None
        if self._losing:
            losing, self._losing = self._losing & self.owned, None
            if losing:
                self._call("lost", losing)
                return
        if not self._idle and not self._failed:
            self._go_on()

    def _call(self, kind: Kind, places: Iterable[Place], then: Callable[[], None] | None = None) -> None:
        """A callback; afterwards `then`, and the next step."""
        chosen = set(places)
        self._busy = True

        def done() -> None:
            self._busy = False
            self.owned = self.owned | chosen if kind == "assign" else self.owned - chosen
            if not self.ended:
                if then is not None:
                    then()
                self._step()

        self._call_back(kind, sorted(chosen), done)

    def kind_now(self, kind: Kind) -> Kind:
        """What a callback is called that was asked for a while ago: nobody is asked to give up what is lost already."""
        return "lost" if kind == "revoke" and self._expelled else kind
