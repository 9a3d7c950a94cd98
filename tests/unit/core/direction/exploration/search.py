"""Through all states, breadth first, so that what breaks a law is told by the shortest way to it.

States that differ only in which replica, partition or slot is which are one. A state is four or so small numbers: the control
with the replicas, and each part; what a part can do is worked out once for all states in which it meets the same.
"""

import gc
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bridge.core.direction.control_record import ControlRecord
from bridge.core.direction.decisions import RouteSays, drained
from bridge.core.direction.direction import Phase
from bridge.core.direction.transitions import Request
from tests.unit.core.direction.exploration.control import (
    FAULT,
    LATE,
    LATE_MS,
    PLAIN,
    Applied,
    Control,
    check_refusals,
    described,
    found_out,
    operators_steps,
    steps,
)
from tests.unit.core.direction.exploration.parts import (
    NOW_MS,
    UP,
    Beginning,
    LawBrokenError,
    PartitionPart,
    SlotPart,
    check_bridged,
)

Part = PartitionPart | SlotPart
State = tuple[int, ...]
"""Numbers of the control and of each part, partitions first."""
Reached = tuple[State, State | None, str]
"""A state, the one before it, and what happened between."""


Followed = tuple[str, int, State]
"""What happens, of which kind it is, and the state after it."""


class BrokenLaw(NamedTuple):
    """Which law, and the shortest way there."""

    law: str
    steps: list[str]


class Table:
    """Values numbered from 1 in the order in which they were met."""

    def __init__(self) -> None:
        self.numbers: dict[object, int] = {}
        self.values: list[Any] = [None]

    def number(self, value: object) -> int:
        found = self.numbers.get(value)
        if found is None:
            found = self.numbers[value] = len(self.values)
            self.values.append(value)
        return found


Edges = tuple["array[int]", "array[int]"]
"""Numbers of states: where steps begin, and where they end."""


class Outcomes(dict[int, int]):
    """What becomes of each part by a method with these arguments."""

    def __init__(self, what: Applied) -> None:
        super().__init__()
        self.what = what


class EveryOutcome(dict[Applied | None, Outcomes | None]):
    def __missing__(self, what: Applied | None) -> Outcomes | None:
        found = self[what] = None if what is None else Outcomes(what)
        return found


OfControl = tuple[str, int, bool, int, Outcomes | None]
"""What happens, of which kind it is, whether only where it changes a part, the control after it, and what becomes of parts."""


@dataclass(slots=True)
class Outcome:
    """What was seen: how many states and steps, the first law that was broken."""

    states: int = 0
    transitions: int = 0
    ends: int = 0
    broken: BrokenLaw | None = None


@dataclass(slots=True)
class Search:
    """One change from every way in which its parts can be owned. `asks`: what the operator asks for, and what next."""

    beginnings: list[Beginning]
    first: Control
    asks: tuple[Request, ...]
    faults_max: int
    controls: Table = field(default_factory=Table)
    parts: Table = field(default_factory=Table)
    of_part: dict[tuple[int, int], list[tuple[str, int, int]]] = field(default_factory=dict)
    of_control: dict[int, list[OfControl]] = field(default_factory=dict)
    of_says: dict[State, tuple[bool, list[tuple[str, int, int]]]] = field(default_factory=dict)
    says: Table = field(default_factory=Table)
    says_of: dict[int, int] = field(default_factory=dict)
    applied: EveryOutcome = field(default_factory=EveryOutcome)
    mirrors: dict[int, int] = field(default_factory=dict)
    mirrored_controls: dict[int, int] = field(default_factory=dict)
    checked: set[State] = field(default_factory=set)
    around: Table = field(default_factory=Table)
    around_of: dict[int, int] = field(default_factory=dict)
    partitions: int = 0
    numbers: dict[State, int] = field(default_factory=dict)
    came: list[tuple[State | None, str]] = field(default_factory=list)
    edges: dict[int, Edges] = field(default_factory=lambda: {PLAIN: (array("i"), array("i")), LATE: (array("i"), array("i"))})

    def run(self) -> Outcome:
        """Goes through all; stops at the first law that is broken."""
        collects = gc.isenabled()
        gc.disable()  # nothing here is a cycle, and looking for some takes a third of the time
        try:
            return self._run(Outcome())
        finally:
            if collects:
                gc.enable()

    def _run(self, outcome: Outcome) -> Outcome:
        state: State = ()
        try:
            reached: list[Reached] = [(state, None, "the beginning") for state in self._starts()]
            for faults_left in range(self.faults_max, -1, -1):
                queue = deque(state for state, before, label in reached if self._new(state, before, label))
                reached = []
                while queue:
                    state = queue.popleft()
                    self._go_on(state, queue, reached if faults_left else None, outcome)
            outcome.ends = self._check_ends()
        except LawBrokenError as error:
            outcome.broken = BrokenLaw(error.args[0], self._way_to(error.args[1] if len(error.args) > 1 else state))
        outcome.states = len(self.numbers)
        return outcome

    def _go_on(self, state: State, queue: deque[State], after_fault: list[Reached] | None, outcome: Outcome) -> None:
        """States after a fault wait until all with fewer are done: what was reached with fewer need not be gone through again."""
        number = self.numbers[state]
        stuck, latest = self._is_stuck(state), self._latest(state)
        was_drained, found = self._told(state)
        for label, kind, raw in self._next(state, found, after_fault is not None and not self._is_over(state)):
            as_fault = kind == FAULT or (kind == LATE and not stuck)
            if as_fault and after_fault is None:
                continue
            following = self._merged(raw)
            if as_fault:
                if after_fault is not None and following not in self.numbers:
                    after_fault.append((following, state, label))
            else:
                if self._new(following, state, label):
                    queue.append(following)
                sources, targets = self.edges[kind]
                sources.append(number)
                targets.append(self.numbers[following])
            outcome.transitions += 1
            if was_drained and not self._told(following)[0] and self._latest(following) == latest:
                raise LawBrokenError(f"L8 no surprise: what was drained is so no more when {label}", state)

    def _new(self, state: State, before: State | None, label: str) -> bool:
        if state in self.numbers:
            return False
        self.numbers[state] = len(self.numbers)
        self.came.append((before, label))
        try:
            self._check(state)
        except LawBrokenError as error:
            raise LawBrokenError(error.args[0], state) from error
        return True

    # -- states

    def _starts(self) -> Iterator[State]:
        for begin in self.beginnings:
            self.partitions = len(begin.partitions)
            yield self._merged((self.controls.number(self.first), *map(self.parts.number, (*begin.partitions, *begin.slots))))

    def _merged(self, state: State) -> State:
        """The one that stands for all that differ by names only."""
        cut = self.partitions + 1
        one = (state[0], *sorted(state[1:cut]), *sorted(state[cut:]))
        mirrors = self.mirrors
        control = self.mirrored_controls.get(state[0]) or self._mirror(self.mirrored_controls, self.controls, state[0])
        if control > state[0]:
            return one
        parts = [mirrors.get(part) or self._mirror(mirrors, self.parts, part) for part in state[1:]]
        other = (control, *sorted(parts[: cut - 1]), *sorted(parts[cut - 1 :]))
        return one if one < other else other

    def _mirror(self, mirrors: dict[int, int], table: Table, number: int) -> int:
        found = mirrors[number] = table.number(table.values[number].mirrored())
        return found

    def _latest(self, state: State) -> ControlRecord:
        control: Control = self.controls.values[state[0]]
        return control.latest

    def _around(self, control: int) -> int:
        found = self.around_of.get(control)
        if found is None:
            found = self.around_of[control] = self.around.number(self.controls.values[control].surroundings())
        return found

    def _told(self, state: State) -> tuple[bool, list[tuple[str, int, int]]]:
        """Whether the change is drained, and what a replica finds out: worked out once for what the parts say."""
        says_of = self.says_of
        key = (state[0], *[says_of.get(part) or self._say(part) for part in state[1:]])
        found = self.of_says.get(key)
        if found is None:
            control: Control = self.controls.values[state[0]]
            said = [self.says.values[number] for number in key[1:]]
            route = RouteSays(tuple(said[: self.partitions]), tuple(said[self.partitions :]))
            steps_found = [step for now_ms in (NOW_MS, LATE_MS) for step in found_out(control, route, now_ms)]
            is_drained = control.latest.phase is Phase.DRAINING and drained(control.latest, route)
            found = is_drained, [(step.label, step.kind, self.controls.number(step.control)) for step in steps_found]
            self.of_says[key] = found
        return found

    def _say(self, part: int) -> int:
        found = self.says_of[part] = self.says.number(self.parts.values[part].says)
        return found

    # -- steps

    def _next(self, state: State, found: list[tuple[str, int, int]], with_faults: bool) -> Iterator[Followed]:
        control, parts = state[0], state[1:]
        around = self._around(control)
        for place, part in enumerate(parts, 1):
            steps_of = self.of_part.get((around, part))
            if steps_of is None:
                steps_of = self._part_steps(around, part)
            for label, kind, after in steps_of:
                if with_faults or kind == PLAIN:
                    yield label, kind, (*state[:place], after, *state[place + 1 :])
        for label, kind, needed, number, applied in self.of_control.get(control) or self._control_steps(control):
            if kind != FAULT or with_faults:
                after_all = (
                    parts if applied is None else tuple([applied.get(part) or self._apply(applied, part) for part in parts])
                )
                if not needed or after_all != parts:
                    yield label, kind, (number, *after_all)
        for label, kind, number in found:
            yield label, kind, (number, *parts)
        if with_faults and self.controls.values[control].replicas == (UP, UP):
            for place, part in enumerate(parts, 1):
                owner = self.parts.values[part].owner
                moved = self.applied["moved", (owner, True)]
                assert moved is not None
                after = moved.get(part) or self._apply(moved, part)
                yield f"a rebalance takes a part from {owner}", FAULT, (*state[:place], after, *state[place + 1 :])

    def _part_steps(self, around: int, part: int) -> list[tuple[str, int, int]]:
        steps_of = self.parts.values[part].steps(self.around.values[around])
        found = [(step.label, FAULT if step.fault else PLAIN, self.parts.number(step.part)) for step in steps_of]
        self.of_part[around, part] = found
        return found

    def _control_steps(self, control: int) -> list[OfControl]:
        value = self.controls.values[control]
        found = [
            (step.label, step.kind, step.needed, self.controls.number(step.control), self.applied[step.parts])
            for step in [*steps(value), *operators_steps(value, self.asks)]
        ]
        self.of_control[control] = found
        return found

    def _apply(self, applied: Outcomes, part: int) -> int:
        method, arguments = applied.what
        found = applied[part] = self.parts.number(getattr(self.parts.values[part], method)(*arguments))
        return found

    # -- laws

    def _check(self, state: State) -> None:
        """Each combination of a part with what it meets is looked at once."""
        around, checked = self._around(state[0]), self.checked
        surroundings = self.around.values[around]
        if (around,) not in checked:
            checked.add((around,))
            check_refusals(surroundings.latest)
        for part in state[1:]:
            if (around, part) not in checked:
                checked.add((around, part))
                value = self.parts.values[part]
                value.check(surroundings)
                if isinstance(value, PartitionPart):
                    value.check_copies(surroundings)
        for partition in state[1 : self.partitions + 1]:
            for slot in state[self.partitions + 1 :]:
                if (around, partition, slot) not in checked:
                    checked.add((around, partition, slot))
                    check_bridged(self.parts.values[partition], self.parts.values[slot], surroundings)

    def _is_end(self, state: State) -> bool:
        control: Control = self.controls.values[state[0]]
        end = len(control.log) - 1
        if control.latest.phase is not Phase.ACTIVE or control.replicas != (UP, UP) or control.seen != (end, end):
            return False
        return all(self.parts.values[part].settled(control.latest) for part in state[1:])

    def _check_ends(self) -> int:
        """From every state the change ends, and what shall be carried then is, without another fault. And while nothing is
        beyond repair a change that drains can be made, not only given up."""
        states = list(self.numbers)
        ends = [number for number, state in enumerate(states) if self._is_end(state)]
        reach = self._reaching(ends, (PLAIN, LATE))
        for number, state in enumerate(states):
            if not reach[number]:
                raise LawBrokenError("L8 no surprise: a change never ends", state)
        made = [number for number, state in enumerate(states) if self._latest(state).phase is Phase.STARTING]
        reach = self._reaching(made, (PLAIN,))
        for number, state in enumerate(states):
            if not reach[number] and self._latest(state).phase is Phase.DRAINING and not self._is_stuck(state):
                raise LawBrokenError("L8 no surprise: a change can only be given up", state)
        return len(ends)

    def _is_over(self, state: State) -> bool:
        """Whether the change is over and known to all. What goes on from here is the time before a change of the direction that
        rules now, which is explored as the beginning of another one."""
        control: Control = self.controls.values[state[0]]
        if control.latest.phase is not Phase.ACTIVE or control.asked < len(self.asks):
            return False
        return all(place in (None, len(control.log) - 1) for place in control.seen)

    def _is_stuck(self, state: State) -> bool:
        """Whether a partition cannot be settled: then only the deadline ends the change, which counts as a fault otherwise."""
        return any(self.parts.values[part].record == "lost_track" for part in state[1:])

    def _reaching(self, goals: list[int], kinds: tuple[int, ...]) -> bytearray:
        """Which states lead to one of these by such steps."""
        count = len(self.numbers)
        first, links = _backwards(count, [self.edges[kind] for kind in kinds])
        reach = bytearray(count)
        stack = list(goals)
        for goal in goals:
            reach[goal] = 1
        while stack:
            number = stack.pop()
            for source in links[first[number] : first[number + 1]]:
                if not reach[source]:
                    reach[source] = 1
                    stack.append(source)
        return reach

    def _way_to(self, state: State) -> list[str]:
        way: list[str] = []
        at: State | None = state
        while at is not None and at in self.numbers:
            before, label = self.came[self.numbers[at]]
            control: Control = self.controls.values[at[0]]
            way.append(f"{label} [{described(control.latest)}; seen {control.seen}; {', '.join(control.replicas)}]")
            at = before
        return way[::-1]


def _backwards(count: int, edges: list[Edges]) -> Edges:
    """Sources in the order of their targets, and where each target's begin."""
    first = array("i", bytes(4 * (count + 2)))
    for _, targets in edges:
        for target in targets:
            first[target + 2] += 1
    for number in range(2, count + 2):
        first[number] += first[number - 1]
    links = array("i", bytes(4 * first[-1]))
    for sources, targets in edges:
        for source, target in zip(sources, targets, strict=True):
            links[first[target + 1]] = source
            first[target + 1] += 1
    return first, links
