"""One producer with its thread, which serves the delivery reports, and how an awaiting coroutine hears of them."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException

from bridge.adapters.kafka.clients import LOOK_S, WatchedProducer
from bridge.adapters.kafka.threads import Threads
from bridge.core.delivery.dead_letters import size_of
from bridge.core.records import Headers

POLL_S = 0.5
CLOSE_S = 10.0
UNKNOWN_OFFSET = -1
CLOSED = KafkaError(KafkaError._DESTROY, "the producer was closed")


class Outgoing(NamedTuple):
    """A message on its way to a topic. Without a timestamp it gets that of the moment."""

    partition: int
    value: bytes | None
    key: bytes | None = None
    headers: Headers | None = None
    timestamp_ms: int = 0

    @property
    def size(self) -> int:
        """About its bytes in Kafka."""
        return size_of(self.key, self.value, self.headers or [])


class Deliveries:
    """Counts the delivery reports of some messages; `done` has the first error, or None, when all are there."""

    def __init__(self, loop: asyncio.AbstractEventLoop, count: int) -> None:
        self.done: asyncio.Future[KafkaError | None] = loop.create_future()
        self.offsets = [UNKNOWN_OFFSET] * count
        """Where each message stands, once all are there without an error; below 0 where the client does not know."""
        self._loop = loop
        self._missing = count
        self._error: KafkaError | None = None

    def reporter(self, index: int) -> Callable[[KafkaError | None, Any], None]:
        """For the message of this index; called by the producer's thread."""
        return partial(self._report, index)

    def _report(self, index: int, error: KafkaError | None, message: Any) -> None:  # noqa: ANN401 - as the client's
        self._missing -= 1
        self._error = self._error or error
        if error is None:
            self.offsets[index] = message.offset()
        if not self._missing:
            self._end(self._error)

    def fail(self, error: KafkaError) -> None:
        """Called by the producer's thread: no more reports will come."""
        self._end(self._error or error)

    def _end(self, error: KafkaError | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle, error)

    def _settle(self, error: KafkaError | None) -> None:
        if not self.done.done():  # nobody waits any more
            self.done.set_result(error)


class RunningProducer:
    """Made and used by the event loop; what is polled is the thread's. A failed one is closed and replaced."""

    def __init__(self, producer: WatchedProducer, threads: Threads, name: str) -> None:
        self.outdated = False
        """Whether it has to be made anew, because files have changed since Kafka refused it."""
        self.broken: KafkaError | None = None
        """What ended the client for good, such as that it may write nothing and so may not be idempotent."""
        self._waiting: set[Deliveries] = set()
        self._loop = asyncio.get_running_loop()
        self._producer = producer
        self._room = asyncio.Event()
        self._wants_room = False
        self._closing = threading.Event()
        self._thread = threads.thread(self._run, name)
        self._thread.start()

    def complaint(self) -> str | None:
        """What the client last said is wrong."""
        return self._producer.complaint()

    def deliveries(self, count: int) -> Deliveries:
        """For so many messages."""
        found = Deliveries(self._loop, count)
        self._waiting.add(found)
        found.done.add_done_callback(lambda _: self._waiting.discard(found))
        if self.broken is not None:
            found.fail(self.broken)
        return found

    async def produce(self, deliveries: Deliveries, index: int, topic: str, message: Outgoing) -> None:
        """Hands one message to the client, of this index among its `deliveries`; waits while its queue is full.

        Raises KafkaException.
        """
        while not self._accepts(deliveries.reporter(index), topic, message):
            self._room.clear()
            self._wants_room = True
            await self._room.wait()

    def _accepts(self, report: Callable[[KafkaError | None, Any], None], topic: str, message: Outgoing) -> bool:
        """Whether there was room for it."""
        if self.broken is not None:
            raise KafkaException(self.broken)
        try:
            self._producer.produce(
                topic,
                key=message.key,
                value=message.value,
                headers=message.headers,  # type: ignore[arg-type] # mypy: a list is of one type
                partition=message.partition,
                timestamp=message.timestamp_ms,
                on_delivery=report,
            )
        except BufferError:
            return False
        except RuntimeError as error:  # closed in this moment
            raise KafkaException(CLOSED) from error
        return True

    async def close(self) -> None:
        """Gives up what is not delivered, so that nothing of it appears later than we say."""
        self._closing.set()
        await asyncio.to_thread(self._thread.join, CLOSE_S)

    def _run(self) -> None:
        ended = CLOSED
        try:
            self._serve()
        except KafkaException as error:
            ended = error.args[0]
        self.broken = ended
        for deliveries in list(self._waiting):
            deliveries.fail(ended)
        self._give_room()
        with suppress(KafkaException):  # it says again what ended it
            self._producer.purge()
            self._producer.poll(0)
        self._producer.close()

    def _serve(self) -> None:
        look_at = time.monotonic()
        while not self._closing.is_set():
            self._producer.poll(POLL_S)
            if time.monotonic() >= look_at:
                self.outdated = self._producer.outdated()
                look_at = time.monotonic() + LOOK_S
            self._give_room()

    def _give_room(self) -> None:
        if self._wants_room and not self._loop.is_closed():
            self._wants_room = False
            self._loop.call_soon_threadsafe(self._room.set)
