"""The consumer of one process: opened, read, opened anew where it ended by itself or is to join the group anew."""

import asyncio
from collections.abc import Awaitable, Callable, Collection

from bridge.app.kafka_health import KafkaHealth
from bridge.app.telemetry import Telemetry
from bridge.core.errors import UnavailableError
from bridge.core.records import Partition
from bridge.ports import Source, SourceEvent, SourceTrouble

RESTART_FIRST_S = 1.0
RESTART_MAX_S = 30.0


class Consumption:
    """`on_event` hears of everything in order; `on_end` when all partitions are lost, because the consumer has ended."""

    def __init__(
        self,
        open_source: Callable[[], Awaitable[Source]],
        kafka: KafkaHealth,
        telemetry: Telemetry,
        on_event: Callable[[SourceEvent], None],
        on_end: Callable[[], None],
    ) -> None:
        self._open_source = open_source
        self._kafka = kafka
        self._telemetry = telemetry
        self._on_event = on_event
        self._on_end = on_end
        self.source: Source | None = None
        self.stopping = asyncio.Event()
        """Set: the next end is the last."""
        self._closed = asyncio.Event()

    async def run(self) -> None:
        """Returns once it is closed: until then others have work to end."""
        pause = RESTART_FIRST_S
        while not self.stopping.is_set():
            self.source = await self._open_source()
            while events := await self.source.events():
                if not all(isinstance(event, SourceTrouble) for event in events):
                    pause = RESTART_FIRST_S
                for event in events:
                    self._on_event(event)
                await asyncio.sleep(0)  # senders run between batches
            if self.stopping.is_set():
                break
            self._on_end()
            self._telemetry.log("error", "kafka_consumer_restarting", pause_s=pause, problem=self._kafka.problem)
            await asyncio.sleep(pause)
            pause = min(RESTART_MAX_S, 2 * pause)
        await self._closed.wait()

    async def join_anew(self) -> None:
        """The consumer leaves the group; another one is opened."""
        try:
            await self._leave()
        except UnavailableError as error:
            self._kafka.trouble(SourceTrouble("leave", str(error)))

    async def close(self) -> None:
        """Leaves the group for good. Raises UnavailableError when the client does not end in time."""
        try:
            await self._leave()
        finally:
            self._closed.set()

    async def _leave(self) -> None:
        if self.source is not None:
            await self.source.close()

    def pause(self, partitions: Collection[Partition]) -> None:
        """See `Source`."""
        if self.source is not None:
            self.source.pause(partitions)

    def resume(self, partitions: Collection[Partition]) -> None:
        """See `Source`."""
        if self.source is not None:
            self.source.resume(partitions)
