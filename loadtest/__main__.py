"""`python -m loadtest [SCENARIO]`, which is `make load`: runs scenarios, prints their tables, writes them as JSON."""

import argparse
import datetime
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson
from rich.console import Console

from loadtest.errors import LoadTestError
from loadtest.machine import machine_facts
from loadtest.report import PartReport, document, print_report
from loadtest.runner import run_scenario
from loadtest.scenario import Scenario, load_scenarios
from loadtest.servers import Targets, given_kinesis
from tests.servers.process import NotReadyError

RESULTS = Path(__file__).with_name("results")
TABLE_COLUMNS = 140
EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def main() -> int:
    """Measures the bridge. Exit status 0 when every verdict holds, 1 when one does not or the run fails, 2 for wrong usage."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    options = command_line().parse_args()
    console = Console(width=None if sys.stdout.isatty() else TABLE_COLUMNS)
    try:
        targets = _targets(options)
        chosen = _chosen(load_scenarios(), options.scenario, options.part)
        if targets.stream is not None:
            given_kinesis(targets, targets.stream)
    except LoadTestError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE
    try:
        good = [_run(console, name, one, targets, options.results) for name, one in chosen.items()]
    except (LoadTestError, NotReadyError, TimeoutError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0 if all(good) else EXIT_FAILED


def command_line() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(prog="loadtest", description="Measures the bridge.")
    parser.add_argument("scenario", nargs="?", help="without one every scenario but short ones")
    parser.add_argument("--part", action="append", help="only the part of this name; repeatable")
    parser.add_argument("--bootstrap-servers", help="your Kafka; a topic is made there and removed")
    parser.add_argument("--property", action="append", default=[], metavar="NAME=VALUE", help="a librdkafka property; repeatable")
    parser.add_argument("--properties-file", type=Path, help="librdkafka properties, one NAME=VALUE a line; for secrets")
    parser.add_argument("--stream", help="your Kinesis stream: the records are written to it, and stay there")
    parser.add_argument("--endpoint-url", help="another endpoint of Kinesis; needs --stream")
    parser.add_argument("--region", help="AWS region of the stream; needs --stream")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the JSON documents")
    return parser


def _targets(options: argparse.Namespace) -> Targets:
    if options.stream is None and (options.endpoint_url or options.region):
        raise LoadTestError("--endpoint-url and --region need --stream: the stream must be yours")
    if options.bootstrap_servers is None and (options.property or options.properties_file):
        raise LoadTestError("--property and --properties-file need --bootstrap-servers")
    properties = _properties(options.property, "--property")
    if (file := options.properties_file) is not None:
        try:
            lines = file.read_text().splitlines()
        except OSError as error:
            raise LoadTestError(f"--properties-file {file}: {error.strerror}") from error
        properties |= _properties(lines, f"--properties-file {file}")
    return Targets(options.bootstrap_servers, properties, options.stream, options.endpoint_url, options.region)


def _run(console: Console, name: str, scenario: Scenario, targets: Targets, results: Path) -> bool:
    started = datetime.datetime.now(datetime.UTC)
    machine = machine_facts()
    reports: list[PartReport] = run_scenario(
        name, scenario, targets, lambda text: console.print(text, highlight=False, soft_wrap=True)
    )
    print_report(console, name, scenario.about, reports)
    found = document(name, started.isoformat(timespec="seconds"), machine, reports)
    results.mkdir(parents=True, exist_ok=True)
    file = results / f"{name}-{started:%Y%m%d-%H%M%S}.json"
    file.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    console.print(f"Written to {file}", highlight=False, soft_wrap=True)
    return bool(found["passed"])


def _chosen(scenarios: Mapping[str, Scenario], name: str | None, parts: list[str] | None) -> dict[str, Scenario]:
    if name is None:
        if parts:
            raise LoadTestError("--part: name the scenario too")
        return {name: scenario for name, scenario in scenarios.items() if scenario.by_default}
    if name not in scenarios:
        raise LoadTestError(f"{name!r} is no scenario; there are: {', '.join(scenarios)}")
    scenario = scenarios[name]
    if parts:
        names = [part.name for part in scenario.parts]
        if unknown := sorted(set(parts) - set(names)):
            raise LoadTestError(f"--part {unknown[0]!r}: {name} has no such part; it has: {', '.join(names)}")
        scenario = scenario.model_copy(update={"parts": [part for part in scenario.parts if part.name in parts]})
    return {name: scenario}


def _properties(lines: Sequence[str], option: str) -> dict[str, str]:
    found = {}
    for line in lines:
        if not (text := line.strip()) or text.startswith("#"):
            continue
        name, sign, value = text.partition("=")
        if not sign:
            # The line is not shown: it may be a password.
            raise LoadTestError(f"{option}: write NAME=VALUE, such as security.protocol=SASL_SSL")
        found[name.strip()] = value.strip()
    return found


if __name__ == "__main__":
    sys.exit(main())
