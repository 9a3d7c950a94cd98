"""The embedded Kinesis as a process of its own, which counts what its shards throttled.

It shares no interpreter with the bridge, so it takes none of the bridge's time. On each line of its standard input it
answers with the count; at the end of its input it ends, and so it never outlives the demonstration.
"""

import asyncio
import os
import select
import sys
from collections.abc import Mapping
from pathlib import Path

import uvloop

from bridge.demo.errors import DemoError
from bridge.demo.processes import ChildProcess
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.kinesis_server import serve_kinesis

ANSWER_TIMEOUT_S = 30.0
_INPUT = 0
_CHUNK_BYTES = 4096


class KinesisProcess(ChildProcess):
    """The parent's side. Raises DemoError when the server does not start."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        super().__init__(["bridge.demo.kinesis_process"], environment, log, own_output=False, tied=False)
        try:
            self.endpoint_url = self._line()
        except DemoError:
            self.kill()
            raise

    def throttled_records(self) -> int:
        """Records that a shard refused as over its limit, since the start. Raises DemoError when the server is gone."""
        if self.process.stdin is None:
            raise RuntimeError("the server has no standard input")
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._gone() from None
        return int(self._line())

    def _line(self) -> str:
        if self.process.stdout is None:
            raise RuntimeError("the server has no standard output")
        # One line answers one question, so nothing can wait in the buffer while the pipe is empty.
        ready, _, _ = select.select([self.process.stdout], [], [], ANSWER_TIMEOUT_S)
        if not ready or not (line := self.process.stdout.readline()):
            raise self._gone()
        return line.strip()

    def _gone(self) -> DemoError:
        return DemoError(f"The embedded Kinesis does not answer or has ended.\n{self.log_tail()}")


async def _serve() -> None:
    model = KinesisModel()
    stop = asyncio.Event()

    def on_input() -> None:
        asked = os.read(_INPUT, _CHUNK_BYTES)
        if not asked:
            stop.set()
        for _ in range(asked.count(b"\n")):
            _say(str(model.traffic.total("records_throttled")))

    async with serve_kinesis(model) as endpoint_url:
        asyncio.get_running_loop().add_reader(_INPUT, on_input)
        _say(endpoint_url)
        await stop.wait()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(_serve())
