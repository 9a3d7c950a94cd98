"""What `bridge status` tells of partitions: who owns them, where one stands still, why, and what to do."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace

import pytest
from rich.console import Console

from bridge.app.jobs.status import PartitionStatus, RouteStatus, Status, read_status
from bridge.app.settings import parse_settings
from bridge.cli.status import render
from bridge.core.delivery.commit_metadata import CommitMetadata, CommitPoint, HotLane, encode
from bridge.core.delivery.halts import HALTS
from bridge.core.delivery.ownership import Ownership
from bridge.core.records import GroupMember, Partition

ORDERS = [Partition("orders", 0), Partition("orders", 1), Partition("orders", 2)]


OWNERSHIP = Ownership("6f1c2ab09d3e", 3, True, 1000, 2000, {0: 100, 5: 7}, 1, "9a3c11d2", 48.5)


class Kafka:
    """Three partitions of ten records."""

    def __init__(self, committed: Mapping[Partition, CommitPoint]) -> None:
        self._committed = committed

    async def partitions_of(self, wanted: Callable[[str], bool]) -> Sequence[Partition]:
        return [partition for partition in ORDERS if wanted(partition.topic)]

    async def end_offsets(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        return dict.fromkeys(partitions, 10)

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        raise AssertionError("not asked here")

    async def committed(self, group: str, partitions: Collection[Partition]) -> Mapping[Partition, CommitPoint]:
        return self._committed

    async def members(self, group: str) -> Sequence[GroupMember]:
        return []

    async def try_to_read(self, partition: Partition) -> None:
        raise AssertionError("not asked here")

    async def timestamps_at(self, offsets: Mapping[Partition, int]) -> Mapping[Partition, int]:
        return dict.fromkeys(offsets, 1_000)


class Clock:
    def monotonic(self) -> float:
        return 0.0

    def wall_ms(self) -> float:
        return 4_000.0


@pytest.fixture
async def status() -> Status:
    metadata = [
        CommitMetadata(halted="topic_recreated", halted_at=7, topic_id="old"),
        CommitMetadata(halted="of a later version", halted_at=8),
        CommitMetadata(hot_lane=HotLane("6e7f85a9", 48.5, 230), ownership=OWNERSHIP),
    ]
    points = [CommitPoint(7 + i, encode(beside)) for i, beside in enumerate(metadata)]
    settings = parse_settings(
        {
            "name": "move",
            "kafka": {"bootstrap_servers": "kafka.invalid:9092"},
            "kinesis": {"region": "eu-central-1"},
            "routes": [{"topic": "orders", "stream": "orders"}],
        }
    )
    return await read_status(settings, Kafka(dict(zip(ORDERS, points, strict=True))), Clock())


async def test_a_halt_is_told_with_what_to_do(status: Status):
    rows = [asdict(row) for row in status.routes[0].partitions]
    assert [(row["halted"], row["halted_at"], row["remedy"]) for row in rows] == [
        ("topic_recreated", 7, HALTS["topic_recreated"].remedy),
        ("of a later version", 8, None),
        (None, None, None),
    ]
    assert (status.routes[0].halted, status.routes[0].lag_records, status.routes[0].lag_seconds) == (2, 6, 3.0)


async def test_a_hot_lane_is_told_with_what_it_would_gain(status: Status):
    rows = [asdict(row)["hot_lane"] for row in status.routes[0].partitions]
    assert rows == [None, None, {"hash_key": "6e7f85a9", "records_per_s": 48.5, "aggregate_records": 230}]
    console = Console(width=400)
    with console.capture() as shown:
        console.print(render(status))
    (line,) = [line for line in shown.get().splitlines() if "6e7f85a9" in line]
    assert "orders-2" in line
    assert "230" in line


async def test_the_table_says_it_too(status: Status):
    console = Console(width=400)
    with console.capture() as shown:
        console.print(render(status))
    (line,) = [line for line in shown.get().splitlines() if "topic_recreated" in line]
    assert "orders-0" in line
    assert HALTS["topic_recreated"].remedy in line


async def test_states_and_owners_are_told(status: Status):
    rows = json.loads(json.dumps(asdict(status)))["routes"][0]["partitions"]
    assert [row["ownership"] and row["ownership"]["is_open"] for row in rows] == [None, None, True]
    assert rows[2]["ownership"] == {
        "owner": "6f1c2ab09d3e",
        "counter": 3,
        "is_open": True,
        "watermark_ms": 1000,
        "lease_end_ms": 2000,
        "floors": {"0": 100, "5": 7},
        "epoch": 1,
        "fingerprint": "9a3c11d2",
        "records_per_s": 48.5,
    }


def test_owners_stand_in_one_column():
    owned = [replace(OWNERSHIP, is_open=is_open, owner=owner) for is_open, owner in ((True, "b"), (False, "b"), (True, "a"))]
    rows = [PartitionStatus("orders", i, 5, 9, 4, 1.0, None, None, None, None, None, one) for i, one in enumerate([*owned, None])]
    console = Console(width=400)
    with console.capture() as shown:
        console.print(render(Status("move", "move", [], [RouteStatus("orders", ["orders"], 16, 1.0, 0, rows)])))
    assert [line for line in shown.get().splitlines() if "a: 1 open " in line]
    assert [line for line in shown.get().splitlines() if "b: 1 clean, 1 open " in line]
