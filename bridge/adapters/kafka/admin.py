"""Questions to Kafka that need no membership in the group: offsets, groups, topics."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from confluent_kafka import (
    OFFSET_BEGINNING,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import ConfigResource, OffsetSpec, ResourceType  # type: ignore[attr-defined]

from bridge.adapters.kafka.clients import KafkaClients, WatchedAdmin
from bridge.core.delivery.commit_metadata import CommitPoint
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.records import GroupMember, Partition

TIMEOUT_S = 15.0

REFUSAL_WAIT_S = 3.0
"""After so long without an answer we look whether Kafka refuses us."""

_K = TypeVar("_K")
_REFUSALS = {
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}
_MOVED = {
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.LEADER_NOT_AVAILABLE,
}

NO_ID = "A" * 22
"""Of a topic that was made before KIP-516: the bytes are zero."""

EARLIEST = "earliest"
LATEST = "latest"
Start = str | int
"""`earliest`, `latest`, or the timestamp in milliseconds of the first record wanted."""


class KafkaAdmin:
    """`GroupDirectory`, and what an assignment and the checks ask; waits at most twice `TIMEOUT_S` for an answer."""

    def __init__(self, clients: KafkaClients) -> None:
        self._clients = clients
        self._admin = clients.connection
        self._controlled = False

    def start_offsets(
        self, partitions: Collection[Partition], grown: Collection[Partition], start_of: Callable[[str], Start]
    ) -> dict[Partition, int]:
        """Where each partition begins: by its topic's start, or, of those that the topic got later, at its beginning.

        A timestamp after the last record means the end. Blocking; raises KafkaException.
        """
        offsets = self._list_offsets({p: start_of(p.topic) for p in partitions} | dict.fromkeys(grown, EARLIEST))
        beyond = [p for p, offset in offsets.items() if offset < 0]
        return {**offsets, **(self._list_offsets(dict.fromkeys(beyond, LATEST)) if beyond else {})}

    async def end_offsets(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """See `OffsetDirectory`."""
        if not partitions:
            await self._reach()
            return {}
        return await self._offsets(dict.fromkeys(partitions, LATEST))

    async def offsets_at(self, times: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """The first offset of each partition with this timestamp (milliseconds) or a later one, else its end, as it was before;
        unknown ones are left out. Raises UnavailableError."""
        ends = await self._offsets(dict.fromkeys(times, LATEST))
        found = await self._offsets(times)
        beyond = [partition for partition in found.keys() & ends.keys() if found[partition] < 0]
        any_time = await self._offsets(dict.fromkeys(beyond, 0)) if beyond else {}
        for partition in beyond:  # a broker that finds nothing of any time does not look at it, as the embedded one
            found[partition] = ends[partition] if any_time.get(partition, -1) >= 0 else 0
        return {partition: offset for partition, offset in found.items() if partition in ends}

    async def _offsets(self, starts: Mapping[Partition, Start]) -> dict[Partition, int]:
        specs = _specs(starts)
        asked = await self._all(lambda client: client.list_offsets(specs, **_committed_only()))
        if any(map(_has_moved, asked.values())):
            await asyncio.to_thread(self._admin.metadata, TIMEOUT_S)
            asked = await self._all(lambda client: client.list_offsets(specs, **_committed_only()))
        answers = {Partition(p.topic, p.partition): answer for p, answer in asked.items()}
        return {partition: answer.offset for partition, answer in answers.items() if not isinstance(answer, KafkaException)}

    async def _reach(self) -> None:
        (answer,) = (await self._all(lambda client: {"": client.describe_cluster(request_timeout=TIMEOUT_S)})).values()
        if isinstance(answer, KafkaException):
            raise UnavailableError(answer.args[0].str())

    async def partitions_of(self, wanted: Callable[[str], bool]) -> list[Partition]:
        """All partitions of the topics for which `wanted` is true. Raises UnavailableError."""
        topics = (await asyncio.to_thread(self._admin.metadata, TIMEOUT_S)).topics
        return [Partition(name, number) for name, topic in topics.items() if wanted(name) for number in sorted(topic.partitions)]

    async def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """See `OffsetDirectory`."""
        if not topics or not await asyncio.to_thread(self._has_controller):
            return {}
        asked = TopicCollection(list(topics))
        return _ids(await self._all(lambda client: client.describe_topics(asked, request_timeout=TIMEOUT_S)))

    def ids_of_topics(self, topics: Collection[str]) -> dict[str, str]:
        """As `topic_ids`, for an assignment: blocking; raises KafkaException, also where Kafka cannot be reached."""
        answers: dict[str, Any] = {}
        try:
            if not topics or not self._has_controller():
                return {}
            futures = self._admin.client().describe_topics(TopicCollection(list(topics)), request_timeout=TIMEOUT_S)
            for topic, future in futures.items():
                try:
                    answers[topic] = future.result(TIMEOUT_S * 2)
                except KafkaException as error:
                    answers[topic] = error
        except UnavailableError as error:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT, str(error))) from error
        except TimeoutError as error:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer to the question for topics")) from error
        for answer in answers.values():
            if _is_local(answer):
                raise answer
        return _ids(answers)

    def _has_controller(self) -> bool:
        """The client library sends the question for topics to the controller, and waits long for one where there is none, as in
        the mock cluster. Raises UnavailableError."""
        if not self._controlled:
            metadata = self._admin.metadata(TIMEOUT_S)
            self._controlled = metadata.controller_id in metadata.brokers
        return self._controlled

    async def committed(self, group: str, partitions: Collection[Partition]) -> dict[Partition, CommitPoint]:
        """Committed offsets (next to read) with their metadata, of those partitions that have one. Raises UnavailableError."""
        try:
            answers = await asyncio.to_thread(self._committed, group, partitions) if partitions else []
        except KafkaException as error:
            raise _kind(error)(f"offsets of group {group}: {error.args[0].str()}") from error
        known = [answer for answer in answers if answer.offset >= 0 and answer.error is None]
        return {Partition(p.topic, p.partition): CommitPoint(p.offset, p.metadata or "") for p in known}

    def _committed(self, group: str, partitions: Collection[Partition]) -> list[TopicPartition]:
        """By a consumer that does not join: librdkafka's admin client ends the process where a coordinator is not ready."""
        consumer = self._clients.consumer({"group.id": group, "enable.auto.commit": False})
        try:
            return consumer.committed([TopicPartition(p.topic, p.number) for p in partitions], TIMEOUT_S)
        finally:
            consumer.close()

    async def members(self, group: str) -> list[GroupMember]:
        """Members of a group. Raises UnavailableError, also where the broker cannot describe groups."""
        answer = (await self._all(lambda client: client.describe_consumer_groups([group], request_timeout=TIMEOUT_S)))[group]
        if isinstance(answer, KafkaException):
            raise _kind(answer)(f"members of group {group}: {answer.args[0].str()}")
        return [
            GroupMember(
                member.member_id,
                member.client_id,
                member.host,
                tuple(Partition(p.topic, p.partition) for p in (member.assignment.topic_partitions if member.assignment else ())),
            )
            for member in answer.members
        ]

    async def timestamps_at(self, offsets: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """See `GroupDirectory`."""
        messages = await asyncio.to_thread(self._first_messages, offsets)
        return {partition: message.timestamp()[1] for partition, message in messages.items() if message.error() is None}

    async def try_to_read(self, partition: Partition) -> None:
        """See `GroupDirectory`."""
        messages = await asyncio.to_thread(self._first_messages, {partition: OFFSET_BEGINNING})
        if partition not in messages:
            raise UnavailableError(f"{partition}: nothing came within {TIMEOUT_S:g} s")
        error = messages[partition].error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise RefusedError(f"{partition}: {error.str()}")

    async def group_session_timeout_s(self, group: str) -> float | None:
        """Session timeout that the broker gives members under the `consumer` protocol (KIP-848); None if it will not say."""
        resource = ConfigResource(ResourceType.GROUP, group)
        answer = (await self._all(lambda client: client.describe_configs([resource], request_timeout=TIMEOUT_S)))[resource]
        if isinstance(answer, KafkaException) or "consumer.session.timeout.ms" not in answer:
            return None
        return int(answer["consumer.session.timeout.ms"].value) / 1000

    def _first_messages(self, offsets: Mapping[Partition, int]) -> dict[Partition, Message]:
        """First message of each partition from its offset on, or the error or end that came in its place.

        Read with a consumer that joins no group and commits nothing. Raises UnavailableError.
        """
        reading = {"group.id": "bridge-reader", "enable.auto.commit": False, "enable.partition.eof": True}
        consumer = self._clients.consumer({**reading, "isolation.level": "read_committed"})
        found: dict[Partition, Message] = {}
        give_up_at = time.monotonic() + TIMEOUT_S
        try:
            consumer.assign([TopicPartition(p.topic, p.number, offset) for p, offset in offsets.items()])
            while len(found) < len(offsets) and time.monotonic() < give_up_at:
                message = consumer.poll(0.2)
                if message is None or message.topic() is None or message.partition() is None:
                    continue
                partition = Partition(message.topic(), message.partition())
                if partition in offsets and partition not in found:
                    found[partition] = message
                    consumer.incremental_unassign([TopicPartition(partition.topic, partition.number)])
        except KafkaException as error:
            raise UnavailableError(error.args[0].str()) from error
        finally:
            consumer.close()
        return found

    def _list_offsets(self, starts: Mapping[Partition, Start]) -> dict[Partition, int]:
        try:
            try:
                return self._listed(starts)
            except KafkaException as error:
                if not _has_moved(error):
                    raise
                self._admin.metadata(TIMEOUT_S)
                return self._listed(starts)
        except UnavailableError as error:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT, str(error))) from error
        except TimeoutError as error:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer to the question for offsets")) from error

    def _listed(self, starts: Mapping[Partition, Start]) -> dict[Partition, int]:
        futures = self._admin.client().list_offsets(_specs(starts), **_committed_only())
        return {Partition(p.topic, p.partition): future.result(TIMEOUT_S * 2).offset for p, future in futures.items()}

    async def _all(self, ask: Callable[[WatchedAdmin], Mapping[_K, Future[Any]]]) -> dict[_K, Any]:
        """Answers, or the KafkaException in their place. Raises UnavailableError when none comes in time, or Kafka refuses us."""
        futures = await asyncio.to_thread(lambda: ask(self._admin.client()))  # a client waits for its calls in other threads
        answers = await self._answers([asyncio.wrap_future(future) for future in futures.values()])
        if any(map(_is_local, answers)) and (refusal := await asyncio.to_thread(self._admin.refusal)):
            raise UnavailableError(refusal)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, KafkaException):
                raise answer
        return dict(zip(futures, answers, strict=True))

    async def _answers(self, answering: Sequence[asyncio.Future[Any]]) -> list[Any]:
        now = asyncio.get_running_loop().time
        give_up_at = now() + TIMEOUT_S * 2
        waiting: Collection[asyncio.Future[Any]] = answering
        for future in answering:
            future.add_done_callback(lambda done: done.cancelled() or done.exception())  # looked at, also where we give up
        try:
            while waiting and (waiting := (await asyncio.wait(waiting, timeout=REFUSAL_WAIT_S))[1]):
                if (refusal := await asyncio.to_thread(self._admin.refusal)) or now() > give_up_at:
                    raise UnavailableError(refusal or f"Kafka did not answer within {TIMEOUT_S * 2:g} s")
        finally:
            for future in waiting:
                future.cancel()
        return [future.exception() or future.result() for future in answering]


def _has_moved(answer: object) -> bool:
    """Whether the partition has another leader than the client library believes. It would go on asking the old one, or under the
    old epoch, until it looks at the cluster again by itself, which it does every five minutes (seen with librdkafka 2.16)."""
    return isinstance(answer, KafkaException) and answer.args[0].code() in _MOVED


def _is_local(answer: object) -> bool:
    """Whether this is an error of the client library's own, and not a broker's answer."""
    return isinstance(answer, KafkaException) and answer.args[0].code() < 0


def _ids(answers: Mapping[str, Any]) -> dict[str, str]:
    """As Kafka's own tools write them. Without those that a broker does not have, or does not tell us."""
    described = {topic: str(answer.topic_id) for topic, answer in answers.items() if not isinstance(answer, KafkaException)}
    return {topic: id_.replace("+", "-").replace("/", "_") for topic, id_ in described.items() if id_ != NO_ID}


def _kind(error: KafkaException) -> type[RefusedError] | type[UnavailableError]:
    return RefusedError if error.args[0].code() in _REFUSALS else UnavailableError


def _committed_only() -> dict[str, Any]:
    return {"isolation_level": IsolationLevel.READ_COMMITTED, "request_timeout": TIMEOUT_S}


def _specs(starts: Mapping[Partition, Start]) -> dict[TopicPartition, OffsetSpec]:
    specs = {EARLIEST: OffsetSpec.earliest(), LATEST: OffsetSpec.latest()}  # type: ignore[no-untyped-call]
    return {
        TopicPartition(p.topic, p.number): specs[start] if isinstance(start, str) else OffsetSpec.for_timestamp(start)
        for p, start in starts.items()
    }
