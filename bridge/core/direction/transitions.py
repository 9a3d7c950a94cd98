"""The next control record of a route: the table of transitions applied, or the reason why there is none.

Whoever changes a route has looked at one control record (its `basis`). The writer reads the topic to its end and asks here again
with the latest one: of two who looked at the same record only the first changes it, and whoever was frozen meanwhile changes
nothing.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from bridge.core.direction.control_record import ControlRecord, Held
from bridge.core.direction.direction import REFUSALS, TRANSITIONS, Direction, Event, Move, Phase, Refusal
from bridge.core.errors import BridgeError


class ChangeRefusedError(BridgeError):
    """The route stays as it is; `reason` is a name of REFUSALS, its text the message."""

    def __init__(self, route: str, reason: Refusal) -> None:
        super().__init__(f"{route}: {REFUSALS[reason]}")
        self.reason = reason


class Basis(NamedTuple):
    """The control record that somebody looked at before deciding."""

    epoch: int
    phase: Phase


@dataclass(slots=True, frozen=True)
class Request:
    """An operator's word: where to, what becomes of held records, who asks and why, which guards are passed over, how long (ms)
    the change may drain before it is given up."""

    direction: Direction
    held: Held | None
    who: str
    why: str
    drain_ms: int
    overridden: tuple[str, ...] = ()


def basis_of(record: ControlRecord) -> Basis:
    """What a decision that was made by this record is based on."""
    return Basis(record.epoch, record.phase)


def first_record(
    route: str, direction: Direction, who: str, now_ms: int, slices: int | None = None, fingerprint: str | None = None
) -> ControlRecord:
    """What a route begins with that the control topic does not know yet: its configured direction, as epoch 1."""
    return ControlRecord(
        route, 1, Phase.ACTIVE, direction, direction, now_ms, who=who, why="first run", slices=slices, fingerprint=fingerprint
    )


def requested(latest: ControlRecord, basis: Basis, request: Request, now_ms: int) -> ControlRecord:
    """The record that begins a change. Raises ChangeRefusedError."""
    move = _move(latest, basis, Event.REQUEST)
    if request.direction == latest.direction:
        raise ChangeRefusedError(latest.route, "same_direction")
    return replace(
        latest,
        epoch=latest.epoch + move.new_epoch,
        phase=move.phase,
        direction=request.direction,
        leaving=latest.direction,
        since_ms=now_ms,
        deadline_ms=now_ms + request.drain_ms,
        who=request.who,
        why=request.why,
        held=request.held,
        overridden=request.overridden,
    )


def aborted(latest: ControlRecord, basis: Basis, who: str, why: str, now_ms: int) -> ControlRecord:
    """The record that gives up a change by an operator's word. Raises ChangeRefusedError."""
    return replace(advanced(latest, basis, Event.ABORT, now_ms), who=who, why=why)


def advanced(latest: ControlRecord, basis: Basis, event: Event, now_ms: int) -> ControlRecord:
    """The record after an event that is no request. Raises ChangeRefusedError."""
    move = _move(latest, basis, event)
    record = replace(latest, epoch=latest.epoch + move.new_epoch, phase=move.phase, since_ms=now_ms, deadline_ms=None)
    if move.direction == "back":
        return replace(record, direction=latest.leaving, leaving=latest.direction, held=None, overridden=())
    return record


def _move(latest: ControlRecord, basis: Basis, event: Event) -> Move:
    move = TRANSITIONS[latest.phase, event]
    if not isinstance(move, Move):
        raise ChangeRefusedError(latest.route, move)
    if basis != basis_of(latest):
        raise ChangeRefusedError(latest.route, "outdated")
    return move
