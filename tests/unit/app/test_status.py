"""What `bridge status` tells of partitions: who owns them, where one stands still, why, and what to do."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace

import pytest
from rich.console import Console

from bridge.app.jobs.status import LedgerStatus, PartitionStatus, RouteStatus, Status, read_status
from bridge.app.settings import parse_settings
from bridge.cli.status import OPEN_SHOWN, render
from bridge.core.delivery.commit_metadata import CommitMetadata, CommitPoint, HotLane, decode, encode
from bridge.core.delivery.halts import HALTS
from bridge.core.delivery.ownership import Ownership
from bridge.core.errors import RefusedError
from bridge.core.records import GroupMember, Partition

ORDERS = [Partition("orders", 0), Partition("orders", 1), Partition("orders", 2)]


OWNERSHIP = Ownership("6f1c2ab09d3e", 3, True, 1000, 2000, {0: 100, 5: 7}, 1, "9a3c11d2", 48.5)


class Kafka:
    """Three partitions of ten records, and a ledger. `members` is None where they are not told."""

    def __init__(
        self, committed: Mapping[Partition, CommitPoint], members: Sequence[GroupMember] | None = (), slots: int = 2
    ) -> None:
        self._committed = committed
        self._members = members
        self._partitions = [*ORDERS, *(Partition("move.ledger", slot) for slot in range(slots))]

    async def partitions_of(self, wanted: Callable[[str], bool]) -> Sequence[Partition]:
        return [partition for partition in self._partitions if wanted(partition.topic)]

    async def end_offsets(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        return dict.fromkeys(partitions, 10)

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        raise AssertionError("not asked here")

    async def committed(self, group: str, partitions: Collection[Partition]) -> Mapping[Partition, CommitPoint]:
        return self._committed

    async def members(self, group: str) -> Sequence[GroupMember]:
        if self._members is None:
            raise RefusedError("members of group move: not allowed")
        return self._members

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
    return await status_of([CommitPoint(7 + i, encode(beside)) for i, beside in enumerate(metadata)])


async def status_of(points: Sequence[CommitPoint], members: Sequence[GroupMember] | None = (), slots: int = 2) -> Status:
    """Of the first partitions, as they are committed."""
    settings = parse_settings(
        {
            "name": "move",
            "kafka": {"bootstrap_servers": "kafka.invalid:9092"},
            "kinesis": {"region": "eu-central-1"},
            "routes": [{"topic": "orders", "stream": "orders"}],
        }
    )
    return await read_status(settings, Kafka(dict(zip(ORDERS, points, strict=False)), members, slots), Clock())


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


async def test_the_rate_is_what_the_commits_say(status: Status):
    assert any("│ 48 " in line for line in text_of(status).splitlines() if "orders" in line)


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
        "attempts_to": 0,
        "demand": 1.0,
    }


async def test_what_cannot_be_read_is_told():
    status = await status_of([CommitPoint(7, '{"v":2}')])
    row = asdict(status.routes[0].partitions[0])
    assert row["unreadable"] == decode('{"v":2}').unreadable
    assert (row["halted"], row["ownership"], row["lag_records"]) == (None, None, 3)
    console = Console(width=400)
    with console.capture() as shown:
        console.print(render(status))
    (line,) = [line for line in shown.get().splitlines() if "version 2" in line]
    assert "orders-0" in line


NOW_MS = 4_000
A_MEMBER = GroupMember("1", "replica-a", "host", (ORDERS[0], ORDERS[2]))


def owned(is_open: bool = True, lease_end_ms: int = NOW_MS + 8_000, watermark_ms: int = NOW_MS - 500) -> CommitPoint:
    ownership = replace(OWNERSHIP, is_open=is_open, lease_end_ms=lease_end_ms, watermark_ms=watermark_ms)
    return CommitPoint(7, encode(CommitMetadata(ownership=ownership)))


def lease_of(status: Status) -> list[tuple[float | None, float | None, bool]]:
    return [(row.lease_remaining_s, row.watermark_age_s, row.awaits_recovery) for row in status.routes[0].partitions]


async def test_leases_and_watermarks_are_told_of_open_partitions():
    status = await status_of([owned(), owned(is_open=False), owned(lease_end_ms=0, watermark_ms=0)], [A_MEMBER])
    assert lease_of(status) == [(8.0, 0.5, False), (None, None, False), (None, None, False)]


@pytest.mark.parametrize(
    ("lease_end_ms", "member", "awaits"),
    [(NOW_MS + 1, True, False), (NOW_MS - 1, True, True), (NOW_MS + 1, False, True), (0, False, True), (0, True, False)],
)
async def test_a_partition_awaits_its_recovery_where_its_lease_is_over_or_its_owner_has_gone(lease_end_ms, member, awaits):
    status = await status_of([owned(lease_end_ms=lease_end_ms)], [A_MEMBER] if member else [])
    assert next(awaits_recovery for *_, awaits_recovery in lease_of(status)) is awaits


async def test_where_the_members_are_not_told_the_lease_alone_decides():
    status = await status_of([owned(), owned(lease_end_ms=NOW_MS - 1)], None)
    assert [awaits_recovery for *_, awaits_recovery in lease_of(status)] == [False, True, False]
    assert not status.members_told


async def test_what_a_new_owner_would_read_of_the_ledger_is_told():
    floors = [replace(OWNERSHIP, floors=of) for of in ({0: 5, 1: 9}, {0: 7}, {2: 1})]
    floors[2] = replace(floors[2], is_open=False)
    status = await status_of([CommitPoint(7, encode(CommitMetadata(ownership=one))) for one in floors])
    assert status.ledger == LedgerStatus("move.ledger", {0: 10, 1: 10}, 5 + 1)
    assert "ledger move.ledger: 20 messages in 2 slots so far" in text_of(status)


async def test_a_bridge_that_has_no_ledger_yet():
    status = await status_of([], slots=0)
    assert status.ledger is None
    assert "topic move.ledger is not in Kafka" in text_of(status)


async def test_the_table_of_open_partitions_has_those_first_that_await_recovery():
    status = await status_of([owned(), owned(lease_end_ms=NOW_MS - 2_500)], [A_MEMBER])
    lines = [line.split("│")[1:-1] for line in text_of(status).splitlines() if OWNERSHIP.owner in line and "orders-" in line]
    assert [[cell.strip() for cell in line] for line in lines] == [
        ["orders-1", OWNERSHIP.owner, "", "ended 2.5 s ago", "0.5 s", "waits, no owner"],
        ["orders-0", OWNERSHIP.owner, "replica-a", "ends in 8.0 s", "0.5 s", ""],
    ]


async def test_of_many_open_partitions_the_table_names_some():
    (row, *_) = (await status_of([owned()], [A_MEMBER])).routes[0].partitions
    rows = [replace(row, partition=number) for number in range(OPEN_SHOWN + 3)]
    text = text_of(Status("move", "move", [], [RouteStatus("orders", ["orders"], 0, 0.0, 0, rows)]))
    assert sum("ends in 8.0 s" in line for line in text.splitlines()) == OPEN_SHOWN
    assert "and 3 more: --output json has them all" in text


def text_of(status: Status) -> str:
    console = Console(width=400)
    with console.capture() as shown:
        console.print(render(status))
    return shown.get()


def test_owners_stand_in_one_column():
    owned = [replace(OWNERSHIP, is_open=is_open, owner=owner) for is_open, owner in ((True, "b"), (False, "b"), (True, "a"))]
    rows = [PartitionStatus("orders", i, 5, 9, 4, 1.0, None, None, None, None, None, one) for i, one in enumerate([*owned, None])]
    console = Console(width=400)
    with console.capture() as shown:
        console.print(render(Status("move", "move", [], [RouteStatus("orders", ["orders"], 16, 1.0, 0, rows)])))
    assert [line for line in shown.get().splitlines() if "a: 1 open " in line]
    assert [line for line in shown.get().splitlines() if "b: 1 clean, 1 open " in line]
