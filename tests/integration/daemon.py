"""The bridge's daemon as a process of its own: its settings written as YAML, its HTTP read, its signals sent."""

import contextlib
import json
import os
import re
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.servers.kinesis import ACCESS_KEY, SECRET_KEY
from tests.servers.process import SupervisedProcess, free_ports, temporary_folder

READY_SECONDS = 60.0
EXIT_SECONDS = 60.0
HTTP_SECONDS = 5.0
PROBE_SECONDS = 2.0
FOREIGN_ENVIRONMENT = re.compile(r"(AWS_|BRIDGE_).*|.*_proxy", re.IGNORECASE)
"""What the machine has set for other purposes must not reach the daemon under test."""

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Daemon:
    """Made by `running_daemon`. `start()` again after its end gives a new process with the same settings and port."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], environment: Mapping[str, str], module: str = "bridge") -> None:
        self._name = str(settings["name"])
        self._environment = environment
        self._module = module
        self.config = folder / "bridge.yaml"
        metrics = {"host": "127.0.0.1", **settings.get("metrics", {})}
        if "port" not in metrics:
            (metrics["port"],) = free_ports(1)
        self.config.write_text(yaml.safe_dump({**settings, "metrics": metrics}))
        self._metrics_url = f"http://127.0.0.1:{metrics['port']}"
        self._process: SupervisedProcess | None = None

    @property
    def process(self) -> SupervisedProcess:
        if self._process is None:
            raise RuntimeError(f"{self._name} was not started")
        return self._process

    def start(self, *, ready: bool = True) -> None:
        """With `ready`, returns when /readyz says so."""
        self.kill()
        command = [sys.executable, "-m", self._module, "run", "--config", str(self.config)]
        # In the folder of its settings, not the repository's: it must find its own package by itself.
        self._process = SupervisedProcess(
            f"bridge-{self._name}", command, environment=self._environment, folder=self.config.parent
        )
        if ready:
            self.wait_ready()

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        self.process.wait_ready(lambda: self.status_of("/readyz") == 200, seconds)

    def status_of(self, path: str) -> int | None:
        """HTTP status on the metrics port; None while nothing answers there."""
        try:
            with _opener.open(self._metrics_url + path, timeout=PROBE_SECONDS) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return None

    def json_of(self, path: str) -> Any:
        """The JSON document there, whatever its status; {} with empty lists while nothing answers."""
        try:
            with _opener.open(self._metrics_url + path, timeout=PROBE_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)
        except OSError:
            return {"problems": [], "halted": []}

    def metrics(self) -> "Metrics":
        return Metrics(self.text_of("/metrics"))

    def text_of(self, path: str) -> str:
        """The text there; raises HTTPError for a status that is no success."""
        with _opener.open(self._metrics_url + path, timeout=HTTP_SECONDS) as answer:
            return str(answer.read().decode())

    def terminate(self) -> None:
        """SIGTERM: drain, commit, exit 0."""
        self.process.signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, as by the kernel; returns when the process is gone."""
        if self._process is not None:
            self._process.stop()

    def pause(self) -> None:
        """SIGSTOP: a process that hangs, with its connections open, until `resume()`."""
        self.process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.signal(signal.SIGCONT)

    def wait_exit(self, seconds: float = EXIT_SECONDS) -> int:
        """The exit status; negative: the signal that ended it."""
        return self.process.wait_exit(seconds)

    def log_text(self) -> str:
        return self.process.log_text()

    def peak_memory_bytes(self) -> int:
        """Highest resident size so far; to be asked while it runs."""
        return peak_memory_bytes(self.process.pid)


class Metrics:
    """One answer of /metrics."""

    def __init__(self, text: str) -> None:
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def total(self, name: str, **labels: str) -> float:
        """Sum of the samples of that name which carry at least these labels; 0 where there is none."""
        return sum(sample.value for sample in self._samples if sample.name == name and labels.items() <= sample.labels.items())

    def by_label(self, name: str, label: str) -> dict[str, float]:
        """Sums of the samples of that name, by the value of one of their labels."""
        sums: dict[str, float] = {}
        for sample in self._samples:
            if sample.name == name and label in sample.labels:
                sums[sample.labels[label]] = sums.get(sample.labels[label], 0.0) + sample.value
        return sums

    def names(self) -> set[str]:
        return {sample.name for sample in self._samples}


def peak_memory_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no memory any more")


def daemon_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The machine's environment without what is meant for others, with credentials that no account knows."""
    kept = {name: value for name, value in os.environ.items() if not FOREIGN_ENVIRONMENT.fullmatch(name)}
    credentials = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_EC2_METADATA_DISABLED": "true"}
    return kept | credentials | dict(extra or {})


@contextlib.contextmanager
def running_daemon(
    settings: Mapping[str, Any],
    *,
    environment: Mapping[str, str] | None = None,
    ready: bool = True,
    module: str = "bridge",
) -> Iterator[Daemon]:
    """Yields a daemon that is ready (or, without `ready`, just started), and kills it at the end of the block.

    `settings` is the configuration file; a free port for /livez /readyz /metrics is put in where none is given.
    `environment` is added to the environment, such as BRIDGE_KAFKA__BOOTSTRAP_SERVERS. `module` is what Python runs.
    """
    with temporary_folder(f"bridge-{settings['name']}") as folder:
        daemon = Daemon(folder, settings, daemon_environment(environment), module)
        try:
            daemon.start(ready=ready)
            yield daemon
        finally:
            daemon.kill()
