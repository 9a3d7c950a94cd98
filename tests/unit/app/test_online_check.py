"""What `config check --online` says of topics: those of the routes, dead letters, the ledger."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import pytest

from bridge.app.jobs.online_check import CheckResult, check_online
from bridge.app.settings import parse_settings
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.records import Partition
from bridge.core.topics import TopicDefinition
from tests.unit.app.streams import Kinesis


class Kafka:
    """Everything works, but for what the test says."""

    def __init__(self) -> None:
        self.topics = ["orders", "payments", "orders-move.dlq"]
        self.policies = {"orders": "compact", "payments": "compact,delete"}
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.settings_error: Exception | None = None
        self.ledger_error: Exception | None = None
        self.ledgers: list[TopicDefinition] = []

    async def partitions_of(self, wanted: Callable[[str], bool]) -> list[Partition]:
        return [Partition(topic, 0) for topic in self.topics if wanted(topic)]

    async def committed(self, *_: Any) -> dict[Any, Any]:
        return {}

    async def try_to_read(self, _: Partition) -> None:
        return None

    async def settings_of(self, topics: Collection[str]) -> Mapping[str, Mapping[str, str]]:
        if self.settings_error is not None:
            raise self.settings_error
        return {topic: {"cleanup.policy": self.policies[topic]} for topic in topics if topic in self.policies}

    async def try_to_park(self, bridge: str, wanted: Callable[[str], bool]) -> None:
        self.asked.append(bridge)
        assert wanted("orders")
        if self.error is not None:
            raise self.error

    async def try_topic(self, definition: TopicDefinition) -> None:
        self.ledgers.append(definition)
        if self.ledger_error is not None:
            raise self.ledger_error


class TryableKinesis(Kinesis):
    async def try_to_write(self, stream: str) -> None:
        return None

    async def try_to_read(self, stream: str) -> None:
        return None


async def check(kafka: Kafka, *routes: dict[str, Any], kinesis: Kinesis | None = None, **more: Any) -> dict[str, CheckResult]:
    settings = parse_settings(
        {
            "name": "orders-move",
            "kafka": {"bootstrap_servers": "b1:9092"},
            "kinesis": {"region": "eu-central-1"},
            "routes": list(routes) or [{"topic": "orders", "stream": "s"}],
            **more,
        }
    )
    results = await check_online(settings, kafka, kinesis or TryableKinesis())  # type: ignore[arg-type]
    return {result.subject: result for result in results}


COMPACTED = "topic orders: cleanup.policy compact"


async def test_a_compacted_topic_wants_a_decision_about_its_tombstones() -> None:
    found = (await check(Kafka()))[COMPACTED]
    assert (found.problem, found.reachable) == (None, True)
    assert "on_tombstone" in (found.warning or "")


@pytest.mark.parametrize("policy", ["park", "send_empty", "skip"])
async def test_a_decision_that_was_written_is_one(policy: str) -> None:
    assert COMPACTED not in await check(Kafka(), {"topic": "orders", "stream": "s", "on_tombstone": policy})
    assert COMPACTED not in await check(Kafka(), defaults={"on_tombstone": policy})


async def test_other_topics_want_none() -> None:
    kafka = Kafka()
    kafka.policies["orders"] = "delete"
    found = await check(kafka, {"topic": "orders", "stream": "s"}, {"topic": "payments", "stream": "s"})
    assert [subject for subject in found if "cleanup.policy" in subject] == ["topic payments: cleanup.policy compact"]


async def test_settings_that_cannot_be_had_are_told() -> None:
    kafka = Kafka()
    kafka.settings_error = UnavailableError("no answer")
    found = (await check(kafka))["cleanup.policy of the topics"]
    assert (found.problem, found.reachable) == ("no answer", False)


@pytest.mark.parametrize(("error", "reachable"), [(None, True), (RefusedError("no"), True), (UnavailableError("no"), False)])
async def test_the_dead_letter_topic_is_tried(error: Exception | None, reachable: bool) -> None:
    kafka = Kafka()
    kafka.error = error
    found = (await check(kafka))["topic orders-move.dlq: park records there"]
    assert (found.problem, found.reachable) == (None if error is None else "no", reachable)
    assert kafka.asked == ["orders-move"]


async def test_a_bridge_that_never_parks_needs_no_topic() -> None:
    kafka = Kafka()
    await check(kafka, {"topic": "orders", "stream": "s", "on_oversize": "stop", "on_tombstone": "skip"})
    assert kafka.asked == []


@pytest.mark.parametrize(("error", "reachable"), [(None, True), (RefusedError("no"), True), (UnavailableError("no"), False)])
async def test_the_ledger_topic_is_tried(error: Exception | None, reachable: bool) -> None:
    kafka = Kafka()
    kafka.ledger_error = error
    found = (await check(kafka, ledger={"slots": 8, "retention": "9d", "replication_factor": 3}))[
        "topic orders-move.ledger: make it, or read and write it"
    ]
    assert (found.problem, found.reachable) == (None if error is None else "no", reachable)
    tried, control = kafka.ledgers
    assert (control.name, control.partitions, control.replication_factor) == ("orders-move.control", 1, 3)
    assert (tried.partitions, tried.replication_factor, tried.settings["retention.ms"]) == (8, 3, "777600000")


@pytest.mark.parametrize(
    ("hours", "subject", "problem"),
    [
        (24, "ledger.retention 8d: longer than stream s keeps its records (1d)", None),
        (191, "ledger.retention 8d: longer than stream s keeps its records (191h)", None),
        (192, "ledger.retention 8d: longer than stream s keeps its records (8d)", "write 9d or more; "),
        (8760, "ledger.retention 8d: longer than stream s keeps its records (365d)", "write 366d or more; "),
    ],
)
async def test_the_ledger_remembers_longer_than_the_stream(hours: int, subject: str, problem: str | None) -> None:
    kinesis = TryableKinesis()
    kinesis.description = replace(kinesis.description, retention_ms=hours * 3_600_000)
    found = (await check(Kafka(), kinesis=kinesis))[subject]
    assert (found.problem is None) == (problem is None)
    assert (found.problem or "").startswith(problem or "")
    assert problem is None or "retention.ms" in (found.problem or "")


async def test_a_stream_that_does_not_tell_its_retention_is_not_judged() -> None:
    assert not [subject for subject in await check(Kafka()) if "ledger.retention" in subject]
