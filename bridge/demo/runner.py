"""The demonstration from start to verdict: embedded Kafka, embedded Kinesis, the real daemon, the flights, the read-back.

Four actors on purpose: the daemon and Kinesis are processes, so that neither takes the other's time; Kafka's mock cluster
works in threads outside Python's lock; producing, reading back and judging happen in this process.
"""

import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from types import FrameType

from confluent_kafka import KafkaException
from rich.console import Console

from bridge.demo.daemon import NAME, BridgeProcess, demo_configuration, demo_environment
from bridge.demo.errors import DemoError, InterruptedDemoError
from bridge.demo.flights import installed_flights, read_flights
from bridge.demo.kinesis_process import KinesisProcess
from bridge.demo.producer import FlightProducer
from bridge.demo.progress import ProgressDisplay, Snapshot
from bridge.demo.readback import KinesisCaller, ReadBack
from bridge.demo.verdict import Verdict, compare
from bridge.embedded.kafka import embedded_kafka

TOPIC = "flights"
STREAM = "flights"
SHARDS = 24
"""18,549 flights belong to the busiest of 24 equal shards, and 1000 records/s is what it takes: the job needs 19 s at least."""

READY_TIMEOUT_S = 30.0
STALL_TIMEOUT_S = 30.0
"""Without a single record stored or committed for so long, the job is judged as it stands."""

_TICK_S = 0.25


@dataclass(slots=True, frozen=True)
class Addresses:
    """What `--serve` keeps up."""

    kafka_bootstrap: str
    kinesis_endpoint: str
    metrics_url: str
    configuration: Path
    log: Path


@dataclass(slots=True)
class _Stage:
    """Everything that runs during the job."""

    addresses: Addresses
    kinesis: KinesisProcess
    bridge: BridgeProcess
    interrupted: Event


def run_demo(records: int, console: Console, serve: Callable[[Verdict, Addresses], None] | None = None) -> Verdict:
    """Runs the job with the first `records` flights; progress goes to `console`.

    With `serve`, calls it after the verdict and then keeps everything up until SIGINT, SIGTERM or SIGHUP.
    Raises DemoError when something is missing or does not start, InterruptedDemoError for a signal before the verdict.
    """
    installed_flights()  # before anything is started that could not be used
    with ExitStack() as stack:
        interrupted = stack.enter_context(_interruption())
        console.print(f"Starting Kafka, Kinesis ({SHARDS} shards, limits enforced) and the bridge", highlight=False)
        try:
            stage = _set_up(stack, interrupted)
        except (KafkaException, OSError) as error:
            raise DemoError(f"The embedded servers did not start: {error}") from error
        console.print(f"Kafka {stage.addresses.kafka_bootstrap}, Kinesis {stage.addresses.kinesis_endpoint}", highlight=False)
        verdict = _work(stage, records, console, stop_bridge=serve is None)
        if serve is not None:
            serve(verdict, stage.addresses)
            interrupted.wait()
        return verdict


@contextmanager
def _interruption() -> Iterator[Event]:
    """Set by the first signal that asks for an end. Nothing is interrupted in the middle, so nothing is left behind."""
    interrupted = Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        interrupted.set()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _set_up(stack: ExitStack, interrupted: Event) -> _Stage:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bridge-demo-")))
    environment = demo_environment()
    bootstrap = stack.enter_context(embedded_kafka(TOPIC))
    kinesis = stack.enter_context(KinesisProcess(environment, folder / "kinesis.log"))
    caller = KinesisCaller(kinesis.endpoint_url)
    caller.call("CreateStream", {"StreamName": STREAM, "ShardCount": SHARDS})
    caller.close()
    configuration, log = folder / "bridge.yaml", folder / "bridge.log"
    settings = demo_configuration(bootstrap, kinesis.endpoint_url, TOPIC, STREAM)
    bridge = stack.enter_context(BridgeProcess(settings, configuration, environment, log))
    _wait_ready(bridge, interrupted)
    addresses = Addresses(bootstrap, kinesis.endpoint_url, bridge.metrics_url or "", configuration, log)
    return _Stage(addresses, kinesis, bridge, interrupted)


def _wait_ready(bridge: BridgeProcess, interrupted: Event) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not bridge.is_ready():
        if interrupted.wait(_TICK_S):
            raise InterruptedDemoError
        if bridge.exit_status() is not None or time.monotonic() > deadline:
            raise DemoError(f"The bridge did not become ready.\n{bridge.log_tail()}")


def _work(stage: _Stage, records: int, console: Console, *, stop_bridge: bool) -> Verdict:
    addresses = stage.addresses
    with (
        ReadBack(addresses.kinesis_endpoint, STREAM) as readback,
        FlightProducer(addresses.kafka_bootstrap, TOPIC, NAME, read_flights(records)) as producer,
    ):
        started_at = time.monotonic()
        with ProgressDisplay(console, records, started_at) as display:
            troubles = _watch(stage, producer, readback, display)
        ended_at = producer.committed_at or time.monotonic()
        if stop_bridge and not troubles:
            troubles = _stop(stage.bridge)
        stored = readback.finish()
        comparison = compare(TOPIC, producer.sent, stored)
        return Verdict(
            records,
            comparison,
            stage.kinesis.throttled_records(),
            readback.shards,
            ended_at - (producer.first_sent_at or started_at),
            tuple(troubles),
        )


def _watch(stage: _Stage, producer: FlightProducer, readback: ReadBack, display: ProgressDisplay) -> list[str]:
    """Until everything is committed, or nothing more can come. Returns what went wrong, in sentences."""
    moved_at, moved = time.monotonic(), (0, 0)
    while True:
        if stage.interrupted.is_set():
            raise InterruptedDemoError
        producer.check()
        readback.check()
        now = time.monotonic()
        done = producer.committed_at is not None
        display.show(Snapshot(now, producer.records, readback.records, producer.waiting, stage.kinesis.throttled_records()))
        if done:
            return []
        if (status := stage.bridge.exit_status()) is not None:
            return [f"The bridge ended by itself with status {status}.\n{stage.bridge.log_tail()}"]
        if (position := (readback.records, producer.records - producer.waiting)) != moved:
            moved_at, moved = now, position
        elif now > moved_at + STALL_TIMEOUT_S:
            return [f"Nothing moved for {STALL_TIMEOUT_S:g} s.\n{stage.bridge.log_tail()}"]
        stage.interrupted.wait(_TICK_S)


def _stop(bridge: BridgeProcess) -> list[str]:
    """The daemon drains and leaves on SIGTERM: a part of what is demonstrated."""
    status = bridge.terminate()
    if status == 0:
        return []
    what = "did not stop in time" if status is None else f"stopped with status {status}"
    return [f"The bridge was told to stop and {what}.\n{bridge.log_tail()}"]
