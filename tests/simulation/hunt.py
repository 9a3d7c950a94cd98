"""Runs seeds until one breaks a law: `python -m tests.simulation.hunt FIRST COUNT`. Prints the seed and the law.

Exit status 1 when it found one, as a test that failed; 0 when every seed holds.
"""

import sys

from tests.simulation.plan import plan_of
from tests.simulation.run import simulate


def main() -> int:
    """See the top of this file."""
    first, count = int(sys.argv[1]), int(sys.argv[2])
    for seed in range(first, first + count):
        outcome = simulate(plan_of(seed))
        if outcome.broken:
            print(seed, outcome.broken[0].law)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
