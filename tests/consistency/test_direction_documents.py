"""ARCHITECTURE.md shows the transitions and the guards of a direction as the code has them.

`python -m tests.consistency.test_direction_documents` writes the generated parts anew.
"""

from pathlib import Path

import pytest

from bridge.core.direction.direction import PATHS, REFUSALS, TRANSITIONS, Direction, Event, Move, Phase
from bridge.core.direction.direction import Path as Way
from bridge.core.direction.guards import GUARDS

ROOT = Path(__file__).parents[2]
ARCHITECTURE = ROOT / "ARCHITECTURE.md"
MADE_BY = "(made by `python -m tests.consistency.test_direction_documents`)"
OPERATORS = (Event.REQUEST, Event.ABORT)


def marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin {MADE_BY} -->", f"<!-- {name}: end -->"


def diagram() -> str:
    """Moves of one phase to another are one arrow."""
    arrows: dict[tuple[Phase, Phase], list[str]] = {}
    for (phase, event), move in TRANSITIONS.items():
        if isinstance(move, Move):
            new = ", new epoch" if move.new_epoch else ""
            arrows.setdefault((phase, move.phase), []).append(f"{event}{new}")
    lines = [f"    {start} --> {end}: {' / '.join(events)}" for (start, end), events in arrows.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> active", *lines, "```"])


def directions_table() -> str:
    rows = [
        f"| `{direction}` | {' | '.join('carried' if way in PATHS[direction] else 'held' for way in Way)} |"
        for direction in Direction
    ]
    return "\n".join(["| direction | native Kafka records | foreign Kinesis records |", "|---|---|---|", *rows])


def refusals_table() -> str:
    """Only of what an operator asks for; what replicas find out at another time is dropped."""
    said = [
        (phase, event, reason)
        for (phase, event), reason in TRANSITIONS.items()
        if event in OPERATORS and not isinstance(reason, Move)
    ]
    rows = [f"| `{phase}` | `{event}` | `{reason}`: {REFUSALS[reason]} |" for phase, event, reason in said]
    return "\n".join(["| phase | asked for | refused |", "|---|---|---|", *rows])


def guards_table() -> str:
    rows = [
        f"| `{name}` | {guard.about} | {guard.remedy} | {'yes' if guard.overridable else 'no'} |"
        for name, guard in GUARDS.items()
    ]
    return "\n".join(["| guard | holds when | what to do | may be overridden |", "|---|---|---|---|", *rows])


GENERATED = {
    "directions": directions_table,
    "transitions": diagram,
    "refusals": refusals_table,
    "guards": guards_table,
}


@pytest.mark.parametrize("name", GENERATED)
def test_what_is_generated_is_that_of_the_code(name: str) -> None:
    begin, end = marks(name)
    text = ARCHITECTURE.read_text()
    assert text.count(begin) == text.count(end) == 1
    written = text.partition(begin)[2].partition(end)[0].strip()
    assert written == GENERATED[name](), "run: python -m tests.consistency.test_direction_documents"


def test_the_diagram_has_every_phase_and_every_move() -> None:
    text = diagram()
    assert all(f" {phase} --> " in text for phase in Phase)
    assert text.count("new epoch") == sum(isinstance(move, Move) and move.new_epoch for move in TRANSITIONS.values())


if __name__ == "__main__":
    for part, made in GENERATED.items():
        first, last = marks(part)
        before, _, rest = ARCHITECTURE.read_text().partition(first)
        ARCHITECTURE.write_text(f"{before}{first}\n{made()}\n{last}{rest.partition(last)[2]}")
