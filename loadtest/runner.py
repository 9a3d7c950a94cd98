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
    with pinned(cores.others), kinesis_for(targets, part) as kinesis:
        outcome = measure(Stage(kafka, kinesis, cores, say), part)
    return PartReport(part, outcome, judge(part.verdicts, outcome.figures), cores.text())


def measure(stage: Stage, part: Part) -> Outcome:
    """One part on servers that answer."""
    if part.drain is not None:
        return run_drain(stage, part, part.drain)
    assert part.window is not None, "a part has either drain or window"
    return run_window(stage, part, part.window)
