"""The bridge's own topics in Kafka: there, or made; and what else is asked about topics themselves."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclOperation,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from bridge.adapters.kafka.admin import TIMEOUT_S, KafkaAdmin
from bridge.core.errors import BridgeError, RefusedError, UnavailableError
from bridge.core.topics import HEADROOM_BYTES, TopicDefinition, dead_letter_topic, dead_letters_definition, deviations

RECORD_BYTES_DEFAULT = 1024 * 1024 + 12
"""Kafka's default of `max.message.bytes`."""
LOOK_AGAIN_S = 0.2
LOOKS = 50
"""For a topic that was just made; a cluster shows it within a second or so."""
LASTING_REFUSALS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.POLICY_VIOLATION,
    KafkaError.INVALID_CONFIG,
    KafkaError.INVALID_PARTITIONS,
    KafkaError.INVALID_REPLICATION_FACTOR,
    KafkaError.TOPIC_EXCEPTION,
}
"""Answers to the wish for a topic that will be the same tomorrow."""


class KafkaTopics(KafkaAdmin):
    """`TopicDirectory`, and `KafkaAdmin` with it."""

    async def settings_of(self, topics: Collection[str]) -> Mapping[str, Mapping[str, str]]:
        """See `TopicDirectory`."""
        resources = {ConfigResource(ResourceType.TOPIC, topic): topic for topic in topics}
        if not resources or not await asyncio.to_thread(self._has_controller):
            return {}  # nobody would answer, as the embedded broker does not
        answers = await self._all(lambda client: client.describe_configs(list(resources), request_timeout=TIMEOUT_S))
        for answer in answers.values():
            if isinstance(answer, KafkaException) and answer.args[0].code() < 0:  # the client's own: no broker has answered
                raise UnavailableError(answer.args[0].str())
        return {
            resources[resource]: {name: str(entry.value) for name, entry in answer.items()}
            for resource, answer in answers.items()
            if not isinstance(answer, KafkaException)
        }

    async def dead_letters(self, bridge: str, wanted: Callable[[str], bool]) -> TopicDefinition:
        """How the dead-letter topic for these topics has to be: as wide as the widest of them, for the largest record of all."""
        widths = _widths(await self._metadata())
        topics = [topic for topic in widths if wanted(topic) and topic != dead_letter_topic(bridge)]
        limits = [int(found.get("max.message.bytes", 0)) for found in (await self.settings_of(topics)).values()]
        partitions = max((widths[topic] for topic in topics), default=1)
        return dead_letters_definition(bridge, partitions, max([RECORD_BYTES_DEFAULT, *limits]) + HEADROOM_BYTES)

    async def partitions_in(self, topic: str) -> int:
        """How many partitions the topic has; 0 where there is no such topic, or none that we may see. Raises UnavailableError."""
        return _widths(await self._metadata()).get(topic, 0)

    async def make(self, definition: TopicDefinition) -> int:
        """Creates the topic and waits until Kafka shows it. Returns its partitions.

        Raises UnavailableError, and RefusedError where it has to be made by hand.
        """
        metadata = await self._metadata()
        if metadata.controller_id in metadata.brokers:
            await self._create(definition, validate_only=False)
        else:  # a broker that makes topics at their first use, as the embedded one does
            await asyncio.to_thread(self._first_use, definition.name)
        for _ in range(LOOKS):
            if partitions := await self.partitions_in(definition.name):
                return partitions
            await asyncio.sleep(LOOK_AGAIN_S)
        raise RefusedError(
            f"topic {definition.name}: it exists or was just created, and Kafka does not show it to the bridge: allow Describe "
            "and Write on it"
        )

    async def try_to_park(self, bridge: str, wanted: Callable[[str], bool]) -> None:
        """See `TopicDirectory`."""
        topic = dead_letter_topic(bridge)
        if not await asyncio.to_thread(self._has_controller):
            return
        if await self.partitions_in(topic):
            await self._try_operations(topic, (AclOperation.WRITE,))
        else:
            await self._create(await self.dead_letters(bridge, wanted), validate_only=True)

    async def try_topic(self, definition: TopicDefinition) -> None:
        """See `TopicDirectory`."""
        if there := await self.partitions_in(definition.name):
            await self.check(definition, there)
        if not await asyncio.to_thread(self._has_controller):
            return
        if there:
            await self._try_operations(definition.name, (AclOperation.READ, AclOperation.WRITE))
        else:
            await self._create(definition, validate_only=True)

    async def check(self, definition: TopicDefinition, partitions: int) -> None:
        """Compares the topic, which has so many partitions, with its definition, as far as Kafka tells its settings.

        Raises UnavailableError, and RefusedError with all that is wrong.
        """
        if partitions > definition.partitions == 1 and not await asyncio.to_thread(self._has_controller):
            partitions = 1  # a broker that makes topics by itself, all of them alike; only the first partition is used
        settings = (await self.settings_of([definition.name])).get(definition.name, {})
        if wrong := list(deviations(definition, partitions, settings)):
            raise RefusedError(f"topic {definition.name} is not as the bridge needs it: {'; '.join(wrong)}")

    async def troubles_of(self, definition: TopicDefinition) -> list[str]:
        """See `TopicDirectory`."""
        name = definition.name
        topic = (await self._metadata()).topics.get(name)
        if topic is None or not topic.partitions:
            return [f"topic {name} is not there"]
        found = []
        try:
            await self.check(definition, len(topic.partitions))
        except RefusedError as error:
            found.append(str(error))
        needed = int((await self.settings_of([name])).get(name, {}).get("min.insync.replicas", "1"))
        for number, partition in sorted(topic.partitions.items()):
            if partition.leader < 0:
                found.append(f"topic {name}: partition {number} has no leader")
            elif len(partition.isrs) < needed:
                found.append(f"topic {name}: partition {number} has {len(partition.isrs)} replicas in sync, {needed} are needed")
        return found

    async def _try_operations(self, topic: str, needed: Collection[Any]) -> None:
        (answer,) = (await self._all(lambda client: _describe(client, topic))).values()
        if isinstance(answer, KafkaException):
            kind = RefusedError if answer.args[0].code() in LASTING_REFUSALS else UnavailableError
            raise kind(f"topic {topic}: {answer.args[0].str()}")
        allowed = answer.authorized_operations
        if allowed is None or AclOperation.ALL in allowed:
            return
        if missing := [operation.name.capitalize() for operation in needed if operation not in allowed]:
            raise RefusedError(f"topic {topic}: the bridge has not the rights that it needs: allow {' and '.join(missing)} on it")

    async def _create(self, definition: TopicDefinition, validate_only: bool) -> None:
        new = NewTopic(definition.name, definition.partitions, definition.replication_factor, config=dict(definition.settings))
        options = {"request_timeout": TIMEOUT_S, "operation_timeout": TIMEOUT_S, "validate_only": validate_only}
        (answer,) = (await self._all(lambda client: client.create_topics([new], **options))).values()
        if isinstance(answer, KafkaException) and answer.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise creation_refused(definition, answer.args[0])

    def _first_use(self, topic: str) -> None:
        try:
            self._admin.client().list_topics(topic, timeout=TIMEOUT_S)
        except KafkaException as error:
            raise UnavailableError(error.args[0].str()) from error

    async def _metadata(self) -> Any:  # noqa: ANN401 - as the client's
        return await asyncio.to_thread(self._admin.metadata, TIMEOUT_S)


def creation_refused(definition: TopicDefinition, error: KafkaError) -> BridgeError:
    """What keeps the topic from being made, and what to do about it."""
    reason = f"topic {definition.name} is not there, or may not be described, and creating it failed: {error.str()}"
    if error.code() not in LASTING_REFUSALS:
        return UnavailableError(reason)
    return RefusedError(f"{reason}. Allow Describe and Write on it, and Create, or create it by hand: {definition.by_hand()}")


def _describe(client: Any, topic: str) -> Any:  # noqa: ANN401 - as the client's
    topics = TopicCollection([topic])
    return client.describe_topics(topics, include_authorized_operations=True, request_timeout=TIMEOUT_S)


def _widths(metadata: Any) -> dict[str, int]:  # noqa: ANN401 - as the client's
    """Partitions of each topic."""
    return {name: len(topic.partitions) for name, topic in metadata.topics.items() if topic.partitions}
