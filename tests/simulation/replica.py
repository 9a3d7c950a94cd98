"""One replica of the bridge: the production wiring in a process of the simulation, started anew as an orchestrator would."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, cast

from prometheus_client import CollectorRegistry

from bridge import bootstrap
from bridge.adapters.kafka.admin import KafkaAdmin
from bridge.adapters.kafka.clients import KafkaClients
from bridge.adapters.kinesis.shard_directory import KinesisShardDirectory
from bridge.adapters.kinesis.sink import KinesisSink
from bridge.app.forward import ForwardLine
from bridge.app.settings import Settings, parse_settings
from bridge.app.supervisor import supervise
from bridge.app.telemetry import Event, Telemetry
from tests.simulation.kinesis import URL, Kinesis, SimCredentials, SimHttp, SimKinesisClient
from tests.simulation.plan import Plan
from tests.simulation.process import Process

GROUP = "simulated"
REQUEST_TIMEOUT_S = 1.5
LEASE_S = 6.0
LINES_KEPT = 400


class KeptTelemetry(Telemetry):
    """Keeps the last log lines of all replicas, for the report of a run that failed."""

    def __init__(
        self,
        process: Process,
        lines: deque[str],
        on_possible_duplicates: Callable[[float], None],
        on_assigned: Callable[[Process, list[str]], None],
    ) -> None:
        """`on_possible_duplicates`: the replica says that it writes records again that may be there. `on_assigned`: it says
        that it was given these partitions."""
        super().__init__(CollectorRegistry())
        self._on_possible_duplicates = on_possible_duplicates
        self._on_assigned = on_assigned
        self._process = process
        self._lines = lines

    def log(self, level: Literal["debug", "info", "warning", "error"], event: Event, **fields: object) -> None:
        """Keeps the line."""
        if event == "partitions_assigned":
            self._on_assigned(self._process, cast(list[str], fields["partitions"]))
        shown = " ".join(f"{key}={value}" for key, value in fields.items())
        self._lines.append(f"{self._process.world.now:9.3f} {self._process.name} {level} {event} {shown}"[:400])

    def count(self, name: str, amount: float, *labels: str) -> None:
        """As the real one; and says what may be written twice."""
        super().count(name, amount, *labels)
        if name == "bridge_possible_duplicates_total":
            self._on_possible_duplicates(amount)


def settings_of(plan: Plan, instance: int) -> Settings:
    """The configuration of one replica."""
    kafka: dict[str, Any] = {"bootstrap_servers": "kafka.invalid:9092", "group": GROUP, "group_protocol": plan.protocol}
    if plan.protocol == "classic":
        kafka["session_timeout"] = f"{plan.session_timeout_s:.0f}s"
    if plan.static:
        kafka["group_instance_id"] = f"bridge-{instance}"
    settings = parse_settings(
        {
            "name": GROUP,
            "kafka": kafka,
            "kinesis": {
                "region": "eu-central-1",
                "request_timeout": f"{REQUEST_TIMEOUT_S * 1000:.0f}ms",
                "clock_margin": f"{plan.clock_margin_s * 1000:.0f}ms",
                "requests_in_flight_max": plan.requests_in_flight_max,
                "request_records_max": plan.request_records_max,
            },
            "buffer_bytes_max": f"{plan.buffer_bytes_max}B",
            "commit_interval": "500ms",
            "lease": f"{LEASE_S:.0f}s",
            "routes": [{"topic": topic.name, "stream": topic.stream, **topic.route} for topic in plan.topics],
        }
    )
    ledger = settings.ledger.model_copy(update={"retention": plan.ledger_retention_s})  # shorter than may be configured
    return settings.model_copy(update={"ledger": ledger})


class Replica:
    """Keeps one process running: a new one some time after the last has ended, as long as the run lasts."""

    def __init__(
        self,
        number: int,
        plan: Plan,
        kinesis: Kinesis,
        kafka: Callable[[Process], KafkaClients],
        lines: deque[str],
        on_assigned: Callable[[Process, list[str]], None],
    ) -> None:
        """`kafka` makes the clients of a process."""
        self.number = number
        self.buried: list[Process] = []
        self.unexpected: list[str] = []
        self.possible_duplicates = 0.0
        self._plan = plan
        self._kinesis = kinesis
        self._kafka = kafka
        self._lines = lines
        self._on_assigned = on_assigned
        self._starts = 0
        self.start()

    def start(self) -> None:
        """A new process."""
        self._starts += 1
        self.process = Process(self._kinesis.world, f"r{self.number}.{self._starts}")
        self.telemetry = KeptTelemetry(self.process, self._lines, self._may_be_twice, self._on_assigned)
        self.http = SimHttp(self._kinesis, self.process, REQUEST_TIMEOUT_S)
        self.client = SimKinesisClient(self._kinesis, self.process)
        self.forward: ForwardLine | None = None
        process = self.process
        process.loop.set_exception_handler(lambda _, context: self.unexpected.append(f"{process.name}: {context}"))
        task = process.loop.create_task(self._main(self.process))
        task.add_done_callback(lambda done: self._ended(process, done))
        process.main = task

    async def _main(self, process: Process) -> None:
        settings = settings_of(self._plan, self.number)
        kafka = self._kafka(process)
        admin = KafkaAdmin(kafka)
        sink = KinesisSink(self.http, SimCredentials(), "eu-central-1", URL, process)  # type: ignore[arg-type]
        kinesis = bootstrap.KinesisClients(sink, KinesisShardDirectory(self.client), self.client, URL)
        drain_timeout_s = await bootstrap.drain_timeout(settings, admin)
        machine = bootstrap.Machine(process, process.threading, process.name)
        self.forward = bootstrap.forward_line(settings, kafka, admin, kinesis, self.telemetry, drain_timeout_s, machine)
        await supervise(self.forward, self.telemetry, drain_timeout_s)

    def _ended(self, process: Process, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and process.alive:
            self.unexpected.append(f"{process.name} ended by itself: {error!r}")
        if process is self.process and process.alive:
            process.abandon()
            self._again(process, 1.0)

    def _again(self, process: Process, seconds: float) -> None:
        def start() -> None:
            if self.process is process:
                self.buried.append(process)
                self.start()

        self._kinesis.world.call_later(seconds, start)

    def _may_be_twice(self, records: float) -> None:
        self.possible_duplicates += records

    def crash(self, again_after: float) -> None:
        """Killed now."""
        if self.process.alive:
            self.process.abandon()
            self._again(self.process, again_after)

    def terminate(self, again_after: float) -> None:
        """SIGTERM; started anew some time after it ended, or killed after a while, as an orchestrator does."""
        process = self.process
        process.signal(15)
        if not process.alive:
            self._again(process, again_after)
        self._kinesis.world.call_later(60.0, lambda: self.crash(again_after) if self.process is process else None)

    def buffered_bytes(self) -> float:
        """What the process says it holds."""
        if self.forward is None:
            return 0.0
        return sum((value for name, _, value in self.forward._samples() if name == "bridge_buffer_bytes"), 0.0)

    def failures(self) -> list[str]:
        """What ended threads and tasks of this replica that nothing should have ended."""
        threads = [f"{p.name}: {error!r}" for p in (*self.buried, self.process) for error in p.failures]
        return self.unexpected + threads
