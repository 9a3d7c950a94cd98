"""Bugs that the simulation has to find, as patches of the source: nothing of them is in production code.

Each has the law that it breaks and the seed at which it is caught; `python -m tests.simulation.mutants` finds seeds anew.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.simulation.planted.delivery import DELIVERY
from tests.simulation.planted.ledger import LEDGER
from tests.simulation.planted.mutant import Mutant
from tests.simulation.planted.records import RECORDS
from tests.simulation.planted.recovery import RECOVERY

ROOT = Path(__file__).parents[2]
SEEDS_MAX = 300
SECONDS_MAX = 900.0


MUTANTS = (*DELIVERY, *RECORDS, *LEDGER, *RECOVERY)


def mutated(mutant: Mutant, folder: Path) -> None:
    """The package and the simulation in `folder`, with the bug in them. Raises ValueError where the patch does not fit."""
    shutil.copytree(ROOT / "bridge", folder / "bridge", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "__init__.py", folder / "tests")
    shutil.copytree(ROOT / "tests" / "simulation", folder / "tests" / "simulation", ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "bridge" / mutant.path
    source = path.read_text()
    if source.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: its text stands {source.count(mutant.old)} times in {mutant.path}")
    path.write_text(source.replace(mutant.old, mutant.new))


def first_of(mutant: Mutant) -> int:
    """Where the search begins: at the 300 seeds among which it was recorded."""
    return max(0, mutant.seed // SEEDS_MAX * SEEDS_MAX)


def caught(mutant: Mutant, first: int, count: int) -> tuple[int, str] | None:
    """The first of these seeds that breaks a law, and which; None if the mutant survives them all."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        mutated(mutant, folder)
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation.hunt", f"{first}-{first + count - 1}"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS_MAX,
        )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{mutant.name}: exit status {done.returncode}: {done.stderr[-2000:]}")
    seed, _, law = done.stdout.strip().partition(" ")
    return (int(seed), law) if done.returncode == 1 else None


def main() -> int:
    """Prints mutant, law, seed; fails when one survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants")
    parser.add_argument("--seeds", type=int, default=SEEDS_MAX)
    parser.add_argument("--first", type=int, help="the first seed; that of the recorded one's 300 by default")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if options.only in mutant.name]
    survivors = 0
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        first = options.first
        results = pool.map(lambda mutant: caught(mutant, first_of(mutant) if first is None else first, options.seeds), chosen)
        for mutant, found in zip(chosen, results, strict=True):
            survivors += found is None
            seed, law = found or ("-", "SURVIVES")
            print(f"{mutant.name:70} {law:10} seed {seed}", flush=True)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
