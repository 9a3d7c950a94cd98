"""`bridge direction show` and `preflight` on real servers and on the demonstration: each guard by its name, with what to do."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType  # type: ignore[attr-defined]

from bridge import bootstrap
from bridge.app.settings import parse_settings
from bridge.core.delivery.commit_metadata import CommitMetadata, encode
from bridge.core.delivery.ownership import Ownership
from bridge.core.direction.control_record import ControlRecord
from bridge.core.direction.control_state import messages_of
from bridge.core.direction.direction import Direction, Phase
from bridge.core.direction.guards import GUARDS
from bridge.core.direction.transitions import first_record
from tests.integration.conftest import StartDaemon
from tests.integration.flights import produce
from tests.integration.scenario import settings_of, wait_committed
from tests.integration.secure_scenario import run_command
from tests.integration.test_demo import running_demo
from tests.servers.fixtures import NewTopic
from tests.servers.kafka import RunningKafka
from tests.servers.kinesis import create_stream, kinesis_client

NOT_YET = "not yet measurable: "
DAY_MS = 24 * 3600 * 1000


class Route:
    """A topic of one partition and a stream of one shard, with the bridge's own topics, and no daemon."""

    def __init__(self, kafka: RunningKafka, endpoint_url: str, topic: str, folder: Path) -> None:
        self.kafka = kafka
        self.topic = topic
        self.client = kinesis_client(endpoint_url)
        create_stream(self.client, topic, shards=1)
        self.document = settings_of(topic, kafka, endpoint_url, [{"topic": topic, "stream": topic}])
        self.settings = parse_settings(self.document)
        self.folder = folder
        asyncio.run(self._own_topics())
        self.commit(0, CommitMetadata())  # a fresh broker needs a moment before it tells of groups

    async def _own_topics(self) -> None:
        clients = bootstrap.kafka_clients(self.settings)
        ledger = bootstrap.ledger(self.settings, clients, bootstrap.Machine())
        await ledger.open()
        await ledger.close()
        await bootstrap.control(self.settings, clients).open()

    def control(self, direction: Direction, **changes: Any) -> ControlRecord:
        """What the control topic says from now on."""
        record = replace(first_record(self.topic, direction, "test", 1_000), **changes)
        store = bootstrap.control(self.settings, bootstrap.kafka_clients(self.settings))
        asyncio.run(store.change(lambda _: messages_of(record)))
        return record

    def commit(self, offset: int, metadata: CommitMetadata) -> None:
        """Beside the group's offset, as a daemon that has gone left it."""
        consumer = Consumer({"bootstrap.servers": self.kafka.bootstrap_servers, "group.id": self.topic})
        try:
            consumer.commit(offsets=[TopicPartition(self.topic, 0, offset, encode(metadata))], asynchronous=False)
        finally:
            consumer.close()

    def alter(self, topic: str, name: str, value: str) -> None:
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers})
        admin.incremental_alter_configs([resource])[resource].result(30)

    def refused(self, to: Direction, *arguments: str) -> dict[str, Any]:
        """By guard, after a look at what every answer has in common."""
        status, output = run_command(
            self.folder, self.document, "direction", "preflight", "--to", to, "--output", "json", *arguments
        )
        assert status == 3, output
        document = json.loads(output)
        assert (status, document["to"], document["allowed"]) == (3, to, False), output
        (route,) = document["routes"]
        assert route["route"] == self.topic
        return checked(route["refused"])

    def measured(self, to: Direction, *arguments: str) -> dict[str, str]:
        """The reasons of those guards that could be asked, and refuse."""
        return {name: one["reason"] for name, one in self.refused(to, *arguments).items() if one["measured"]}


def checked(refused: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Each is of the table, with its remedy; one that is not measurable names the facts that are missing."""
    for one in refused:
        guard = GUARDS[one["guard"]]
        assert (one["remedy"], one["overridable"], one["overridden"]) == (guard.remedy, guard.overridable, False)
        assert one["reason"].startswith(NOT_YET) is not one["measured"]
    return {one["guard"]: one for one in refused}


@pytest.fixture
def route(kafka: RunningKafka, embedded_endpoint: str, new_topic: NewTopic, tmp_path: Path) -> Route:
    topic = new_topic("direction", partitions=1, settings={"retention.ms": str(7 * DAY_MS)})
    return Route(kafka, embedded_endpoint, topic, tmp_path)


def test_nothing_that_can_be_measured_refuses_a_route_in_order(route: Route):
    route.control(Direction.PAUSED)
    refused = route.refused(Direction.FORWARD)
    assert {name: one["reason"] for name, one in refused.items()} == {
        "replicas_as_expected": f"{NOT_YET}replica_versions",
        "target_room": f"{NOT_YET}target_load",
    }


def test_what_this_version_cannot_measure_refuses_and_says_so(route: Route):
    route.control(Direction.FORWARD)
    refused = route.refused(Direction.REVERSE)
    assert {name: one["reason"] for name, one in refused.items() if not one["measured"]} == {
        "permissions": f"{NOT_YET}permissions_missing",
        "reverse_way_named": f"{NOT_YET}reverse_topic",
        "keys_reversible": f"{NOT_YET}irreversible_keys",
        "replicas_as_expected": f"{NOT_YET}replica_versions",
        "iterator_age": f"{NOT_YET}iterator_age_s",
        "parity_clean": f"{NOT_YET}parity_mismatches",
        "parity_fresh": f"{NOT_YET}parity_age_s, verified_within_s",
        "parity_up_to_now": f"{NOT_YET}parity_behind_s",
        "held_decided": f"{NOT_YET}held_records",
        "target_room": f"{NOT_YET}target_load",
    }
    assert not any(one["measured"] for one in refused.values())


def test_a_route_without_a_record_refuses(route: Route):
    assert route.refused(Direction.PAUSED)["no_other_switchover"]["reason"] == f"{NOT_YET}control"


def test_no_other_switchover(route: Route):
    route.control(Direction.PAUSED, epoch=2, phase=Phase.DRAINING, leaving=Direction.FORWARD, who="anna")
    assert route.measured(Direction.FORWARD)["no_other_switchover"] == "the change to paused by anna is draining"


def test_internal_topics_healthy(route: Route):
    route.control(Direction.FORWARD)
    route.alter(f"{route.topic}.ledger", "retention.ms", "1000")
    reason = route.measured(Direction.PAUSED)["internal_topics_healthy"]
    assert f"topic {route.topic}.ledger is not as the bridge needs it: retention.ms is 1000" in reason


def test_permissions(route: Route):
    route.control(Direction.PAUSED)
    route.document["routes"] = [{"topic": route.topic, "stream": "no-such-stream"}]
    refused = route.refused(Direction.FORWARD)
    assert "describe stream no-such-stream (" in refused["permissions"]["reason"]
    assert refused["permissions"]["measured"]
    assert refused["partition_keys_count"]["reason"] == f"{NOT_YET}keys_ignored"


def test_partition_keys_count(route: Route):
    route.control(Direction.PAUSED)
    stream = f"{route.topic}-auto"
    on_demand = {"StreamModeDetails": {"StreamMode": "ON_DEMAND"}, "RecordDistributionStrategy": "AUTO"}
    route.client.create_stream(StreamName=stream, **on_demand)
    route.document["routes"] = [{"topic": route.topic, "stream": stream}]
    refused = route.measured(Direction.FORWARD)
    assert refused["partition_keys_count"] == "the stream spreads records without regard to their partition keys"


def test_no_unclean_partition_that_is_halted(route: Route):
    route.control(Direction.FORWARD)
    route.commit(0, CommitMetadata(halted="tombstone", halted_at=0))
    reason = route.measured(Direction.REVERSE)["no_unclean_partition"]
    assert reason == f"unclean or halted: {route.topic}-0 (halted at 0: tombstone)"


def test_no_unclean_partition_that_a_dead_owner_left_open(route: Route):
    route.control(Direction.FORWARD)
    route.commit(0, CommitMetadata(ownership=Ownership("gone", 1, True, 0, 0, epoch=1)))
    reason = route.measured(Direction.BOTH)["no_unclean_partition"]
    assert reason == f"unclean or halted: {route.topic}-0 (open, without an owner)"


def test_forward_lag(route: Route):
    route.control(Direction.FORWARD)
    route.alter(route.topic, "retention.ms", "-1")
    produce_at(route.kafka, route.topic, 1_700_000_000_000)
    reason = route.measured(Direction.REVERSE)["forward_lag"]
    assert reason.startswith("the lag is ")
    assert reason.endswith(" s, at most 30 s")


def test_held_decided(route: Route):
    route.control(Direction.PAUSED)
    produce(route.kafka.bootstrap_servers, route.topic, [(b"k", b"v")] * 3)
    assert route.measured(Direction.FORWARD) == {"held_decided": "3 records are held on the path that would be turned on"}
    assert route.measured(Direction.FORWARD, "--held", "carry") == {}


def test_retention(route: Route):
    route.control(Direction.PAUSED)
    route.alter(route.topic, "retention.ms", str(3600 * 1000))
    assert route.measured(Direction.FORWARD) == {"retention": "the topic keeps records 3600 s, 86400 s are needed"}


def test_the_text_for_people_says_why_and_what_to_do(route: Route):
    route.control(Direction.PAUSED)
    route.alter(route.topic, "retention.ms", "1000")
    status, output = run_command(route.folder, route.document, "direction", "preflight", "--to", "forward", "--routes", "^dir.*")
    assert status == 3
    remedy = GUARDS["retention"].remedy
    assert f"{route.topic} (direction paused, epoch 1) to forward: 3 guards refuse" in output
    assert f"  retention\n    why     the topic keeps records 1 s, 86400 s are needed\n    to do   {remedy}" in output
    status, output = run_command(route.folder, route.document, "direction", "preflight", "--to", "forward", "--routes", "other")
    assert status == 1
    assert "refused: --routes other: no route of the configuration carries such a topic of Kafka" in output


def test_a_daemon_writes_the_first_record_and_every_partition_shows_it(
    start_daemon: StartDaemon, kafka: RunningKafka, embedded_endpoint: str, new_topic: NewTopic, tmp_path: Path
):
    topic = new_topic("first", partitions=3)
    create_stream(kinesis_client(embedded_endpoint), topic, shards=1)
    settings = settings_of(topic, kafka, embedded_endpoint, [{"topic": topic, "stream": topic}])
    assert shown(tmp_path, settings) == [(topic, None, None, None, 0)]
    daemon = start_daemon(settings)
    produce(kafka.bootstrap_servers, topic, [(b"%d" % n, b"v") for n in range(30)])
    wait_committed(kafka, topic, topic, 60)
    assert shown(tmp_path, settings) == [(topic, "forward", 1, "active", 3)]
    assert daemon.metrics().total("bridge_direction", route=topic, direction="forward") == 1.0
    assert daemon.metrics().total("bridge_direction_epoch", route=topic) == 1.0


def shown(folder: Path, settings: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    status, output = run_command(folder, settings, "direction", "show", "--output", "json")
    assert status == 0, output
    fields = ("route", "direction", "epoch", "phase", "partitions_at_epoch")
    return [tuple(route[field] for field in fields) for route in json.loads(output)]


def test_on_the_demonstration_each_guard_is_named(tmp_path: Path):
    with running_demo(tmp_path, "--serve", "--records", "2000") as demo:
        demo.wait_for(lambda: "Ctrl-C ends all of it." in demo.output(), "the addresses")
        addresses = dict(line.split(maxsplit=1) for line in demo.output().splitlines() if line.startswith("configuration"))
        settings = yaml.safe_load(Path(addresses["configuration"]).read_text())
        (route,) = shown(tmp_path, settings)
        assert route[:4] == ("flights", "forward", 1, "active")
        status, output = run_command(tmp_path, settings, "direction", "preflight", "--to", "reverse", "--output", "json")
    assert status == 3, output
    refused = checked(json.loads(output)["routes"][0]["refused"])
    unknown = {name for name, one in refused.items() if not one["measured"]}
    assert unknown >= {
        "permissions",
        "reverse_way_named",
        "keys_reversible",
        "replicas_as_expected",
        "iterator_age",
        "parity_clean",
        "parity_fresh",
        "parity_up_to_now",
        "held_decided",
        "retention",  # the embedded Kafka tells no settings
        "target_room",
    }
    assert refused.keys() == unknown


def produce_at(kafka: RunningKafka, topic: str, timestamp_ms: int) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce(topic, b"v", b"k", timestamp=timestamp_ms)
    assert producer.flush(30) == 0
