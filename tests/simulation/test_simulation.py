"""The fixed seeds of every run of the tests: each law holds, each planted bug is caught, and a seed is one run."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.simulation.faults import APPLY
from tests.simulation.minimise import minimised
from tests.simulation.mutants import MUTANTS, ROOT, caught
from tests.simulation.plan import KINDS, Fault, plan_of
from tests.simulation.planted.mutant import Mutant

SEEDS = 250


def _simulation(*arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=800
    )


@pytest.mark.timeout(900)
def test_every_law_holds_at_the_fixed_seeds():
    done = _simulation("tests.simulation", "--first", "0", "--seeds", str(SEEDS))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"^{SEEDS} seeds in .* 0 seeds break a law$", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.timeout(900)
def test_each_planted_bug_is_caught_at_its_seed_by_its_law():
    def found(mutant: Mutant) -> "tuple[int, str] | None":
        return caught(mutant, mutant.seed, 1)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        results = dict(zip(MUTANTS, pool.map(found, MUTANTS), strict=True))
    assert {m.name: r for m, r in results.items() if r != (m.seed, m.law)} == {}


def test_the_unchanged_code_holds_at_the_seeds_of_the_planted_bugs():
    """Those below `SEEDS` are among the fixed seeds."""
    beyond = sorted({mutant.seed for mutant in MUTANTS if mutant.seed >= SEEDS})
    done = _simulation("tests.simulation.hunt", *map(str, beyond))
    assert done.returncode == 0, done.stdout + done.stderr


def test_planted_bugs_are_enough():
    laws = [mutant.law for mutant in MUTANTS]
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 15
    for law in ("L1", "L2", "L4", "L6"):
        assert laws.count(law) >= 2, law


def _with_many_faults() -> int:
    return next(seed for seed in range(SEEDS) if len(plan_of(seed).faults) == 16)


@pytest.mark.parametrize("seed", [_with_many_faults(), 1, 38])  # of the last two many reads are refused and tried again
def test_a_seed_is_one_run(seed):
    first, second = (_simulation("tests.simulation.trace", str(seed)) for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert len(first.stdout.splitlines()) > 20
    assert first.stdout == second.stdout


def test_every_kind_of_fault_is_drawn_and_can_be_injected():
    assert set(APPLY) == set(KINDS)
    drawn = {fault.kind for seed in range(SEEDS) for fault in plan_of(seed).faults}
    assert drawn == set(KINDS)


def test_leaving_out_a_fault_changes_nothing_else():
    plan = next(plan for seed in range(SEEDS) if len((plan := plan_of(seed)).faults) > 3)
    fewer = replace(plan, faults=plan.faults[1:])
    assert (fewer.bursts, fewer.topics, fewer.faults) == (plan.bursts, plan.topics, plan.faults[1:])


@pytest.mark.parametrize("needed", [(), (3,), (0, 7), (2, 3, 5)])
def test_the_fewest_faults_that_still_fail_are_found(needed):
    plan = replace(plan_of(0), replicas=1, faults=tuple(Fault(float(n), f"kind-{n}", {}) for n in range(8)))
    kinds = {f"kind-{n}" for n in needed}
    fewest = minimised(plan, lambda tried: kinds <= {fault.kind for fault in tried.faults})
    assert {fault.kind for fault in fewest.faults} == kinds


def test_a_planted_bug_has_to_fit():
    with pytest.raises(ValueError, match="stands 0 times"):
        caught(replace(MUTANTS[0], old="what is not there"), 0, 1)
