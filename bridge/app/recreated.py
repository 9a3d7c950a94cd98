"""Topics and streams that were deleted and created anew under their names: their partitions stand still.

A committed offset tells nothing of another topic, even where that topic has it; and a new stream does not hold what was
carried before. So each partition keeps the identity of both beside its offset, and goes no further where it is another one.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from bridge.app.partition_line import PartitionLine
from bridge.core.delivery.halts import Halt
from bridge.core.errors import UnavailableError
from bridge.core.records import Partition
from bridge.ports import OffsetDirectory

CHECK_S = 30.0
"""How often Kafka is asked for the ids of all topics that we have partitions of: one question for all of them."""
CHECK_AGAIN_S = 1.0
"""So long after a question none follows, whatever is suspected."""
NO_SUCH_TOPIC = ("UNKNOWN_TOPIC_OR_PART", "UNKNOWN_TOPIC_ID")
"""What the client hears of a topic that was deleted."""


def topic_halt(line: PartitionLine, topic_id: str | None) -> Halt | None:
    """Why a partition may not go on, now that Kafka names this id for its topic. The first id named is the topic's."""
    if topic_id is None or topic_id == line.topic_id:
        return None
    if line.topic_id is None:
        line.topic_id = topic_id
        return None
    detail = (
        f"offset {line.committable()} is one of the topic with id {line.topic_id}; {line.partition.topic} now has id {topic_id}"
    )
    return Halt("topic_recreated", line.committable(), detail)


def stream_halt(line: PartitionLine, created_ms: int | None) -> Halt | None:
    """The same of its stream, by when that was created (milliseconds)."""
    if created_ms is None or created_ms == line.stream_created_ms:
        return None
    if line.stream_created_ms is None:
        line.stream_created_ms = created_ms
        return None
    detail = f"the records before went to the stream created at {line.stream_created_ms} ms; {line.stream} is of {created_ms} ms"
    return Halt("stream_recreated", line.committable(), detail)


class TopicWatch:
    """Asks for the ids of the topics while their partitions are read."""

    def __init__(
        self,
        directory: OffsetDirectory,
        lines: Mapping[Partition, PartitionLine],
        on_halt: Callable[[PartitionLine, Halt], None],
    ) -> None:
        """`lines` are the partitions that are ours now."""
        self._directory = directory
        self._lines = lines
        self._on_halt = on_halt
        self._suspected = asyncio.Event()

    def suspect(self) -> None:
        """Something happened that a topic created anew would bring about: asks at once."""
        self._suspected.set()

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await self._suspected.wait()
            self._suspected.clear()
            with suppress(UnavailableError):  # the lag tells of that trouble
                for line, halt in await self._found():
                    self._on_halt(line, halt)
            await asyncio.sleep(CHECK_AGAIN_S)

    async def _found(self) -> list[tuple[PartitionLine, Halt]]:
        topics = {partition.topic for partition in self._lines}
        ids = await self._directory.topic_ids(topics) if topics else {}
        if any(line.topic_id is not None and line.partition.topic not in ids for line in self._lines.values()):
            self.suspect()  # it was deleted: the next one of its name is to be seen soon
        return list(self._halts(ids))

    def _halts(self, ids: Mapping[str, str]) -> Iterator[tuple[PartitionLine, Halt]]:
        for line in self._lines.values():
            if halt := topic_halt(line, ids.get(line.partition.topic)):
                yield line, halt
