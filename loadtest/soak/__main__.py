"""`python -m loadtest.soak`, which is `make soak`: prints progress, a table and verdicts, and writes them as JSON."""

import argparse
import datetime
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from loadtest.__main__ import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, RESULTS, TABLE_COLUMNS
from loadtest.errors import LoadTestError
from loadtest.machine import machine_facts
from loadtest.report import print_figures, print_verdicts, verdict_document, without_secrets
from loadtest.soak.run import Plan, Result, run_soak
from loadtest.verdict import passed
from tests.integration.exactly_once import LONGEST_S
from tests.servers.kafka import missing_for_kafka
from tests.servers.process import NotReadyError

MINUTES_MIN = 2.0
"""In a third of less there are too few samples, and nothing of the ledger expires."""


def main() -> int:
    """Exit status 0 when every verdict holds, 1 when one does not or the run fails, 2 for wrong usage."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    options = command_line().parse_args()
    if problem := wrong(options):
        sys.stderr.write(f"{problem}\n")
        return EXIT_USAGE
    console = Console(width=None if sys.stdout.isatty() else TABLE_COLUMNS)
    started = datetime.datetime.now(datetime.UTC)
    results: list[Result] = []
    try:
        for plan in plans(options.minutes, options.kills, options.daemons):
            results.append(run_soak(plan, partial(_say, console, plan)))
    except (LoadTestError, NotReadyError, TimeoutError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    about = f"{options.kills} kills" if options.kills else f"{options.minutes:g} minutes"
    print_figures(console, f"soak: {about}", {result.plan.name: result.figures for result in results})
    for result in results:
        print_verdicts(console, result.plan.name, result.verdicts)
    options.results.mkdir(parents=True, exist_ok=True)
    file = options.results / f"soak-{started:%Y%m%d-%H%M%S}.json"
    found = document(started.isoformat(timespec="seconds"), machine_facts(), results)
    file.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    console.print(f"Written to {file}", highlight=False, soft_wrap=True)
    return 0 if found["passed"] else EXIT_FAILED


def command_line() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(prog="loadtest.soak", description="A steady flow under faults, for a long time.")
    parser.add_argument("--minutes", type=float, default=20.0, help="how long records flow; with kills until the last of those")
    parser.add_argument("--kills", type=int, default=0, help="how many daemons are killed at random moments")
    parser.add_argument("--daemons", type=int, action="append", help="replicas; repeatable; default: 1, and with kills also 3")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the JSON document")
    return parser


def wrong(options: argparse.Namespace) -> str | None:
    """What keeps it from being run."""
    if options.minutes < MINUTES_MIN:
        return f"--minutes {options.minutes:g}: write {MINUTES_MIN:g} or more"
    if options.kills < 0:
        return f"--kills {options.kills}: write 0 or more"
    if any(daemons < 1 for daemons in options.daemons or []):
        return "--daemons: write 1 or more"
    if missing := missing_for_kafka(own=True):
        return f"Apache Kafka cannot be started: {missing}"
    return None


def plans(minutes: float, kills: int, daemons: list[int] | None) -> list[Plan]:
    """What is run, one after the other."""
    return [Plan(minutes, kills, number) for number in daemons or (list(LONGEST_S) if kills else [1])]


def document(started: str, machine: dict[str, Any], results: list[Result]) -> dict[str, Any]:
    """The JSON document."""
    return {
        "scenario": "soak",
        "started": started,
        "passed": all(passed(result.verdicts) for result in results),
        "machine": machine,
        "parts": [
            {
                "name": result.plan.name,
                "minutes": result.plan.minutes,
                "passed": passed(result.verdicts),
                "figures": result.figures,
                "verdicts": [verdict_document(verdict) for verdict in result.verdicts],
                "bridge_configuration": without_secrets(result.settings),
                "samples": [one._asdict() for one in result.samples],
            }
            for result in results
        ],
    }


def _say(console: Console, plan: Plan, text: str) -> None:
    console.print(f"soak, {plan.name}: {text}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
