"""`python -m tests.simulation.trace SEED`: all that a run can be told apart by, for the test that a seed is one run."""

import sys

from tests.simulation.plan import plan_of
from tests.simulation.run import simulate


def main() -> int:
    """See the top of this file."""
    outcome = simulate(plan_of(int(sys.argv[1])))
    print(*outcome.lines, sep="\n")
    print(*sorted(outcome.injected.items()), sep="\n")
    print(outcome.records, outcome.duplicates, outcome.ended_at, *outcome.broken)
    return 0


if __name__ == "__main__":
    sys.exit(main())
