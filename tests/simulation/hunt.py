"""Runs seeds until one breaks a law: `python -m tests.simulation.hunt SEEDS ...`, each `7` or `0-299`. Prints seed and law.

Exit status 1 when it found one, as a test that failed; 0 when every seed holds.
"""

import sys

from tests.simulation.__main__ import verdicts_of


def main() -> int:
    """See the top of this file."""
    seeds: list[int] = []
    for given in sys.argv[1:]:
        first, _, end = given.partition("-")
        seeds += range(int(first), int(end or first) + 1)
    last = verdicts_of(seeds)[-1]
    if last.broken is None:
        return 0
    print(last.seed, last.broken[0])
    return 1


if __name__ == "__main__":
    sys.exit(main())
