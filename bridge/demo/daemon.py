"""The bridge itself: the daemon that users deploy, as a process of its own with a configuration file of its own."""

import http.client
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import yaml

from bridge.demo.processes import ChildProcess
from bridge.embedded.kafka import PARTITIONS

NAME = "flights-demo"
REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo"}
"""The embedded Kinesis knows no accounts: any will do."""

_HOST = "127.0.0.1"
_HTTP_TIMEOUT_S = 5.0
_FOREIGN = re.compile(r"(AWS_|BRIDGE_).*|.*_proxy", re.IGNORECASE)


def demo_environment() -> dict[str, str]:
    """The machine's environment without what is meant for real accounts, other bridges, or a proxy."""
    kept = {name: text for name, text in os.environ.items() if not _FOREIGN.fullmatch(name)}
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true"}
    return kept | CREDENTIALS | nowhere


def demo_configuration(bootstrap: str, endpoint_url: str, topic: str, stream: str) -> dict[str, Any]:
    """The configuration file: addresses and one route; the rest are the defaults of production. The embedded Kafka makes every
    topic with so many partitions."""
    return {
        "name": NAME,
        "kafka": {"bootstrap_servers": bootstrap},
        "kinesis": {"region": REGION, "endpoint_url": endpoint_url},
        "routes": [{"topic": topic, "stream": stream}],
        "ledger": {"slots": PARTITIONS},
        "metrics": {"host": _HOST, "port": 0},
    }


class BridgeProcess(ChildProcess):
    """`python -m bridge run --config FILE`."""

    def __init__(self, configuration: Mapping[str, Any], file: Path, environment: Mapping[str, str], log: Path) -> None:
        file.write_text(yaml.safe_dump(dict(configuration), sort_keys=False))
        super().__init__(["bridge", "run", "--config", str(file)], environment, log)
        self._port: int | None = None

    @property
    def metrics_url(self) -> str | None:
        """None until the daemon has said where it listens."""
        if self._port is None:
            self._port = _metrics_port(self._log.read_bytes())
        return None if self._port is None else f"http://{_HOST}:{self._port}/metrics"

    def is_ready(self) -> bool:
        """What its /readyz says."""
        if self.metrics_url is None:
            return False
        connection = http.client.HTTPConnection(_HOST, self._port, timeout=_HTTP_TIMEOUT_S)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()


def _metrics_port(log: bytes) -> int | None:
    for line in log.splitlines(keepends=True):
        if line.endswith(b"\n") and line.startswith(b"{") and (event := orjson.loads(line)).get("event") == "bridge_started":
            return int(event["metrics_port"])
    return None
