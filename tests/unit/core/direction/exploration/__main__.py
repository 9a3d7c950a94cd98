"""Explores all scenarios, or those of the given numbers; ends at the first law that is broken, with the way there."""

import sys
import time

from tests.unit.core.direction.exploration.scenarios import SCENARIOS


def main() -> int:
    numbers = [int(text) for text in sys.argv[1:]] or range(len(SCENARIOS))
    for number in numbers:
        scenario = SCENARIOS[number]
        began = time.perf_counter()
        outcome = scenario.search().run()
        if outcome.broken:
            print(outcome.broken.law, number, scenario.name, *outcome.broken.steps, sep="\n")
            return 1
        print(
            f"{outcome.states} states, {outcome.transitions} steps, {time.perf_counter() - began:.1f} s: {scenario.name}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
