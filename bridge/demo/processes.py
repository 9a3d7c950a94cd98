"""Processes that the demonstration starts, and that do not outlive it."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

STOP_TIMEOUT_S = 30.0
_KILL_TIMEOUT_S = 10.0
_LOG_TAIL_LINES = 8
_PR_SET_PDEATHSIG = 1


class ChildProcess:
    """`python -m <module> <arguments>` in a session of its own, so that Ctrl-C reaches only the demonstration.

    Its standard error, and with `own_output` its standard output, go to `log`. On Linux the kernel kills it when the
    demonstration dies without a word; it must be started by the main thread, since the kernel watches the starting thread.
    """

    def __init__(
        self, arguments: list[str], environment: Mapping[str, str], log: Path, *, own_output: bool = True, tied: bool = True
    ) -> None:
        launcher = ["-m", "bridge.demo.processes", str(os.getpid())] if tied else ["-m"]
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, *launcher, *arguments],
                stdin=subprocess.DEVNULL if own_output else subprocess.PIPE,
                stdout=output if own_output else subprocess.PIPE,
                stderr=output,
                env=environment,
                start_new_session=True,
                text=True,
            )
        self._log = log

    def exit_status(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self.process.poll()

    def log_tail(self) -> str:
        """The last lines of its log."""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_TAIL_LINES:])

    def terminate(self, timeout_s: float = STOP_TIMEOUT_S) -> int | None:
        """SIGTERM, and its exit status; None when it still runs after `timeout_s`."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(timeout_s)
        return None

    def kill(self) -> None:
        """Ends it at once and waits until it is gone."""
        self.process.kill()
        self.process.wait(_KILL_TIMEOUT_S)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()


def _become_child_of(parent: int, arguments: list[str]) -> None:
    """Ties this process to its parent and turns it into `python -m <arguments>`; the tie survives that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the tie was made
        sys.exit(1)
    os.execv(sys.executable, [sys.executable, "-m", *arguments])


if __name__ == "__main__":
    _become_child_of(int(sys.argv[1]), sys.argv[2:])
