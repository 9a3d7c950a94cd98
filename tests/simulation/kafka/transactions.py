"""Transactions of producers: the coordinator's part, which fences off, and decides what readers of committed records see."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError

from tests.simulation.kafka.errors import Refused
from tests.simulation.kafka.messages import Place

if TYPE_CHECKING:
    from tests.simulation.kafka.cluster import Cluster


@dataclass(slots=True)
class Transactional:
    """Of one transactional id. `written` are the offsets of the transaction that is open now, by partition."""

    epoch: int = 0
    number: int = 0
    ended: bool | None = None
    """How the last transaction of this epoch ended: committed, or aborted."""
    written: dict[Place, list[int]] = field(default_factory=dict)


class Transactions:
    """A transaction's records stand in the log at once; readers of committed records see nothing behind the first of an open one,
    and never those of an aborted one. Every end leaves a marker, which is an offset without a record."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self._of: dict[str, Transactional] = {}

    def initialise(self, name: str) -> int:
        """Fences off every producer of this id before, and aborts what it left open. Returns the epoch from now on."""
        found = self._of.setdefault(name, Transactional())
        if found.written:
            self._end(name, found, commit=False)
        found.epoch += 1
        found.ended = None
        return found.epoch

    def append(self, name: str, epoch: int, place: Place, offset: int, timeout_s: float) -> None:
        """A record of the open transaction was stored there."""
        found = self._of[name]
        if not found.written:
            found.number += 1
            number = found.number
            self._cluster.timeline.after(timeout_s, lambda: self._time_out(name, epoch, number))
        found.written.setdefault(place, []).append(offset)
        found.ended = None
        self._cluster.logs[place].open_from(name, offset)

    def check(self, name: str, epoch: int) -> None:
        """Raises Refused for a producer that was fenced off."""
        if self._of[name].epoch != epoch:
            raise Refused(KafkaError.PRODUCER_FENCED)

    def end(self, name: str, epoch: int, commit: bool) -> None:
        """The same request twice ends it once. Raises Refused."""
        self.check(name, epoch)
        found = self._of[name]
        if found.written:
            self._end(name, found, commit)
        elif found.ended is not None and found.ended != commit:
            raise Refused(KafkaError.INVALID_TXN_STATE)

    def _time_out(self, name: str, epoch: int, number: int) -> None:
        found = self._of[name]
        if found.written and (found.epoch, found.number) == (epoch, number):
            self._cluster.counts["transactions_timed_out"] += 1
            self._end(name, found, commit=False)
            found.epoch += 1

    def _end(self, name: str, found: Transactional, commit: bool) -> None:
        for place, offsets in found.written.items():
            log = self._cluster.logs[place]
            if not commit:
                log.remove(offsets)
            log.closed(name)
            self._cluster.append_hole(*place, 1)
        found.written = {}
        found.ended = commit
