"""The changes that are explored: from which direction to which, with which word for held records, over which parts."""

from dataclasses import dataclass

from bridge.core.direction.control_record import Held
from bridge.core.direction.direction import Direction
from bridge.core.direction.transitions import Request, first_record
from tests.unit.core.direction.exploration.control import DRAIN_MS, Control
from tests.unit.core.direction.exploration.parts import NOW_MS, UP, beginning
from tests.unit.core.direction.exploration.search import Search

FORWARD, BOTH, REVERSE, PAUSED = Direction
CARRY, SKIP = Held

Owners = tuple[tuple[int, ...], tuple[int, ...]]
OWNERS: dict[str, list[Owners]] = {
    "two partitions, a slot": [((0, 0), (0,)), ((0, 0), (1,)), ((0, 1), (0,))],
    "a partition, two slots": [((0,), (0, 0)), ((1,), (0, 0)), ((0,), (0, 1))],
    "a partition, a slot": [((0,), (0,)), ((0,), (1,))],
}
"""Of partitions and of slots, replicas and like parts being alike."""
TWO_PARTITIONS, TWO_SLOTS, ONE_EACH = OWNERS


@dataclass(slots=True, frozen=True)
class Scenario:
    """`then` is what a second request asks for, once it is allowed. `idle`: the second of the two like parts has no record."""

    start: Direction
    to: Direction
    held: Held
    parts: str
    faults_max: int = 1
    then: Direction | None = None
    idle: bool = False

    @property
    def name(self) -> str:
        way = " -> ".join([self.start, self.to, *([self.then] if self.then else [])])
        return f"{way}, {self.held} held, {self.parts}{' (one idle)' if self.idle else ''}, {self.faults_max} faults at most"

    def search(self) -> Search:
        first = first_record("orders", self.start, "", NOW_MS)
        directions = [self.to, *([self.then] if self.then else [])]
        return Search(
            [beginning(first, partitions, slots, self.idle) for partitions, slots in OWNERS[self.parts]],
            Control((first,), (0, 0), (UP, UP), 0),
            tuple(Request(direction, self.held, "", "", DRAIN_MS) for direction in directions),
            self.faults_max,
        )


SCENARIOS = (
    Scenario(PAUSED, REVERSE, CARRY, TWO_SLOTS),
    Scenario(PAUSED, FORWARD, SKIP, TWO_PARTITIONS),
    Scenario(FORWARD, PAUSED, CARRY, ONE_EACH, faults_max=2),
    Scenario(REVERSE, PAUSED, CARRY, TWO_SLOTS),
    Scenario(FORWARD, REVERSE, CARRY, TWO_SLOTS, then=FORWARD),
    Scenario(FORWARD, REVERSE, SKIP, TWO_PARTITIONS, then=BOTH, idle=True),
    Scenario(PAUSED, BOTH, SKIP, TWO_SLOTS),
    Scenario(FORWARD, BOTH, CARRY, TWO_SLOTS),
    Scenario(REVERSE, BOTH, SKIP, TWO_SLOTS),
    Scenario(BOTH, PAUSED, CARRY, ONE_EACH, faults_max=2),
    Scenario(BOTH, REVERSE, CARRY, TWO_SLOTS, idle=True),
    Scenario(BOTH, FORWARD, CARRY, TWO_SLOTS, idle=True),
    Scenario(FORWARD, REVERSE, CARRY, TWO_PARTITIONS),
    Scenario(REVERSE, FORWARD, CARRY, TWO_PARTITIONS),
    Scenario(REVERSE, FORWARD, SKIP, TWO_PARTITIONS, faults_max=2, idle=True),
    Scenario(REVERSE, FORWARD, SKIP, TWO_SLOTS, faults_max=2, idle=True),
    Scenario(FORWARD, REVERSE, SKIP, TWO_SLOTS, faults_max=2),
    Scenario(FORWARD, REVERSE, CARRY, TWO_PARTITIONS, faults_max=2, idle=True),
)
"""Every change of direction. The switch and the way back with two faults over either; the small ones first, so that a bug is
found soon."""
