"""The control topic, how far each replica has read it, how the replicas are: and what can happen to them.

A record that a replica decides on is one it has seen, which may not be the latest. The writer compares it with the latest.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import product
from typing import NamedTuple

from bridge.core.direction.control_record import ControlRecord, Held
from bridge.core.direction.decisions import RouteSays, due
from bridge.core.direction.direction import Direction, Event, Phase
from bridge.core.direction.transitions import (
    Basis,
    ChangeRefusedError,
    Request,
    aborted,
    advanced,
    basis_of,
    requested,
)
from tests.unit.core.direction.exploration.parts import DOWN, FROZEN, NOW_MS, REPLICAS, UP, LawBrokenError, Surroundings

DRAIN_MS = 10
LATE_MS = NOW_MS + DRAIN_MS + 1
PLAIN, LATE, FAULT = 0, 1, 2
"""Kinds of steps: one that happens by itself, a deadline or abort, a fault."""


class Control(NamedTuple):
    """`log` begins with the oldest record that a replica has yet to leave behind; `seen` are places in it, None while a replica
    is down. `asked` counts changes that were begun."""

    log: tuple[ControlRecord, ...]
    seen: tuple[int | None, int | None]
    replicas: tuple[str, str]
    asked: int

    @property
    def latest(self) -> ControlRecord:
        return self.log[-1]

    def surroundings(self) -> Surroundings:
        first, second = (None if place is None else self.log[place] for place in self.seen)
        return Surroundings(self.latest, (first, second), self.replicas)

    def mirrored(self) -> "Control":
        return self._replace(seen=self.seen[::-1], replicas=self.replicas[::-1])

    def read(self, replica: int, to_its_end: bool) -> "Control":
        place = self.seen[replica]
        assert place is not None
        return self._seeing(replica, len(self.log) - 1 if to_its_end else place + 1)

    def _seeing(self, replica: int, place: int | None) -> "Control":
        seen = (place, self.seen[1]) if replica == 0 else (self.seen[0], place)
        passed = min((place for place in seen if place is not None), default=len(self.log) - 1)
        first, second = (None if place is None else place - passed for place in seen)
        return self._replace(log=self.log[passed:], seen=(first, second))

    def with_replica(self, replica: int, state: str) -> "Control":
        replicas = (state, self.replicas[1]) if replica == 0 else (self.replicas[0], state)
        control = self._replace(replicas=replicas)
        if state == DOWN:
            return control._seeing(replica, None)
        if self.replicas[replica] == DOWN:  # a start reads the topic to its end
            return control._seeing(replica, len(self.log) - 1)
        return control

    def append(self, record: ControlRecord) -> "Control":
        check_appended(self.latest, record)
        return self._replace(log=(*self.log, record))


Applied = tuple[str, tuple[int | bool, ...]]
"""A method of a part and its arguments."""


class ControlStep(NamedTuple):
    """`parts` is what it does to each partition and slot: the name of a method with its arguments. One of `needed` is a step only
    where it does something to one of them."""

    label: str
    control: Control
    parts: Applied | None = None
    kind: int = PLAIN
    needed: bool = False


@cache
def steps(control: Control) -> tuple[ControlStep, ...]:
    """What replicas do and what happens to them."""
    return tuple(_steps(control))


def _steps(control: Control) -> Iterator[ControlStep]:
    for r in REPLICAS:
        state, place = control.replicas[r], control.seen[r]
        if state == UP and place is not None and place < len(control.log) - 1:
            yield ControlStep(f"{r} reads the next control record", control.read(r, to_its_end=False))
        if state == UP:
            to_its_end = control.read(r, to_its_end=True)
            yield ControlStep(
                f"{r} reads control to its end after an assignment", to_its_end, ("control_read", (r,)), needed=True
            )
            yield ControlStep(f"{r} sees what it lost", control, ("noticed", (r,)), needed=True)
        if state == FROZEN:
            yield ControlStep(f"{r} wakes up", control.with_replica(r, UP))
        if state != DOWN:
            yield ControlStep(f"the leases of {r} lapse", control, ("lapsed", (r, state == FROZEN)), needed=True)
        if state == DOWN:
            yield ControlStep(f"{r} starts again", control.with_replica(r, UP), ("restarted", (r,)))
        if state != UP and control.replicas[1 - r] == UP:
            yield ControlStep(f"the session of {r} expires", control, ("moved", (r, False)), needed=True)
        if state == UP:
            yield ControlStep(f"{r} freezes", control.with_replica(r, FROZEN), kind=FAULT)
        if state != DOWN:
            yield ControlStep(f"{r} crashes", control.with_replica(r, DOWN), ("crashed", (r,)), FAULT)


@cache
def operators_steps(control: Control, asks: tuple[Request, ...]) -> tuple[ControlStep, ...]:
    """The operator's first request; as faults another one, and an abort, which leads to where a deadline does."""
    found = []
    latest = control.latest
    if control.asked < len(asks):
        record = try_request(control, asks[control.asked])
        if record is not None:
            after = control.append(record)._replace(asked=control.asked + 1)
            kind = FAULT if control.asked else PLAIN
            found.append(ControlStep(f"an operator asks for {record.direction}", after, kind=kind))
    try:
        record = aborted(latest, basis_of(latest), latest.who, latest.why, NOW_MS)
        found.append(ControlStep("an operator aborts", control.append(record), kind=FAULT))
    except ChangeRefusedError:
        pass
    return tuple(found)


def try_request(control: Control, request: Request) -> ControlRecord | None:
    try:
        return requested(control.latest, basis_of(control.latest), request, NOW_MS)
    except ChangeRefusedError:
        return None


def found_out(control: Control, says: RouteSays, now_ms: int) -> Iterator[ControlStep]:
    """What a replica that is up and has seen the latest record finds in what Kafka shows. Which replica, makes no difference."""
    end = len(control.log) - 1
    if not any(control.replicas[r] == UP and control.seen[r] == end for r in REPLICAS):
        return
    event = due(control.latest, says, now_ms)
    if event is None or (now_ms != NOW_MS and event is not Event.DEADLINE):
        return
    record = advanced(control.latest, basis_of(control.latest), event, NOW_MS)
    if event is not Event.DRAINED and event is not Event.DEADLINE:
        check_taken_up(record, says)
    kind = LATE if event is Event.DEADLINE else PLAIN
    yield ControlStep(f"a replica finds the change {event}", control.append(record), kind=kind)


# -- laws of the control topic


def check_appended(before: ControlRecord, record: ControlRecord) -> None:
    """L8: each direction is asked for and has an epoch of its own."""
    same = record.direction is before.direction
    legal = {
        Phase.DRAINING: before.phase is Phase.ACTIVE and record.epoch == before.epoch + 1 and record.leaving is before.direction,
        Phase.STARTING: before.phase is Phase.DRAINING and record.epoch == before.epoch and same,
        Phase.ABORTING: before.phase is Phase.DRAINING
        and record.epoch == before.epoch + 1
        and record.direction is before.leaving
        and record.held is None,
        Phase.ACTIVE: before.phase in (Phase.STARTING, Phase.ABORTING) and record.epoch == before.epoch and same,
    }
    if not legal[record.phase]:
        raise LawBrokenError(f"L8 no surprise: {described(before)} is followed by {described(record)}")


def check_taken_up(record: ControlRecord, says: RouteSays) -> None:
    for part in (*says.partitions, *says.slots):
        if part is None or part.epoch != record.epoch or not part.begun:
            raise LawBrokenError(f"L8 no surprise: {described(record)} is said, and something does not act by it yet")


@cache
def check_refusals(latest: ControlRecord) -> None:
    """Who has looked at another record changes nothing, and nobody begins a change while one is under way."""
    for basis in (Basis(epoch, phase) for epoch, phase in product(range(1, latest.epoch + 1), Phase)):
        if basis != basis_of(latest):
            for event in Event:
                _refused(latest, f"{event} by who looked at {basis}", partial(advanced, latest, basis, event, NOW_MS))
        if basis != basis_of(latest) or latest.phase is not Phase.ACTIVE:
            for direction in Direction:
                request = Request(direction, Held.CARRY, "another", "", DRAIN_MS)
                _refused(latest, f"a second request at {basis}", partial(requested, latest, basis, request, NOW_MS))


def _refused(latest: ControlRecord, what: str, change: Callable[[], object]) -> None:
    try:
        change()
    except ChangeRefusedError:
        return
    raise LawBrokenError(f"L8 no surprise: {described(latest)} is changed by {what}")


def described(record: ControlRecord) -> str:
    return f"epoch {record.epoch} {record.phase} {record.leaving} -> {record.direction}"
