"""From a run that broke a law to the shortest list of faults that still breaks one: bisection, then one by one."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.simulation.plan import Fault, Plan

Fails = Callable[[Plan], bool]


def minimised(plan: Plan, fails: Fails) -> Plan:
    """The same seed with as few faults as still fail; also without replicas that it does not need."""
    for replicas in range(1, plan.replicas):
        fewer = replace(plan, replicas=replicas, faults=tuple(f for f in plan.faults if f.what.get("replica", 0) < replicas))
        if fails(fewer):
            plan = fewer
            break
    return replace(plan, faults=tuple(_fewest(plan.faults, lambda faults: fails(replace(plan, faults=tuple(faults))))))


def _fewest(faults: Sequence[Fault], fails: Callable[[Sequence[Fault]], bool]) -> Sequence[Fault]:
    """Delta debugging: leaves out ever smaller parts as long as the rest still fails."""
    parts = 2
    while faults:
        size = max(1, len(faults) // parts)
        for first in range(0, len(faults), size):
            rest = [*faults[:first], *faults[first + size :]]
            if fails(rest):
                faults, parts = rest, max(2, parts - 1)
                break
        else:
            if size == 1:
                return faults
            parts = min(len(faults), 2 * parts)
    return faults
