"""What a stream is like: asked for until it is known, then again now and then, and when something shows that it changed."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from bridge.app.service_time import ServiceTime
from bridge.app.telemetry import Telemetry
from bridge.core.delivery.stream_description import StreamDescription
from bridge.core.errors import RefusedError, UnavailableError
from bridge.ports import Clock, ShardDirectory

REFRESH_S = 60.0
REFRESH_PAUSE_S = 1.0
RETRY_FIRST_S = 1.0
RETRY_MAX_S = 30.0


class DescriptionWatch:
    """`adopt` is given each description."""

    def __init__(
        self,
        stream: str,
        ports: tuple[ShardDirectory, Clock, ServiceTime],
        telemetry: Telemetry,
        adopt: Callable[[StreamDescription], None],
    ) -> None:
        self._stream = stream
        self._directory, self._clock, self._time = ports
        self._telemetry = telemetry
        self._adopt = adopt
        self._stale = asyncio.Event()
        self._missing = False
        self.trouble: str | None = "its shards are not known yet"

    def doubt(self, *, missing: bool) -> None:
        """A record landed where it was not predicted, or (`missing`) there is no such stream: ask again soon."""
        self._missing |= missing
        self._stale.set()

    async def first(self) -> StreamDescription:
        """Asks until the stream is known, and adopts that."""
        pause = RETRY_FIRST_S
        while True:
            try:
                return await self._describe()
            except (UnavailableError, RefusedError) as error:
                if self.trouble != str(error):
                    self._telemetry.log("error", "stream_trouble", stream=self._stream, problem=str(error))
                self.trouble = str(error)
            await asyncio.sleep(pause)
            pause = min(RETRY_MAX_S, 2 * pause)

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_S):
                    await self._stale.wait()
            self._stale.clear()
            try:
                await self._describe()
            except (UnavailableError, RefusedError) as error:
                self._telemetry.log("warning", "stream_trouble", stream=self._stream, problem=str(error))
                if self._missing:
                    self._stale.set()
            await asyncio.sleep(REFRESH_PAUSE_S)

    async def _describe(self) -> StreamDescription:
        sent_at = self._clock.monotonic()
        description = await self._directory.describe(self._stream)
        self._time.saw(description.date_s, sent_at, self._clock.monotonic())
        self.trouble, self._missing = None, False
        self._adopt(description)
        return description
