"""Runs the parts of a scenario, one after the other."""

from collections.abc import Callable
from functools import partial

from loadtest.cores import available_cores, pinned, share_out
from loadtest.drain import run_drain
from loadtest.report import PartReport
from loadtest.scenario import Part, Scenario
from loadtest.servers import Kafka, Targets, kafka_for, kinesis_for
from loadtest.stage import Outcome, Stage
from loadtest.verdict import judge
from loadtest.window import run_window


def run_scenario(name: str, scenario: Scenario, targets: Targets, say: Callable[[str], None]) -> list[PartReport]:
    """Kafka is started once, Kinesis for each part. Raises LoadTestError when a part cannot be carried through."""
    available = available_cores()
    with pinned(share_out(available).others), kafka_for(targets) as address:
        kafka = Kafka(address)
        return [_run_part(part, kafka, targets, available, partial(_say_of_part, say, name, part)) for part in scenario.parts]


def _say_of_part(say: Callable[[str], None], name: str, part: Part, text: str) -> None:
    say(f"{name}, {part.name}: {text}")


def _run_part(part: Part, kafka: Kafka, targets: Targets, available: set[int], say: Callable[[str], None]) -> PartReport:
    cores = share_out(available, part.replicas)
    if targets.stream is not None:
        say(f"{_written(part)} to your stream {targets.stream}; they stay there")
    with pinned(cores.others), kinesis_for(targets, part) as kinesis:
        outcome = measure(Stage(kafka, kinesis, cores, say), part)
    return PartReport(part, outcome, judge(part.verdicts, outcome.figures), cores.text())


def measure(stage: Stage, part: Part) -> Outcome:
    """One part on servers that answer."""
    if part.drain is not None:
        return run_drain(stage, part, part.drain)
    assert part.window is not None, "a part has either drain or window"
    return run_window(stage, part, part.window)


def _written(part: Part) -> str:
    """What a part writes to a stream, for whom it belongs to."""
    if part.drain is not None:
        count = f"{part.drain.backlog_records * part.drain.rounds * (2 if part.drain.baseline else 1):,} records go"
    elif part.window is not None and part.window.rate is not None:
        count = f"{part.window.rate:g} records/s for {part.window.total_s:g} s go"
    else:
        count = "as many records as it takes for some minutes go"
    return f"{count}, of {part.value_bytes_mean:g} random bytes with partition keys from key-00000000 on,"
