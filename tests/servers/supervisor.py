"""Runs one command and ends with whoever started it, however that one ends.

Started by `process.py` as a script of its own, with nothing imported from the project. The starter holds the write end of
our standard input: when it is gone, also by SIGKILL, the read returns end of file, and the command with all its
descendants is killed and the folders named are removed. If this process itself is killed, the kernel kills the command.

Input: one JSON line {"command", "cwd", "log", "remove"}. Output: a line `started PID`, then `exited STATUS`.
Without a command it only waits for the end of its input and removes the folders.
"""

import contextlib
import ctypes
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
REMOVAL_SECONDS = 15.0


def prctl(option: int, value: int) -> None:
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def read_line() -> bytes:
    """Unbuffered, so that the end of the input is still there for `watch` to see."""
    line = b""
    while not line.endswith(b"\n") and (chunk := os.read(0, 65536)):
        line += chunk
    return line


def start(job: dict[str, Any], log: int) -> "subprocess.Popen[bytes]":
    supervisor = os.getpid()

    def tie_to_supervisor() -> None:
        # The signal comes at the death of the forking thread; this process has one thread only.
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(1)

    # A session of its own: Ctrl-C at the terminal reaches the test run, which then decides what to stop.
    return subprocess.Popen(
        job["command"],
        cwd=job["cwd"],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=tie_to_supervisor,
    )


def watch(child: "subprocess.Popen[bytes] | None") -> int | None:
    """Returns the command's exit status, or None when the starter has gone."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(wake_read, selectors.EVENT_READ)
        while True:
            # Asked first, because the child may have ended before the handler was in place.
            if child is not None and child.poll() is not None:
                return child.returncode
            for key, _ in selector.select():
                if key.fd == 0 and not os.read(0, 4096):
                    return None
                if key.fd == wake_read:
                    os.read(wake_read, 4096)


def children() -> list[int]:
    with contextlib.suppress(OSError):  # not every system has this file: the process group was killed all the same
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    return []


def kill_all(child: "subprocess.Popen[bytes]") -> None:
    """Kills the command, its process group, and what escaped the group: orphans become our children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    while orphans := children():
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def remove(folders: list[str]) -> None:
    """Another supervisor's process may still be writing there for a moment, so this tries until a deadline."""
    deadline = time.monotonic() + REMOVAL_SECONDS
    while (left := [folder for folder in folders if os.path.lexists(folder)]) and time.monotonic() < deadline:
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.02)


def report(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # the starter has gone and nobody needs to know
        os.write(1, f"{line}\n".encode())


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A handler that does nothing, where SIG_IGN would be inherited by the command.
        signal.signal(number, lambda *_: None)
    job = json.loads(read_line())
    try:
        if job["command"] is None:
            report(f"started {os.getpid()}")
            watch(None)
            return
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        child = start(job, log)
        try:
            report(f"started {child.pid}")
            status = watch(child)
        finally:
            kill_all(child)
        report(f"exited {child.returncode if status is None else status}")
    finally:
        remove(job["remove"])


if __name__ == "__main__":
    main()
