"""`WatchedAdmin` over a simulated cluster. A call waits for its answer, so the futures that it returns are complete."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from confluent_kafka import (
    OFFSET_INVALID,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Node,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclOperation,
    ConfigEntry,
    ConfigResource,
    ConsumerGroupDescription,
    DescribeClusterResult,
    ListOffsetsResultInfo,
    MemberAssignment,
    MemberDescription,
    NewTopic,
    OffsetSpec,
    ResourceType,
    TopicDescription,
)

from tests.simulation.kafka.cluster import Cluster
from tests.simulation.kafka.commits import answered_offset
from tests.simulation.kafka.errors import Refused
from tests.simulation.kafka.host import Host
from tests.simulation.kafka.log import PartitionLog
from tests.simulation.kafka.metadata import cluster_metadata
from tests.simulation.kafka.wire import Wire

REQUEST_TIMEOUT_S = 60.0
TOPIC_DEFAULTS = {
    "cleanup.policy": "delete",
    "max.message.bytes": str(1024 * 1024 + 12),
    "message.timestamp.type": "CreateTime",
    "retention.bytes": "-1",
    "retention.ms": str(7 * 24 * 3600 * 1000),
}

_K = TypeVar("_K")
_T = TypeVar("_T")


class SimAdmin:
    """Any thread may call it."""

    def __init__(self, properties: dict[str, Any], cluster: Cluster, host: Host) -> None:
        self._properties = properties
        self._cluster = cluster
        self._wire = Wire(cluster, host, self._on_error)
        self._errors: list[KafkaError] = []

    # -- as `WatchedAdmin`

    def refusal(self) -> str | None:
        """Nobody is refused."""
        self.poll(0)
        return None

    def complaint(self) -> str | None:
        self.poll(0)
        return None

    def outdated(self) -> bool:
        self.poll(0)
        return False

    def poll(self, _timeout: float = -1.0) -> int:
        """Serves the callbacks, without waiting for any."""
        errors, self._errors = self._errors, []
        for error in errors:
            if callback := self._properties.get("error_cb"):
                callback(error)
        return len(errors)

    # -- questions

    def list_topics(self, topic: str | None = None, timeout: float = -1.0) -> Any:
        """Raises KafkaException."""
        return self._ask(lambda: cluster_metadata(self._cluster, topic), timeout)

    def describe_cluster(self, request_timeout: float = REQUEST_TIMEOUT_S) -> Future[Any]:
        node = Node(1, "simulated", 9092)
        return self._futures([""], lambda _: DescribeClusterResult(node, [node], "simulated"), request_timeout)[""]

    def list_offsets(
        self,
        requests: Mapping[TopicPartition, OffsetSpec],
        isolation_level: object = None,
        request_timeout: float = REQUEST_TIMEOUT_S,
    ) -> dict[TopicPartition, Future[Any]]:
        """By the specification of each partition, for readers of committed records."""

        def answer(partition: TopicPartition) -> ListOffsetsResultInfo:
            log = self._cluster.logs.get((partition.topic, partition.partition))
            if log is None:
                raise Refused(KafkaError.UNKNOWN_TOPIC_OR_PART)
            return ListOffsetsResultInfo(*_offset(log, requests[partition]), -1)

        return self._futures(requests, answer, request_timeout)

    def list_consumer_group_offsets(
        self, requests: list[ConsumerGroupTopicPartitions], request_timeout: float = REQUEST_TIMEOUT_S
    ) -> dict[str, Future[Any]]:
        """Of the partitions named, or of all that have one."""
        (request,) = requests

        def answer(group: str) -> ConsumerGroupTopicPartitions:
            offsets = self._cluster.committed(group)
            asked = request.topic_partitions
            places = sorted(offsets) if asked is None else [(p.topic, p.partition) for p in asked]
            answers = [answered_offset(place, *(offsets.get(place, (OFFSET_INVALID, None)))) for place in places]
            return ConsumerGroupTopicPartitions(group, answers)

        return self._futures([request.group_id], answer, request_timeout)

    def describe_consumer_groups(
        self, groups: Iterable[str], request_timeout: float = REQUEST_TIMEOUT_S
    ) -> dict[str, Future[Any]]:
        node = Node(1, "simulated", 9092)

        def answer(name: str) -> ConsumerGroupDescription:
            group = self._cluster.group(name)
            members = [
                MemberDescription(
                    member.id,
                    member.joining.client_id,
                    "/127.0.0.1",
                    MemberAssignment([TopicPartition(*place) for place in sorted(member.owned)]),
                    member.joining.instance_id,
                )
                for member in group.members.values()
            ]
            return ConsumerGroupDescription(name, False, members, "", None, node)

        return self._futures(list(groups), answer, request_timeout)

    def describe_configs(
        self, resources: Iterable[ConfigResource], request_timeout: float = REQUEST_TIMEOUT_S
    ) -> dict[ConfigResource, Future[Any]]:
        """Of groups: the session timeout of their members under the `consumer` protocol. Of topics: what a test needs."""
        timeout_ms = str(int(self._cluster.settings.consumer_session_timeout_s * 1000))

        def answer(resource: ConfigResource) -> dict[str, ConfigEntry]:
            found = {"consumer.session.timeout.ms": timeout_ms}
            if resource.restype == ResourceType.TOPIC:
                if resource.name not in self._cluster.topics:
                    raise Refused(KafkaError.UNKNOWN_TOPIC_OR_PART)
                found = {**TOPIC_DEFAULTS, **self._cluster.topic_settings.get(resource.name, {})}
            return {name: ConfigEntry(name, value) for name, value in found.items()}

        return self._futures(list(resources), answer, request_timeout)

    def create_topics(
        self,
        new_topics: list[NewTopic],
        operation_timeout: float = REQUEST_TIMEOUT_S,
        request_timeout: float = REQUEST_TIMEOUT_S,
        validate_only: bool = False,
    ) -> dict[str, Future[Any]]:
        """Nobody is refused; `operation_timeout` is how long a real one waits for its other brokers."""
        wanted = {new.topic: new for new in new_topics}

        def answer(name: str) -> None:
            if name in self._cluster.topics:
                raise Refused(KafkaError.TOPIC_ALREADY_EXISTS)
            if not validate_only:
                self._cluster.create_topic(name, wanted[name].num_partitions, wanted[name].config)

        return self._futures(list(wanted), answer, request_timeout)

    def describe_topics(
        self,
        topics: TopicCollection,
        include_authorized_operations: bool = False,
        request_timeout: float = REQUEST_TIMEOUT_S,
    ) -> dict[str, Future[Any]]:
        """With their ids, without partitions. Everybody may do everything."""
        allowed: list[Any] = [AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE]

        def answer(name: str) -> TopicDescription:
            if name not in self._cluster.topics:
                raise Refused(KafkaError.UNKNOWN_TOPIC_OR_PART)
            return TopicDescription(
                name, self._cluster.topic_ids[name], False, [], allowed if include_authorized_operations else None
            )

        return self._futures(list(topics.topic_names), answer, request_timeout)

    # -- inside

    def _futures(self, keys: Iterable[_K], answer: Callable[[_K], Any], timeout_s: float) -> dict[_K, Future[Any]]:
        """One round trip for all of them."""
        every = list(keys)
        futures: dict[_K, Future[Any]] = {key: Future() for key in every}
        try:
            answers = self._ask(lambda: [_try(answer, key) for key in every], timeout_s)
        except KafkaException as error:
            for future in futures.values():
                future.set_exception(error)
            return futures
        for future, found in zip(futures.values(), answers, strict=True):
            if isinstance(found, KafkaException):
                future.set_exception(found)
            else:
                future.set_result(found)
        return futures

    def _ask(self, request: Callable[[], _T], timeout_s: float) -> _T:
        with self._cluster.lock:
            return self._wire.ask(request, timeout_s)

    def _on_error(self, error: KafkaError) -> None:
        self._errors.append(error)


def _try(answer: Callable[[_K], Any], key: _K) -> Any:
    try:
        return answer(key)
    except Refused as refusal:
        return KafkaException(KafkaError(refusal.code))


def _offset(log: PartitionLog, spec: OffsetSpec) -> tuple[int, int]:
    """Offset and timestamp."""
    asked = spec._value
    if asked == OffsetSpec.earliest()._value:  # type: ignore[no-untyped-call]
        return log.start, -1
    if asked == OffsetSpec.latest()._value:  # type: ignore[no-untyped-call]
        return log.stable_end, -1
    found = log.first_since(asked)
    return (-1, -1) if found is None else (found.offset() or 0, found.timestamp()[1])
