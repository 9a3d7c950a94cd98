"""Runs seeds until one breaks a law: `python -m tests.simulation.hunt FIRST COUNT`. Prints the seed and the law.

Exit status 1 when it found one, as a test that failed; 0 when every seed holds.
"""

import sys

from tests.simulation.__main__ import verdicts_of


def main() -> int:
    """See the top of this file."""
    first, count = int(sys.argv[1]), int(sys.argv[2])
    last = verdicts_of(list(range(first, first + count)))[-1]
    if last.broken is None:
        return 0
    print(last.seed, last.broken[0])
    return 1


if __name__ == "__main__":
    sys.exit(main())
