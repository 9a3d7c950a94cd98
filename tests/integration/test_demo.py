"""`bridge demo` as people start it: its verdict, and that nothing of it is left, however it ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.integration.daemon import daemon_environment
from tests.servers.process import wait_until

RECORDS = 20_000
SECONDS = 120.0
INTERRUPTED = 130


class Demo:
    """A running demonstration with its output in files and a folder of its own for temporary ones."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        self.process = process
        self.temporary = folder / "temporary"
        self.folder = folder

    def output(self) -> str:
        return (self.folder / "output").read_text()

    def progress(self) -> str:
        return (self.folder / "progress").read_text()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        def holds_or_ended() -> bool:
            assert self.process.poll() is None, self.output() + self.progress()
            return condition()

        wait_until(holds_or_ended, what, SECONDS)


@contextmanager
def running_demo(folder: Path, *arguments: str) -> Iterator[Demo]:
    temporary = folder / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "bridge", "demo", *arguments]
    environment = daemon_environment({"TMPDIR": str(temporary)})
    with (folder / "output").open("wb") as output, (folder / "progress").open("wb") as progress:
        process = subprocess.Popen(command, stdout=output, stderr=progress, env=environment, start_new_session=True)
    try:
        yield Demo(process, folder)
    finally:
        if process.poll() is None:
            children = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            process.wait()
            for child in children:
                child.kill()


def ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def is_working(demo: Demo) -> bool:
    return "  stored " in demo.output() + demo.progress()


def test_the_verdict_is_exact_and_nothing_is_left(tmp_path: Path):
    with running_demo(tmp_path, "--records", str(RECORDS), "--output", "json") as demo:
        demo.wait_for(lambda: len(demo.children()) == 2, "Kinesis and the bridge")
        children = demo.children()
        assert demo.process.wait(SECONDS) == 0, demo.output() + demo.progress()
        assert all(map(ended, children))
        assert list(demo.temporary.iterdir()) == []
        verdict = json.loads(demo.output())
    assert verdict["exact"] is True
    assert verdict["problems"] == []
    assert (verdict["expected"], verdict["sent"], verdict["stored"]) == (RECORDS, RECORDS, RECORDS)
    assert [verdict[defect] for defect in ("missing", "unexpected", "duplicates", "inversions")] == [0, 0, 0, 0]
    assert RECORDS / verdict["shards"] < verdict["busiest_shard_records"] < RECORDS
    assert verdict["busiest_shard"].startswith("shardId-")
    assert verdict["seconds"] > 0
    # 1000 records/s and shard: the busiest shard cannot have been faster than its limit (a full first second is free).
    assert verdict["seconds"] > verdict["busiest_shard_records"] / 1000 - 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_demo_that_is_killed_at_work(number: signal.Signals, tmp_path: Path):
    with running_demo(tmp_path) as demo:
        demo.wait_for(lambda: is_working(demo), "the first line of progress")
        children = demo.children()
        assert len(children) == 2
        demo.process.send_signal(number)
        status = demo.process.wait(SECONDS)
        wait_until(lambda: all(map(ended, children)), f"the end of {children}")
        if number is signal.SIGKILL:
            assert status == -signal.SIGKILL
        else:
            assert status == INTERRUPTED, demo.progress()
            assert list(demo.temporary.iterdir()) == []


def test_a_signal_while_it_starts_ends_it_too(tmp_path: Path):
    with running_demo(tmp_path) as demo:
        demo.wait_for(lambda: len(demo.children()) == 2, "Kinesis and the bridge")
        children = demo.children()
        demo.process.terminate()
        assert demo.process.wait(SECONDS) == INTERRUPTED, demo.progress()
        assert all(map(ended, children))


def test_a_bridge_that_dies_at_work_fails_the_verdict(tmp_path: Path):
    with running_demo(tmp_path, "--output", "json") as demo:
        demo.wait_for(lambda: is_working(demo), "the first line of progress")
        (bridge,) = (child for child in demo.children() if "run" in child.cmdline())
        bridge.kill()
        assert demo.process.wait(SECONDS) == 1
        verdict = json.loads(demo.output())
    assert verdict["exact"] is False
    assert any("ended by itself with status -9" in problem for problem in verdict["problems"])
    assert verdict["stored"] < verdict["expected"]


def test_serve_keeps_everything_up_until_it_is_told_to_stop(tmp_path: Path):
    with running_demo(tmp_path, "--serve", "--records", "2000") as demo:
        demo.wait_for(lambda: "Ctrl-C ends all of it." in demo.output(), "the addresses")
        addresses = dict(line.split(maxsplit=1) for line in demo.output().splitlines() if line.startswith(("config", "metrics")))
        children = demo.children()
        assert len(children) == 2
        check = [sys.executable, "-m", "bridge", "config", "check", "--config", addresses["configuration"]]
        assert subprocess.run(check, env=daemon_environment(), capture_output=True, check=False).returncode == 0
        assert addresses["metrics"].startswith("http://127.0.0.1:")
        assert "PASSED" in demo.output()
        os.kill(demo.process.pid, signal.SIGINT)
        assert demo.process.wait(SECONDS) == 0
        assert all(map(ended, children))
        assert list(demo.temporary.iterdir()) == []
