"""`make simulate`: many seeds side by side, a table of what was injected, and for a failure its seed, law and fewest faults.

The order of Python's sets of texts depends on a seed of its own, so runs are repeatable only where PYTHONHASHSEED is 0; the
workers are started so.
"""

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

from tests.simulation.minimise import minimised
from tests.simulation.odd_records import KINDS as ODD_KINDS
from tests.simulation.plan import KINDS, plan_of
from tests.simulation.run import simulate

CHUNK = 10
FRESH_MAX = 10**9
MANY_SEEDS = 3000
INJECTED_MIN = 100
"""Of so many seeds each kind of fault is injected at least so often, or the run fails."""


@dataclass(slots=True, frozen=True)
class Verdict:
    """What one seed gave: the first law that was broken, with its detail, or nothing."""

    seed: int
    broken: tuple[str, str] | None
    injected: Counter[str]
    records: int
    duplicates: int
    seconds: float


def verdict_of(seed: int) -> Verdict:
    """Runs one seed."""
    began = time.process_time()
    outcome = simulate(plan_of(seed))
    first = outcome.broken[0] if outcome.broken else None
    return Verdict(
        seed,
        None if first is None else (first.law, str(first)),
        outcome.injected,
        outcome.records,
        outcome.duplicates,
        time.process_time() - began,
    )


def verdicts_of(seeds: list[int]) -> list[Verdict]:
    """Runs some seeds, up to the first that fails."""
    verdicts = []
    for seed in seeds:
        verdicts.append(verdict_of(seed))
        if verdicts[-1].broken:
            break
    return verdicts


def explain(seed: int) -> int:
    """One seed, told in full. Returns the exit status."""
    outcome = simulate(plan_of(seed))
    if not outcome.broken:
        print(f"seed {seed}: every law holds; {outcome.records} records, {outcome.duplicates} of them written again")
        return 0
    law = outcome.broken[0].law
    fewest = minimised(plan_of(seed), lambda plan: any(broken.law == law for broken in simulate(plan).broken))
    again = simulate(fewest)
    print("\n".join(again.lines[-60:]))
    print(f"\nseed {seed} breaks {again.broken[0]}")
    print(f"{fewest.replicas} replicas, {fewest.protocol}, streams {dict(fewest.streams)}")
    for topic in fewest.topics:
        print(f"{topic.name}: {topic.partitions} partitions to {topic.stream}, {dict(topic.route)}")
    print("faults:" if fewest.faults else "no faults are needed")
    for fault in fewest.faults:
        print(f"  {fault}")
    print(f"again: make simulate SEED={seed}")
    return 1


def sweep(seeds: list[int], jobs: int, fewest_of_each: int) -> int:
    """Many seeds. Returns the exit status."""
    began = time.monotonic()
    verdicts: list[Verdict] = []
    chunks = [seeds[i : i + CHUNK] for i in range(0, len(seeds), CHUNK)]
    with ProcessPoolExecutor(jobs) as pool:
        for done in as_completed([pool.submit(verdicts_of, chunk) for chunk in chunks]):
            verdicts += done.result()
            for verdict in done.result():
                if verdict.broken:
                    print(f"seed {verdict.seed}: {verdict.broken[1]}", flush=True)
    injected = sum((verdict.injected for verdict in verdicts), Counter[str]())
    print(f"\n{'fault':34} {'injected':>10}")
    for kind in (*KINDS, *sorted({f"odd_{kind}" for kind in ODD_KINDS})):
        print(f"{kind:34} {injected[kind]:10}")
    failed = sorted(verdict.seed for verdict in verdicts if verdict.broken)
    seconds = time.monotonic() - began
    print(
        f"\n{len(verdicts)} seeds in {seconds:.0f} s, {sum(v.records for v in verdicts)} records, "
        f"{sum(v.duplicates for v in verdicts)} written again; {len(failed)} seeds break a law"
    )
    rare = [kind for kind in KINDS if injected[kind] < fewest_of_each]
    if rare:
        print(f"injected less than {fewest_of_each} times: {', '.join(rare)}")
    if failed:
        explain(failed[0])
    return 1 if failed or rare else 0


def main() -> int:
    """See the top of this file."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, help="this seed only, told in full")
    parser.add_argument("--seeds", type=int, default=300, help="so many seeds")
    parser.add_argument("--first", type=int, default=None, help="the first seed; fresh ones by default")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if options.seed is not None:
        return explain(options.seed)
    first = options.first if options.first is not None else int.from_bytes(os.urandom(4)) % FRESH_MAX
    print(f"seeds {first} to {first + options.seeds - 1}")
    fewest_of_each = INJECTED_MIN if options.seeds >= MANY_SEEDS else 0
    return sweep(list(range(first, first + options.seeds)), options.jobs, fewest_of_each)


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        again = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
        sys.exit(subprocess.run(again, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False).returncode)
    sys.exit(main())
