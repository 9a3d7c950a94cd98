"""kinesalite, the Kinesis emulator with real-looking sequence numbers, as a server for tests."""

import contextlib
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.servers.process import ROOT, SupervisedProcess, free_ports, is_listening, temporary_folder

TOOLS = ROOT / ".tools" / "kinesalite"
START_SCRIPT = Path(__file__).with_name("kinesalite") / "start.js"
READY_SECONDS = 30.0


def missing_for_kinesalite() -> str | None:
    """Why kinesalite cannot run here; None when it can."""
    if shutil.which("node") is None:
        return "node is not on PATH"
    if not (TOOLS / ".ready").exists():
        return "kinesalite is not fetched: make .tools/kinesalite/.ready"
    return None


class RunningKinesalite:
    """Streams stay over `stop()` and `start()` only when it was made with a data folder."""

    region = "us-east-1"

    def __init__(self, name: str, data: Path | None) -> None:
        self._name = name
        self._data = data
        (self._port,) = free_ports(1)
        self._process: SupervisedProcess | None = None

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        module = TOOLS / "node_modules" / "kinesalite"
        command = ["node", str(START_SCRIPT), str(module), str(self._port)]
        if self._data is not None:
            command.append(str(self._data))
        self._process = SupervisedProcess(self._name, command)
        self._process.wait_ready(lambda: is_listening(self._port), READY_SECONDS)

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None

    def pause(self) -> None:
        """Connections are accepted by the kernel and nothing is answered: a hung server, until `resume()`."""
        self._running().signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._running().signal(signal.SIGCONT)

    def _running(self) -> SupervisedProcess:
        if self._process is None:
            raise RuntimeError(f"{self._name} is stopped")
        return self._process


@contextlib.contextmanager
def running_kinesalite(name: str = "kinesalite", *, on_disk: bool = False) -> Iterator[RunningKinesalite]:
    """Yields a running server with `.endpoint_url`; with `on_disk` its data survive `stop()` and `start()`."""
    with contextlib.ExitStack() as stack:
        data = stack.enter_context(temporary_folder(name)) if on_disk else None
        server = RunningKinesalite(name, data)
        stack.callback(server.stop)
        server.start()
        yield server
