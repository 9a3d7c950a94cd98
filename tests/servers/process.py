"""A supervised child process: started, awaited, signalled, stopped; gone when the test run is gone."""

import contextlib
import datetime
import functools
import itertools
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUPERVISOR = Path(__file__).with_name("supervisor.py")
LOG_TAIL_LINES = 40
POLL_SECONDS = 0.02
REMOVAL_SECONDS = 90.0
"""A broker with thousands of partitions leaves ten thousand files: some 20 s on a slow disk."""


class NotReadyError(Exception):
    """A process ended or stayed silent where it should have become ready; the message ends with its log's tail."""


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Polls until the condition holds; raises TimeoutError naming what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(POLL_SECONDS)


@functools.cache
def log_folder() -> Path:
    """One folder per test run; it stays for whoever looks into a failure."""
    folder = ROOT / "test-logs" / f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"
    folder.mkdir(parents=True)
    return folder


def unused_log_path(name: str) -> Path:
    """A process that is started again under the same name has a log of its own: NAME.log, NAME-2.log, ..."""
    names = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
    return next(path for name in names if not (path := log_folder() / f"{name}.log").exists())


def free_ports(count: int) -> list[int]:
    """Loopback ports nobody listens on, below the range of outgoing connections.

    A client that retries a closed port of that range can connect to itself and so keep a restarted server from its port.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class SupervisedProcess:
    """A running command. Its output goes to `log_path`; it dies with the test run, by whatever signal that one dies."""

    def __init__(
        self,
        name: str,
        command: Sequence[str] | None,
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path = ROOT,
        remove: Sequence[Path] = (),
    ) -> None:
        self.name = name
        self.log_path = log_folder() / "folders.log" if command is None else unused_log_path(name)
        self._exit_status: int | None = None
        self._reported = b""
        job = {
            "command": None if command is None else list(command),
            "cwd": str(folder),
            "log": str(self.log_path),
            "remove": [str(path) for path in remove],
        }
        with self.log_path.open("ab") as log:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-I", "-S", str(SUPERVISOR)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env=dict(os.environ if environment is None else environment),
                start_new_session=True,
            )
        assert self._supervisor.stdin is not None
        self._supervisor.stdin.write(json.dumps(job).encode() + b"\n")
        word, pid = self._next_report(10.0)
        if word != "started":
            self.stop()
            raise NotReadyError(f"{name} did not start\n{self.log_tail()}")
        self.pid = pid
        """Of the command itself, not of its supervisor."""

    def _next_report(self, seconds: float) -> tuple[str, int]:
        """The next line of the supervisor, or ("silent", 0) at the deadline, or ("gone", 0) at its end."""
        assert self._supervisor.stdout is not None
        deadline = time.monotonic() + seconds
        while b"\n" not in self._reported:
            ready, _, _ = select.select([self._supervisor.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return "silent", 0
            chunk = os.read(self._supervisor.stdout.fileno(), 4096)
            if not chunk:
                return "gone", 0
            self._reported += chunk
        line, _, self._reported = self._reported.partition(b"\n")
        word, _, number = line.decode().partition(" ")
        return word, int(number)

    def exit_status(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._await_exit(0.0)

    def _await_exit(self, seconds: float) -> int | None:
        if self._exit_status is None:
            word, status = self._next_report(seconds)
            if word == "exited":
                self._exit_status = status
            elif word == "gone":
                self._exit_status = -signal.SIGKILL  # the supervisor was killed, and the kernel killed the command
        return self._exit_status

    def wait_exit(self, seconds: float) -> int:
        """The exit status; TimeoutError with the log's tail when it is still running at the deadline."""
        status = self._await_exit(seconds)
        if status is None:
            raise TimeoutError(f"{self.name} still runs after {seconds:g} s\n{self.log_tail()}")
        return status

    def wait_ready(self, condition: Callable[[], bool], seconds: float) -> None:
        """Polls until the condition holds; NotReadyError with the log's tail when it ends before that or never gets there."""
        deadline = time.monotonic() + seconds
        while not condition():
            status = self.exit_status()
            if status is not None:
                raise NotReadyError(f"{self.name} ended with status {status} before it was ready\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise NotReadyError(f"{self.name} was not ready within {seconds:g} s\n{self.log_tail()}")
            time.sleep(POLL_SECONDS)

    def log_text(self) -> str:
        return self.log_path.read_text(errors="replace")

    def log_tail(self) -> str:
        lines = self.log_text().splitlines()[-LOG_TAIL_LINES:]
        return "\n".join([f"--- end of {self.log_path} ---", *lines])

    def signal(self, number: signal.Signals) -> None:
        if self.exit_status() is None:
            with contextlib.suppress(ProcessLookupError):  # it ended by itself at this moment
                os.kill(self.pid, number)

    def stop(self, seconds: float = 15.0) -> None:
        """Kills the command with all its descendants and waits until they and the folders to remove are gone."""
        assert self._supervisor.stdin is not None
        assert self._supervisor.stdout is not None
        if not self._supervisor.stdin.closed:
            self._supervisor.stdin.close()
        self._await_exit(seconds)
        self._supervisor.wait(seconds + 5.0)
        self._supervisor.stdout.close()

    def __enter__(self) -> "SupervisedProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextlib.contextmanager
def temporary_folder(name: str) -> Iterator[Path]:
    """A folder that is removed at the end of the block, and also when the test run is killed inside it."""
    folder = Path(tempfile.mkdtemp(prefix=f"bridge-test-{name}-"))
    process = SupervisedProcess(name, None, remove=[folder])
    try:
        yield folder
    finally:
        process.stop(REMOVAL_SECONDS)
