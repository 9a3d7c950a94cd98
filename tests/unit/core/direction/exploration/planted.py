"""Bugs that the exploration has to find, as patches of the source: nothing of them is in production code.

Each has the law that it breaks and, as its seed, the number of the scenario in which that is found first;
`python -m tests.unit.core.direction.exploration.planted` finds these anew.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.simulation.planted.mutant import Mutant

ROOT = Path(__file__).parents[5]
HERE = Path("tests/unit/core/direction/exploration")
SECONDS_MAX = 280.0

DECISIONS = "core/direction/decisions.py"
TRANSITIONS = "core/direction/transitions.py"
TABLE = "core/direction/direction.py"

PLANTED = (
    Mutant(
        "a change carries the new direction while it drains",
        "L8",
        DECISIONS,
        "return PATHS[record.leaving] & PATHS[record.direction]",
        "return PATHS[record.direction]",
        seed=0,
    ),
    Mutant(
        "a change carries the old direction while it drains",
        "L8",
        DECISIONS,
        "return PATHS[record.leaving] & PATHS[record.direction]",
        "return PATHS[record.leaving]",
        seed=2,
    ),
    Mutant(
        "a change stops everything, also what carries on, for ever",
        "L8",
        DECISIONS,
        "    return PATHS[record.direction]\n\n\ndef verdict",
        "    return PATHS[record.direction] if record.phase is not Phase.ACTIVE or record.epoch < 2 else frozenset()\n\n\n"
        "def verdict",
        seed=0,
    ),
    Mutant(
        "clean under another epoch counts as drained",
        "L8",
        DECISIONS,
        "says is not None and says.epoch == record.epoch and (says.clean or carries_on) for",
        "says is not None and (says.clean or carries_on) for",
        seed=2,
    ),
    Mutant(
        "an open partition counts as drained",
        "L8",
        DECISIONS,
        "and (says.clean or carries_on) for",
        "for",
        seed=2,
    ),
    Mutant(
        "slots are not asked whether they are drained",
        "L8",
        DECISIONS,
        "says is not None and says.epoch == record.epoch for says in route.slots",
        "says is not None for says in route.slots",
        seed=3,
    ),
    Mutant(
        "partitions with attempts under way show that they are clean",
        "L8",
        DECISIONS,
        "settled = owner.recovered and unresolved == 0",
        "settled = owner.recovered",
        seed=2,
    ),
    Mutant(
        "a partition that is not recovered shows that it is clean",
        "L8",
        DECISIONS,
        "settled = owner.recovered and unresolved == 0",
        "settled = unresolved == 0",
        seed=2,
    ),
    Mutant(
        "a slot shows the new epoch in the middle of a transaction",
        "L8",
        DECISIONS,
        "or not owner.control_read or open_records or",
        "or not owner.control_read or",
        seed=3,
    ),
    Mutant(
        "control is not read again after a partition is assigned",
        "L8",
        DECISIONS,
        "if record is None or not owner.control_read or _falls_back(record, owner.says):",
        "if record is None:",
        seed=0,
    ),
    Mutant(
        "control is not read again after a slot is assigned",
        "L8",
        DECISIONS,
        "not owner.control_read or open_records or _falls_back(record, owner.says)",
        "open_records",
        seed=0,
    ),
    Mutant(
        "what is not shown yet is acted by",
        "L8",
        DECISIONS,
        "return record is not None and says is not None and says[:2] == (record.epoch, begun(record))",
        "return record is not None and says is not None",
        seed=0,
    ),
    Mutant(
        "attempts go on after the lease",
        "L3",
        DECISIONS,
        "        and owner.attempts_until_ms is not None\n        and now_ms <= owner.attempts_until_ms\n",
        "",
        seed=2,
    ),
    Mutant(
        "attempts begin before recovery is complete",
        "L3",
        DECISIONS,
        "        and owner.recovered\n",
        "",
        seed=2,
    ),
    Mutant(
        "what the ledger does not know yet is foreign",
        "L7",
        DECISIONS,
        "        return Verdict.WAIT\n",
        "        return Verdict.CARRY if carries else Verdict.WAIT\n",
        seed=7,
    ),
    Mutant(
        "what the bridge wrote is carried back",
        "L7",
        DECISIONS,
        "    if whose is Whose.BRIDGED:\n",
        "    if whose is Whose.BRIDGED and not carries:\n",
        seed=1,
    ),
    Mutant(
        "held records are skipped while the change can be given up",
        "L1",
        DECISIONS,
        "        and begun(record)\n        and path",
        "        and path",
        seed=1,
    ),
    Mutant(
        "held records are skipped that shall be carried",
        "L1",
        DECISIONS,
        "        record.held is Held.SKIP\n",
        "        record.held is not None\n",
        seed=0,
    ),
    Mutant(
        "records are skipped again by every new owner",
        "L1",
        DECISIONS,
        "        and says[:2] == (record.epoch, False)\n",
        "",
        seed=1,
    ),
    Mutant(
        "records of a path that carries on are skipped",
        "L1",
        DECISIONS,
        "path in PATHS[record.direction] - PATHS[record.leaving]",
        "path in PATHS[record.direction]",
        seed=5,
    ),
    Mutant(
        "a change is over as soon as it is drained",
        "L8",
        DECISIONS,
        "return Event.STARTED if taken_up(record, route) else None",
        "return Event.STARTED",
        seed=0,
    ),
    Mutant(
        "a change has no deadline",
        "L8",
        DECISIONS,
        "        if overdue(record, now_ms):\n            return Event.DEADLINE\n",
        "",
        seed=2,
    ),
    Mutant(
        "an abort is not answered",
        "L8",
        DECISIONS,
        "return Event.RESUMED if taken_up(record, route) else None",
        "return None",
        seed=0,
    ),
    Mutant(
        "who looked at an older record changes the route",
        "L8",
        TRANSITIONS,
        "    if basis != basis_of(latest):\n",
        "    if basis.phase != latest.phase:\n",
        seed=0,
    ),
    Mutant(
        "a second request is accepted while a change drains",
        "L8",
        TABLE,
        '    (Phase.DRAINING, Event.REQUEST): "under_way",\n',
        '    (Phase.DRAINING, Event.REQUEST): Move(Phase.DRAINING, new_epoch=True, direction="asked"),\n',
        seed=0,
    ),
    Mutant(
        "an abort goes on under the same epoch",
        "L8",
        TABLE,
        'Event.ABORT): Move(Phase.ABORTING, new_epoch=True, direction="back")',
        'Event.ABORT): Move(Phase.ABORTING, new_epoch=False, direction="back")',
        seed=0,
    ),
    Mutant(
        "the deadline leads to the new direction",
        "L8",
        TABLE,
        'Event.DEADLINE): Move(Phase.ABORTING, new_epoch=True, direction="back")',
        'Event.DEADLINE): Move(Phase.ABORTING, new_epoch=True, direction="same")',
        seed=0,
    ),
    Mutant(
        "a change is aborted after its point of no return",
        "L8",
        TABLE,
        '    (Phase.STARTING, Event.ABORT): "too_late",\n',
        '    (Phase.STARTING, Event.ABORT): Move(Phase.ABORTING, new_epoch=True, direction="back"),\n',
        seed=0,
    ),
    Mutant(
        "a change begins under the old epoch",
        "L8",
        TABLE,
        '(Phase.ACTIVE, Event.REQUEST): Move(Phase.DRAINING, new_epoch=True, direction="asked")',
        '(Phase.ACTIVE, Event.REQUEST): Move(Phase.DRAINING, new_epoch=False, direction="asked")',
        seed=0,
    ),
)


def mutated(mutant: Mutant, folder: Path) -> None:
    """The package and the exploration in `folder`, with the bug in them. Raises ValueError where the patch does not fit."""
    for tree in (Path("bridge"), HERE):
        shutil.copytree(ROOT / tree, folder / tree, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tests" / "__init__.py", folder / "tests")
    path = folder / "bridge" / mutant.path
    source = path.read_text()
    if source.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: its text stands {source.count(mutant.old)} times in {mutant.path}")
    path.write_text(source.replace(mutant.old, mutant.new))


def caught(mutant: Mutant, *scenarios: int) -> list[str]:
    """What the exploration of these scenarios (all without a number) prints: the law that is broken, the number of the scenario,
    its name, the way there; empty if the mutant survives."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        mutated(mutant, folder)
        done = subprocess.run(
            [sys.executable, "-m", ".".join(HERE.parts), *map(str, scenarios)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS_MAX,
        )
    if done.returncode not in (0, 1) or (done.returncode == 1 and done.stderr):
        raise RuntimeError(f"{mutant.name}: exit status {done.returncode}: {done.stderr[-2000:]}")
    lines = done.stdout.splitlines()
    first = next((number for number, line in enumerate(lines) if line.startswith("L")), len(lines))
    return lines[first:]


def main() -> int:
    """Prints each bug and the law that it breaks, with the way there where one is chosen; fails when one survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.unit.core.direction.exploration.planted")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    survivors = 0
    for mutant in PLANTED:
        if options.only in mutant.name:
            found = caught(mutant)
            survivors += not found
            law, number = found[:2] if found else ("SURVIVES", "-")
            print(f"{mutant.name}: scenario {number}: {law}", flush=True)
            if options.only:
                print(*found[2:], sep="\n")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
