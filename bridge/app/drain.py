"""Finishing what was ever attempted, before partitions leave."""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress

from bridge.app.partition_line import PartitionLine
from bridge.app.stream_line import StreamLine


async def drain(
    lines: Collection[PartitionLine], streams: Mapping[str, StreamLine], progress: asyncio.Event, timeout_s: float
) -> bool:
    """Takes nothing more of these partitions. False when the deadline passed first. `progress` is set with every answer."""
    for line in lines:
        line.draining = True
        streams[line.stream].finish(line)
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while any(line.unsettled for line in lines):
                progress.clear()
                await progress.wait()
    return not any(line.unsettled for line in lines)
