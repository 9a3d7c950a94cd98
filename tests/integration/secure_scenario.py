"""What the tests of secured connections share: a Kafka with many listeners, files of secrets, a route through both."""

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.integration.daemon import Daemon, daemon_environment, running_daemon
from tests.integration.flights import produce
from tests.integration.kinesis_reader import read_stream
from tests.integration.scenario import wait_committed
from tests.integration.unsecured_token_bridge import LIFETIME_VARIABLE, REFUSAL_VARIABLE, SIGNED_VARIABLE
from tests.servers.certificates import Authority, write_files
from tests.servers.fixtures import unique
from tests.servers.kafka import RunningKafka
from tests.servers.kafka_security import PASSWORD, USER, KafkaSecurity
from tests.servers.kinesis import REGION, create_stream, kinesis_client
from tests.servers.process import ROOT, SupervisedProcess
from tests.servers.topics import create_topic

KEY_PASSWORD = "opens-the-key-of-the-bridge"
COMMAND_SECONDS = 60.0

Environment = Mapping[str, str]


@dataclass(frozen=True)
class Scenario:
    """`folder` has the files; each test writes its own over them."""

    kafka: RunningKafka
    security: KafkaSecurity
    endpoint_url: str
    folder: Path

    def write_files(self) -> None:
        """The right files, and some of others: `other-ca.pem`, `other.pem`, `other.key`."""
        own, other = self.security.client_authority.issue("bridge"), Authority().issue("bridge")
        contents = {
            "ca.pem": self.security.authority.certificate,
            "bridge.pem": own.chain,
            "bridge.key": own.key,
            "encrypted.key": own.encrypted_key(KEY_PASSWORD),
            "password": f"{PASSWORD}\n",
            "key-password": f"{KEY_PASSWORD}\n",
            "other-ca.pem": Authority().certificate,
            "other.pem": other.chain,
            "other.key": other.key,
        }
        write_files(self.folder, contents)

    def copy(self, source: str, target: str) -> None:
        """As a rotation does: the file is replaced at once, never half written."""
        (self.folder / "new").write_bytes((self.folder / source).read_bytes())
        (self.folder / "new").rename(self.folder / target)

    def write(self, name: str, text: str) -> None:
        (self.folder / "new").write_text(text)
        (self.folder / "new").rename(self.folder / name)

    def new_route(self) -> dict[str, str]:
        """A topic of one partition and a stream of one shard, both of one name, which is also the bridge's."""
        name = unique("secure")
        create_topic(self.kafka.bootstrap_servers, name, partitions=1)
        create_stream(kinesis_client(self.endpoint_url), name, shards=1)
        return {"topic": name, "stream": name}

    def settings(self, route: Mapping[str, str], listener: str, security: Mapping[str, str], **more: Any) -> dict[str, Any]:
        """A configuration for a listener; names of files without a folder are those of `folder`."""
        filled = {key: str(self.folder / value) if key.endswith("_file") else value for key, value in security.items()}
        kafka = {"bootstrap_servers": self.kafka.listeners[listener], "security": filled}
        kinesis = {"region": REGION, "endpoint_url": self.endpoint_url}
        return {"name": route["topic"], "kafka": kafka, "kinesis": kinesis, "routes": [dict(route)], **more}

    def daemon(
        self, settings: Mapping[str, Any], *, ready: bool = True, module: str = "bridge", environment: Environment | None = None
    ) -> AbstractContextManager[Daemon]:
        return running_daemon(settings, environment=self._environment(environment), ready=ready, module=module)

    def _environment(self, more: Environment | None) -> dict[str, str]:
        """Beside what the bridge reads: where the stand-in for Amazon MSK's signer looks."""
        own = {
            "PYTHONPATH": str(ROOT),
            LIFETIME_VARIABLE: "900",
            REFUSAL_VARIABLE: str(self.folder / "no-token"),
            SIGNED_VARIABLE: str(self.folder / "signed"),
        }
        return {**own, **(more or {})}

    def command(
        self, settings: Mapping[str, Any], *arguments: str, module: str = "bridge", environment: Environment | None = None
    ) -> tuple[int, str]:
        """Exit status and output of one command of the bridge."""
        return run_command(self.folder, settings, *arguments, module=module, environment=self._environment(environment))

    def carries(self, route: Mapping[str, str], value: bytes) -> None:
        """One more record, which must arrive."""
        produce(self.kafka.bootstrap_servers, route["topic"], [(b"key", value)])
        wait_committed(self.kafka, route["topic"], route["topic"], 60)
        stored = read_stream(kinesis_client(self.endpoint_url), route["stream"])
        assert stored[-1].data == value


LOGIN = {"username": USER, "password_file": "password"}


def run_command(
    folder: Path, settings: Mapping[str, Any], *arguments: str, module: str = "bridge", environment: Environment | None = None
) -> tuple[int, str]:
    """Exit status and output of one command of the bridge, with its configuration in this folder."""
    file = folder / f"{unique('command')}.yaml"
    file.write_text(yaml.safe_dump(dict(settings)))
    command = [sys.executable, "-m", module, *arguments, "--config", str(file)]
    with SupervisedProcess("bridge-command", command, environment=daemon_environment(environment), folder=folder) as process:
        return process.wait_exit(COMMAND_SECONDS), process.log_text()
