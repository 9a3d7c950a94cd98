"""Where the load goes: a Kafka and a Kinesis that the run starts, or yours."""

import contextlib
import itertools
import os
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

from bridge.core.topics import own_topics
from loadtest.errors import LoadTestError
from loadtest.jobs import KafkaAddress, KinesisAddress
from loadtest.scenario import Part
from tests.integration.daemon import daemon_environment
from tests.servers.embedded_kinesis import RunningEmbeddedKinesis, running_embedded_kinesis
from tests.servers.kafka import missing_for_kafka, running_kafka
from tests.servers.kinesis import REGION, is_active, kinesis_client
from tests.servers.process import temporary_folder, wait_until

ADMIN_TIMEOUT_S = 20.0
READY_TIMEOUT_S = 30.0
READERS_MAX = 16
CO_WRITER_KEY = "co-writer-access-key"

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
    """Topics and groups of a run; what it made it removes. Raises LoadTestError when no broker answers."""

    def __init__(self, address: KafkaAddress) -> None:
        self.address = address
        try:
            # Its broker may be stopped before it is: no lines about that.
            self._admin = AdminClient(address.client_properties({"log_level": 2}))
            self._admin.list_topics(timeout=ADMIN_TIMEOUT_S)
        except KafkaException as error:
            raise LoadTestError(f"Kafka at {address.bootstrap_servers}: {_reason(error)}") from error

    @contextlib.contextmanager
    def topic(self, partitions: int) -> Iterator[str]:
        """A topic of this run's own with a unique name."""
        name = unique("bridge-load")
        # -1: the cluster's own default.
        new = NewTopic(name, num_partitions=partitions, replication_factor=-1, config={"retention.ms": "3600000"})
        try:
            self._admin.create_topics([new], operation_timeout=ADMIN_TIMEOUT_S)[name].result(ADMIN_TIMEOUT_S)
        except (KafkaException, TimeoutError) as error:
            raise LoadTestError(f"topic {name} could not be made: {_reason(error)}") from error
        try:
            yield name
        finally:
            self._remove(name)

    def _remove(self, topic: str) -> None:
        try:
            self._admin.delete_topics([topic], operation_timeout=ADMIN_TIMEOUT_S)[topic].result(ADMIN_TIMEOUT_S)
        except (KafkaException, TimeoutError) as error:
            raise LoadTestError(f"topic {topic} could not be removed, please remove it: {_reason(error)}") from error

    @contextlib.contextmanager
    def group(self) -> Iterator[str]:
        """A unique name for a consumer group, and for the bridge that is its member; what Kafka has of both is deleted
        afterwards. Members have to leave by themselves."""
        name = unique("bridge-load")
        try:
            yield name
        except BaseException:
            # Not waited for: members that were killed stay for a session timeout. Kafka lets an empty group expire.
            self._deleted(name)
            raise
        finally:
            self._remove_topics_of(name)
        wait_until(lambda: self._deleted(name), f"consumer group {name} deleted", 2 * ADMIN_TIMEOUT_S)

    def _remove_topics_of(self, bridge: str) -> None:
        there = self._admin.list_topics(timeout=ADMIN_TIMEOUT_S).topics
        for topic in own_topics(bridge) & there.keys():
            self._remove(topic)

    def _deleted(self, group: str) -> bool:
        """False while it has members."""
        try:
            self._admin.delete_consumer_groups([group], request_timeout=ADMIN_TIMEOUT_S)[group].result(ADMIN_TIMEOUT_S)
        except KafkaException as error:
            return bool(error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND)
        except TimeoutError:
            return False
        return True


def _reason(error: KafkaException | TimeoutError) -> str:
    """In Kafka's words."""
    return str(error.args[0].str()) if isinstance(error, KafkaException) else f"no answer within {ADMIN_TIMEOUT_S:g} s"


class Kinesis:
    """One service and the environment in which its clients run. `server` is the run's own, `stream` the one of the command
    line: either of them."""

    def __init__(
        self,
        address: KinesisAddress,
        environment: dict[str, str],
        client: Any,  # noqa: ANN401 - botocore has no types
        server: RunningEmbeddedKinesis | None = None,
        stream: str | None = None,
    ) -> None:
        self.address = address
        self.environment = environment
        self.client = client
        self._server = server
        self._given_stream = stream

    @property
    def embedded(self) -> bool:
        """Whether it is the run's own, which tells its statistics."""
        return self._server is not None

    def statistics(self) -> dict[str, Any] | None:
        """What the embedded service counted; None of AWS."""
        return None if self._server is None else self._server.statistics()

    def forget_statistics(self) -> None:
        """The embedded service counts anew from here on."""
        if self._server is not None:
            self._server.control("DELETE", "/_control/statistics")

    def co_writer_environment(self) -> dict[str, str]:
        """The embedded service tells clients apart by their access keys; on AWS the account's own has to do."""
        return self.environment | ({"AWS_ACCESS_KEY_ID": CO_WRITER_KEY} if self.embedded else {})

    def open_shards(self, stream: str) -> dict[str, int]:
        """Open shards of a stream, and for each a hash key in its middle."""
        found: dict[str, int] = {}
        answer = self.client.list_shards(StreamName=stream, ShardFilter={"Type": "AT_LATEST"})
        while True:
            for shard in answer["Shards"]:
                hash_keys = shard["HashKeyRange"]
                found[shard["ShardId"]] = (int(hash_keys["StartingHashKey"]) + int(hash_keys["EndingHashKey"])) // 2
            if not answer.get("NextToken"):
                return found
            answer = self.client.list_shards(NextToken=answer["NextToken"])

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


@contextlib.contextmanager
def kinesis_for(targets: Targets, part: Part) -> Iterator[Kinesis]:
    """The service of the command line, else an embedded one as the part asks for."""
    if targets.stream is not None:
        yield given_kinesis(targets, targets.stream)
        return
    with contextlib.ExitStack() as stack:
        options = ["--latency", str(part.latency_ms / 1000)]
        ca_file = None
        if not part.limits:
            options.append("--no-limits")
        if part.tls:
            folder = stack.enter_context(temporary_folder("load-certificate"))
            ca_file = str(folder / "authority.pem")
            options += _certificate(folder, Path(ca_file))
        server = stack.enter_context(running_embedded_kinesis("load-kinesis", *options))
        address = KinesisAddress(REGION, server.endpoint_url, ca_file)
        client = kinesis_client(server.endpoint_url, verify=ca_file or True)
        yield Kinesis(address, daemon_environment({"AWS_CA_BUNDLE": ca_file} if ca_file else None), client, server)


def _certificate(folder: Path, ca_file: Path) -> list[str]:
    """Options of the server for a certificate whose authority is written to `ca_file`."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    authority.cert_pem.write_to_path(ca_file)
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    return ["--certificate", str(certificate), "--key", str(key)]


def given_kinesis(targets: Targets, stream: str) -> Kinesis:
    """The user's own stream. Raises LoadTestError when it cannot be described or is not active."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    region = targets.region or Session().get_config_variable("region")
    if region is None:
        raise LoadTestError("--stream: which region? Write --region, or set AWS_DEFAULT_REGION")
    client = Session().create_client(
        "kinesis", region_name=region, endpoint_url=targets.endpoint_url, config=Config(max_pool_connections=READERS_MAX)
    )
    try:
        if not is_active(client, stream):
            raise LoadTestError(f"--stream {stream}: it is not ACTIVE; wait until it is")
    except (BotoCoreError, ClientError) as error:
        raise LoadTestError(f"--stream {stream}: {error}") from error
    return Kinesis(KinesisAddress(region, targets.endpoint_url), environment, client, stream=stream)
