"""A single Apache Kafka broker (KRaft, no ZooKeeper) from its Maven artefacts, as a server for tests."""

import contextlib
import os
import shutil
import signal
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.servers.kafka_security import LISTENERS, PASSWORD, USER, KafkaSecurity, scram_users
from tests.servers.process import ROOT, SupervisedProcess, free_ports, is_listening, temporary_folder

TOOLS = ROOT / ".tools" / "kafka"
READY_SECONDS = 90.0
GIVEN_SERVER = "BRIDGE_TEST_KAFKA"
"""Environment variable with the bootstrap servers of a Kafka to use instead of starting one."""

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "num.partitions": "3",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    # After a crash the controller lets the same broker register again only when its old session has run out.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # Both group protocols with short sessions, so that a test sees a rebalance after a kill within seconds. The consumer
    # protocol's is the broker's to set; 10 s leaves a bridge with default settings the time to drain.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "10000",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.heartbeat.interval.ms": "500",
}


def missing_for_kafka(*, own: bool = False) -> str | None:
    """Why no Kafka can run here; None when one can."""
    if os.environ.get(GIVEN_SERVER) and not own:
        return None
    if shutil.which("java") is None:
        return "java is not on PATH"
    if not (TOOLS / ".ready").exists():
        return "Apache Kafka is not fetched: make .tools/kafka/.ready"
    return None


class RunningKafka:
    """`stop()` and `start()` keep ports and data. A server that was given is never stopped: `owned` tells."""

    def __init__(self, bootstrap_servers: str, broker: "Broker | None" = None) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.listeners = {} if broker is None else broker.listeners
        """Bootstrap servers of the further listeners."""
        self._broker = broker

    @property
    def owned(self) -> bool:
        return self._broker is not None

    @property
    def data(self) -> Path:
        """The folder with a folder for each partition."""
        return self._own().data

    def start(self) -> None:
        self._own().start()

    def stop(self, *, gracefully: bool = False) -> None:
        """As a crash (SIGKILL), or with a controlled shutdown."""
        self._own().stop(gracefully=gracefully)

    def pause(self) -> None:
        """A hung broker: accepts connections and answers nothing, until `resume()`."""
        self._own().running().signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._own().running().signal(signal.SIGCONT)

    def _own(self) -> "Broker":
        if self._broker is None:
            raise RuntimeError(f"the Kafka of {GIVEN_SERVER} is not ours to stop: ask for running_kafka(own=True)")
        return self._broker


def _escaped(value: str) -> str:
    """A value of several lines, such as a certificate, in Java's format of properties."""
    return value.strip().replace("\n", "\\n")


class Broker:
    """The broker's process and folder."""

    def __init__(self, name: str, folder: Path, settings: Mapping[str, str], listeners: Mapping[str, str]) -> None:
        """`listeners` are further ones: name -> protocol."""
        self._name = name
        self._folder = folder
        self.data = folder / "data"
        self._port, controller_port, *ports = free_ports(2 + len(listeners))
        self.listeners = {listener: f"127.0.0.1:{port}" for listener, port in zip(listeners, ports, strict=True)}
        self._process: SupervisedProcess | None = None
        for_clients = [f"PLAINTEXT://{self.bootstrap_servers}", *(f"{name}://{at}" for name, at in self.listeners.items())]
        protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", **listeners}
        addresses = {
            "listeners": ",".join([*for_clients, f"CONTROLLER://127.0.0.1:{controller_port}"]),
            "advertised.listeners": ",".join(for_clients),
            "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller_port}",
            "log.dirs": str(self.data),
        }
        self._properties = folder / "server.properties"
        every = SETTINGS | addresses | dict(settings)
        lines = [f"{key}={_escaped(value)}" for key, value in every.items()]
        self._properties.write_text("\n".join(lines) + "\n")

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._port}"

    def _java(self, name: str, *arguments: str) -> SupervisedProcess:
        # Without -UsePerfData a killed JVM leaves a file in the system's temporary folder.
        command = ["java", "-Xmx512m", "-XX:-UsePerfData", "-Djava.awt.headless=true"]
        command += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"]
        return SupervisedProcess(name, [*command, "-cp", str(TOOLS / "libs" / "*"), *arguments], folder=self._folder)

    def format(self, arguments: Sequence[str] = ()) -> None:
        # The first byte is cleared: an identity that began with a hyphen would be read as an option.
        identity = urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
        tool = ["kafka.tools.StorageTool", "format", "--standalone", "-t", identity, "-c", str(self._properties), *arguments]
        with self._java(f"{self._name}-format", *tool) as process:
            if process.wait_exit(READY_SECONDS) != 0:
                raise RuntimeError(f"the storage of {self._name} could not be formatted\n{process.log_tail()}")

    def start(self) -> None:
        self._process = self._java(self._name, "kafka.Kafka", str(self._properties))
        self._process.wait_ready(self._answers, READY_SECONDS)

    def _answers(self) -> bool:
        if not is_listening(self._port):
            return False
        try:
            metadata = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0}).list_topics(timeout=2.0)
        except KafkaException:
            return False
        return bool(metadata.brokers)

    def stop(self, *, gracefully: bool = False) -> None:
        if self._process is None:
            return
        if gracefully:
            self._process.signal(signal.SIGTERM)
            self._process.wait_exit(60.0)
        self._process.stop()
        self._process = None

    def running(self) -> SupervisedProcess:
        if self._process is None:
            raise RuntimeError(f"{self._name} is stopped")
        return self._process


@contextlib.contextmanager
def running_kafka(name: str = "kafka", *, own: bool = False, settings: Mapping[str, str] | None = None) -> Iterator[RunningKafka]:
    """Yields a Kafka that answers: the one of BRIDGE_TEST_KAFKA, else (or with `own`, or with `settings`) a fresh one."""
    given = os.environ.get(GIVEN_SERVER)
    if given and not own and not settings:
        yield RunningKafka(given)
        return
    with _running(name, settings or {}, {}, []) as server:
        yield server


@contextlib.contextmanager
def running_secure_kafka(
    security: KafkaSecurity, name: str = "secure-kafka", settings: Mapping[str, str] | None = None
) -> Iterator[RunningKafka]:
    """Yields a Kafka with `kafka_security.LISTENERS` beside the open one, and the SCRAM user of that module."""
    with _running(name, {**security.settings(), **(settings or {})}, LISTENERS, scram_users({USER: PASSWORD})) as server:
        yield server


@contextlib.contextmanager
def _running(
    name: str, settings: Mapping[str, str], listeners: Mapping[str, str], format_arguments: Sequence[str]
) -> Iterator[RunningKafka]:
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(temporary_folder(name))
        broker = Broker(name, folder, settings, listeners)
        broker.format(format_arguments)
        stack.callback(broker.stop)
        broker.start()
        yield RunningKafka(broker.bootstrap_servers, broker)
