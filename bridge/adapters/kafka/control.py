"""The control topic: `ControlStore` over one transactional writer at a time, and a consumer for each reading of something new.

Every change has a producer of its own under the same transactional id. When that is initialised, Kafka fences off every one
before it and aborts what it left open; only then the topic is read to its end and decided. So of two at once at most one
writes by what both have seen, and the other one looks again.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any, TypeVar
from uuid import uuid4

from confluent_kafka import KafkaError, KafkaException, Message

from bridge.adapters.kafka.clients import KafkaClients, WatchedProducer
from bridge.adapters.kafka.topic_reader import TopicReader
from bridge.adapters.kafka.topics import KafkaTopics
from bridge.core.direction.control_state import Decide
from bridge.core.errors import BridgeError, RefusedError, UnavailableError
from bridge.core.topics import TopicDefinition

PARTITION = 0
CHANGE = "bridge-change"
"""Header: which change a message belongs to."""
INITIALISE_S = 15.0
COMMIT_S = 10.0
ABORT_S = 5.0
ENDS_S = 10.0
TRIES = 5
PAUSE_S = 0.5
"""After each: longer than the one who came between needs to be done, or both would fence each other off for ever."""
BATCH_MESSAGES_MAX = 500
OWNED: dict[str, Any] = {
    "acks": "all",
    "delivery.timeout.ms": 8_000,
    "transaction.timeout.ms": 10_000,  # readers see nothing behind what a writer that died has left open
}
_FENCED = {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
_FORBIDDEN = {
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}

T = TypeVar("T")


class _LookAgainError(Exception):
    """Another writer came between, or it is not known whether the change was written: the next one to write finds out."""


class KafkaControl:
    """`ControlStore`. To it a message is opaque."""

    def __init__(self, definition: TopicDefinition, clients: KafkaClients, topics: KafkaTopics) -> None:
        self._definition = definition
        self._clients = clients
        self._topics = topics
        self._reader = TopicReader(definition.name, clients, topics, BATCH_MESSAGES_MAX)
        self._latest: dict[str, bytes] = {}
        self._read_to = 0
        self._seen = False
        self._looked_for = b""
        self._found = False
        """Whether the change that is under way was read."""
        self._reading = asyncio.Lock()
        self._changing = asyncio.Lock()

    async def open(self) -> None:
        """See `ControlStore`. A topic that was there and has gone is not made again: nobody knows what it said."""
        there = await self._topics.partitions_in(self._definition.name)
        if not there and self._seen:
            raise self._gone()
        there = there or await self._topics.make(self._definition)
        await self._topics.check(self._definition, there)
        self._seen = True

    async def read(self) -> Mapping[str, bytes]:
        """See `ControlStore`."""
        async with self._reading:
            if not self._seen and not await self._topics.partitions_in(self._definition.name):
                return {}
            end = (await self._reader.every_end({PARTITION}, ENDS_S))[PARTITION]
            if end < self._read_to:
                raise self._gone()
            async with aclosing(self._reader.read({PARTITION: self._read_to}, {PARTITION: end})) as batches:
                async for batch in batches:
                    for message in batch:
                        self._take(message)
            self._seen, self._read_to = True, end
            return dict(self._latest)

    async def change(self, decide: Decide) -> Mapping[str, bytes]:
        """See `ControlStore`."""
        async with self._changing:
            self._looked_for = uuid4().bytes
            self._found = False
            await self.open()
            for number in range(TRIES):
                attempt = _Attempt(self._definition.name, self._clients, self._looked_for)
                try:
                    await attempt.begin()
                    latest = await self.read()
                    if self._found:
                        return latest  # it was committed, and the answer lost
                    written = dict(decide(latest))
                    await attempt.write(written)
                    return {**latest, **written}
                except _LookAgainError:
                    pause_s = PAUSE_S * (number + 1)  # after it the other one's change is there
                finally:
                    await attempt.end()
                await asyncio.sleep(pause_s)
        raise UnavailableError(f"topic {self._definition.name}: other writers came between {TRIES} times: try again")

    def _take(self, message: Message) -> None:
        key, value = (message.key() or b"").decode(errors="replace"), message.value()
        if value is None:
            self._latest.pop(key, None)
        else:
            self._latest[key] = bytes(value)
        self._found |= (CHANGE, self._looked_for) in (message.headers() or ())

    def _gone(self) -> RefusedError:
        return RefusedError(
            f"topic {self._definition.name}: it is not there any more as it was read, and with it the directions of the routes: "
            "bring it back if you can; else restart every replica, and look at `bridge direction show`"
        )


class _Attempt:
    """One transaction with its producer. Every blocking call has its own deadline, in a thread."""

    def __init__(self, topic: str, clients: KafkaClients, change: bytes) -> None:
        """`change` tells its messages from all others, also from equal ones."""
        self._topic = topic
        self._headers: list[tuple[str, str | bytes | None]] = [(CHANGE, change)]
        self._clients = clients
        self._producer: WatchedProducer | None = None

    async def begin(self) -> None:
        """Fences off every writer before. Raises UnavailableError, RefusedError."""
        properties = {**OWNED, "transactional.id": self._topic}
        self._producer = await _blocking(lambda: self._clients.producer(properties))
        await self._call(self._producer.init_transactions, INITIALISE_S)

    async def write(self, values: Mapping[str, bytes]) -> None:
        """All of them, or none. Raises _LookAgainError, UnavailableError, RefusedError."""
        if (producer := self._producer) is None:
            raise RuntimeError("the transaction was not begun")
        if not values:
            return
        await self._call(self._produce, producer, values)
        try:
            await self._call(producer.commit_transaction, COMMIT_S)
        except UnavailableError as error:  # a broker may answer so, too, where another writer is initialised in this moment
            raise _LookAgainError(str(error)) from error

    async def end(self) -> None:
        """What is not committed is aborted, at the latest when its transaction times out."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _blocking(lambda: _abandon(producer))

    def _produce(self, producer: WatchedProducer, values: Mapping[str, bytes]) -> None:
        producer.begin_transaction()
        for key, value in values.items():
            producer.produce(self._topic, value=value, key=key.encode(), partition=PARTITION, headers=self._headers)

    async def _call(self, call: Callable[..., object], *arguments: object) -> None:
        try:
            await _blocking(lambda: call(*arguments))
        except KafkaException as error:
            raise self._explained(error.args[0]) from error

    def _explained(self, error: KafkaError) -> BridgeError | _LookAgainError:
        if error.code() in _FENCED:
            return _LookAgainError(error.str())
        if error.code() in _FORBIDDEN:
            return RefusedError(
                f"topic {self._topic}: {error.str()}: allow Describe and Write on it, and on the transactional id {self._topic}"
            )
        complaint = self._producer.complaint() if self._producer else None
        more = f" ({complaint})" if complaint else ""
        return UnavailableError(f"topic {self._topic}: a change was not confirmed: {error.str()}{more}")


async def _blocking(call: Callable[[], T]) -> T:
    """In a thread. Where the waiting is cancelled, the thread's end is waited for all the same: a client must not be closed while
    another thread is in it."""
    work = asyncio.get_running_loop().run_in_executor(None, call)
    work.add_done_callback(lambda done: done.cancelled() or done.exception())  # after a cancellation nobody else asks for it
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait({work})
        raise


def _abandon(producer: WatchedProducer) -> None:
    with suppress(KafkaException):  # nothing is open, or it was fenced off
        producer.abort_transaction(ABORT_S)
    with suppress(KafkaException):  # it says again what ended it
        producer.purge()
        producer.poll(0)
    with suppress(SystemError):  # of a fenced producer `close` returns and raises at once (confluent-kafka 2.16)
        producer.close()
