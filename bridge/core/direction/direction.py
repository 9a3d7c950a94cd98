"""In which direction a route carries records, and by which steps that changes: states, events, and the table of transitions.

A route has two paths that always read: `forward` carries native Kafka records to Kinesis, `reverse` carries foreign Kinesis
records to Kafka. A direction says which of them carry; records of the other are held.

A change first drains: no path starts that is off, and no attempt of a path that shall be off is started any more. `starting` is
its point of no return: written only when everything shows that it is drained. Until then the change can be given up, and
nothing has happened but a pause; after it the new direction rules, and the way back is another change.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, NamedTuple


class Path(StrEnum):
    """One of the two ways through the bridge, named by what it carries: native Kafka records, foreign Kinesis records."""

    FORWARD = "forward"
    REVERSE = "reverse"


class Direction(StrEnum):
    """Which paths carry."""

    FORWARD = "forward"
    BOTH = "both"
    REVERSE = "reverse"
    PAUSED = "paused"


PATHS: Mapping[Direction, frozenset[Path]] = {
    Direction.FORWARD: frozenset({Path.FORWARD}),
    Direction.BOTH: frozenset({Path.FORWARD, Path.REVERSE}),
    Direction.REVERSE: frozenset({Path.REVERSE}),
    Direction.PAUSED: frozenset(),
}


class Phase(StrEnum):
    """Where a change stands. In every phase but `active` one is under way."""

    ACTIVE = "active"
    DRAINING = "draining"
    STARTING = "starting"
    ABORTING = "aborting"


class Event(StrEnum):
    """What moves a route on. `request` and `abort` are the operator's; the others any replica finds in what Kafka shows."""

    REQUEST = "request"
    DRAINED = "drained"
    STARTED = "started"
    ABORT = "abort"
    DEADLINE = "deadline"
    RESUMED = "resumed"


class Move(NamedTuple):
    """To which phase, whether under a new epoch, and to which direction: the one `asked` for, the `same`, or `back`."""

    phase: Phase
    new_epoch: bool
    direction: Literal["asked", "same", "back"]


Refusal = Literal["under_way", "nothing_under_way", "too_late", "given_up_already", "not_now", "outdated", "same_direction"]

REFUSALS: Mapping[Refusal, str] = {
    "under_way": "another change of this route is under way: wait for its end, or abort it while it drains",
    "nothing_under_way": "no change of this route is under way: there is nothing to abort",
    "too_late": "the change is past its point of no return: when it is active, ask for the direction back",
    "given_up_already": "the change is being given up already: wait for its end",
    "not_now": "this does not happen in this phase: whoever found it looked at another state of the route",
    "outdated": "the route has changed since it was looked at: look again",
    "same_direction": "the route has this direction already",
}

TRANSITIONS: Mapping[tuple[Phase, Event], Move | Refusal] = {
    (Phase.ACTIVE, Event.REQUEST): Move(Phase.DRAINING, new_epoch=True, direction="asked"),
    (Phase.ACTIVE, Event.DRAINED): "not_now",
    (Phase.ACTIVE, Event.STARTED): "not_now",
    (Phase.ACTIVE, Event.ABORT): "nothing_under_way",
    (Phase.ACTIVE, Event.DEADLINE): "not_now",
    (Phase.ACTIVE, Event.RESUMED): "not_now",
    (Phase.DRAINING, Event.REQUEST): "under_way",
    (Phase.DRAINING, Event.DRAINED): Move(Phase.STARTING, new_epoch=False, direction="same"),
    (Phase.DRAINING, Event.STARTED): "not_now",
    (Phase.DRAINING, Event.ABORT): Move(Phase.ABORTING, new_epoch=True, direction="back"),
    (Phase.DRAINING, Event.DEADLINE): Move(Phase.ABORTING, new_epoch=True, direction="back"),
    (Phase.DRAINING, Event.RESUMED): "not_now",
    (Phase.STARTING, Event.REQUEST): "under_way",
    (Phase.STARTING, Event.DRAINED): "not_now",
    (Phase.STARTING, Event.STARTED): Move(Phase.ACTIVE, new_epoch=False, direction="same"),
    (Phase.STARTING, Event.ABORT): "too_late",
    (Phase.STARTING, Event.DEADLINE): "not_now",
    (Phase.STARTING, Event.RESUMED): "not_now",
    (Phase.ABORTING, Event.REQUEST): "under_way",
    (Phase.ABORTING, Event.DRAINED): "not_now",
    (Phase.ABORTING, Event.STARTED): "not_now",
    (Phase.ABORTING, Event.ABORT): "given_up_already",
    (Phase.ABORTING, Event.DEADLINE): "not_now",
    (Phase.ABORTING, Event.RESUMED): Move(Phase.ACTIVE, new_epoch=False, direction="same"),
}
"""Every pair of phase and event has its entry: a move, or why there is none."""
