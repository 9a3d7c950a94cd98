"""Where the load goes: a Kafka and a Kinesis that the run starts, or yours."""

import contextlib
import itertools
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from loadtest.errors import LoadTestError
from loadtest.jobs import KafkaAddress, KinesisAddress
from loadtest.scenario import Part
from tests.integration.daemon import daemon_environment
from tests.servers.kafka import missing_for_kafka, running_kafka
from tests.servers.kinesis import REGION, is_active
from tests.servers.process import SupervisedProcess, temporary_folder, wait_until

ADMIN_TIMEOUT_S = 30.0
READY_TIMEOUT_S = 30.0

_number = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Targets:
    """What the command line names; None: the run starts its own."""

    bootstrap_servers: str | None = None
    properties: dict[str, str] = field(default_factory=dict)
    stream: str | None = None
    endpoint_url: str | None = None
    region: str | None = None


def unique(name: str) -> str:
    """A name that no other run has: process numbers tell runs on one machine apart, the random part others."""
    return f"{name}-{os.getpid()}-{next(_number)}-{os.urandom(3).hex()}"


@contextlib.contextmanager
def kafka_for(targets: Targets) -> Iterator[KafkaAddress]:
    """The Kafka of the command line, else a fresh one. Raises LoadTestError when that cannot be."""
    if targets.bootstrap_servers is not None:
        yield KafkaAddress(targets.bootstrap_servers, targets.properties)
        return
    if missing := missing_for_kafka(own=True):
        raise LoadTestError(f"Apache Kafka cannot be started: {missing}; or name yours with --bootstrap-servers")
    with running_kafka(own=True) as kafka:
        yield KafkaAddress(kafka.bootstrap_servers, targets.properties)


class Kafka:
    """Topics and groups of a run; what it made it removes."""

    def __init__(self, address: KafkaAddress) -> None:
        self.address = address
        # Its broker may be stopped before it is: no lines about that.
        self._admin = AdminClient(address.client_properties({"log_level": 2}))

    @contextlib.contextmanager
    def topic(self, partitions: int) -> Iterator[str]:
        """A topic of this run's own with a unique name."""
        name = unique("bridge-load")
        # -1: the cluster's own default.
        new = NewTopic(name, num_partitions=partitions, replication_factor=-1, config={"retention.ms": "3600000"})
        try:
            self._admin.create_topics([new], operation_timeout=ADMIN_TIMEOUT_S)[name].result(ADMIN_TIMEOUT_S)
        except KafkaException as error:
            raise LoadTestError(f"--bootstrap-servers {self.address.bootstrap_servers}: topic {name}: {error}") from error
        try:
            yield name
        finally:
            self._admin.delete_topics([name], operation_timeout=ADMIN_TIMEOUT_S)[name].result(ADMIN_TIMEOUT_S)

    @contextlib.contextmanager
    def group(self) -> Iterator[str]:
        """A unique name for a consumer group, which is deleted afterwards; its members have to be gone then."""
        name = unique("bridge-load")
        try:
            yield name
        finally:
            wait_until(lambda: self._deleted(name), f"consumer group {name} deleted", 2 * ADMIN_TIMEOUT_S)

    def _deleted(self, group: str) -> bool:
        """False while members that were killed are still in it."""
        try:
            self._admin.delete_consumer_groups([group], request_timeout=ADMIN_TIMEOUT_S)[group].result(ADMIN_TIMEOUT_S)
        except KafkaException as error:
            return bool(error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND)
        return True


class Kinesis:
    """One service and the environment in which its clients run."""

    def __init__(self, address: KinesisAddress, environment: dict[str, str], stream: str | None) -> None:
        self.address = address
        self.environment = environment
        self._given_stream = stream
        self.client: Any = _client(address, environment if stream is None else None)

    @property
    def embedded(self) -> bool:
        """Whether it is the run's own, which tells its statistics."""
        return self._given_stream is None

    @contextlib.contextmanager
    def stream(self, shards: int) -> Iterator[str]:
        """A fresh stream, removed afterwards; or the one of the command line, as it is."""
        if self._given_stream is not None:
            yield self._given_stream
            return
        name = unique("load")
        self.client.create_stream(StreamName=name, ShardCount=shards)
        wait_until(lambda: is_active(self.client, name), f"stream {name}", READY_TIMEOUT_S)
        yield name
        self.client.delete_stream(StreamName=name)


def _client(address: KinesisAddress, environment: dict[str, str] | None) -> Any:  # noqa: ANN401 - botocore has no types
    credentials = {}
    if environment is not None:
        names = {"aws_access_key_id": "AWS_ACCESS_KEY_ID", "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY"}
        credentials = {argument: environment[name] for argument, name in names.items()}
    return Session().create_client(
        "kinesis",
        region_name=address.region,
        endpoint_url=address.endpoint_url,
        verify=address.ca_file,
        config=Config(proxies={} if environment is not None else None, max_pool_connections=64),
        **credentials,
    )


@contextlib.contextmanager
def kinesis_for(targets: Targets, part: Part) -> Iterator[Kinesis]:
    """The service of the command line, else an embedded one as the part asks for."""
    if targets.stream is not None:
        yield _given(targets, targets.stream)
        return
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(temporary_folder("load-kinesis"))
        command = [sys.executable, "-m", "bridge.embedded.kinesis_server", "--latency", str(part.latency_ms / 1000)]
        ready_file, ca_file = folder / "url", None
        command += ["--ready-file", str(ready_file)]
        if not part.limits:
            command.append("--no-limits")
        if part.tls:
            ca_file = str(folder / "authority.pem")
            command += _certificate(folder, Path(ca_file))
        server = stack.enter_context(SupervisedProcess("load-kinesis", command))
        server.wait_ready(lambda: ready_file.exists() and ready_file.read_text().endswith("\n"), READY_TIMEOUT_S)
        address = KinesisAddress(REGION, ready_file.read_text().strip(), ca_file)
        yield Kinesis(address, daemon_environment({"AWS_CA_BUNDLE": ca_file} if ca_file else None), None)


def _certificate(folder: Path, ca_file: Path) -> list[str]:
    """Options of the server for a certificate whose authority is written to `ca_file`."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    authority.cert_pem.write_to_path(ca_file)
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    return ["--certificate", str(certificate), "--key", str(key)]


def _given(targets: Targets, stream: str) -> Kinesis:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    region = targets.region or Session().get_config_variable("region")
    if region is None:
        raise LoadTestError("--stream: which region? Write --region, or set AWS_DEFAULT_REGION")
    kinesis = Kinesis(KinesisAddress(region, targets.endpoint_url), environment, stream)
    try:
        if not is_active(kinesis.client, stream):
            raise LoadTestError(f"--stream {stream}: it is not ACTIVE; wait until it is")
    except (BotoCoreError, ClientError) as error:
        raise LoadTestError(f"--stream {stream}: {error}") from error
    return kinesis
