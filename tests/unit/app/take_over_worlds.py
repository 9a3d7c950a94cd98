"""Processes that own partitions of one topic, one after the other or side by side, and die."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

from bridge.core.delivery.commit_metadata import CommitPoint
from bridge.core.delivery.lanes import ROW_DATA, ROW_HASH_KEY, ROW_PARTITION_KEY, offset_of
from bridge.core.delivery.policies import Policies
from bridge.core.delivery.requests import Request
from bridge.core.records import Outcome, Partition, PutAnswer
from bridge.ports import Assigned, AssignedPartition
from tests.unit.app.forward_lines import Behind, Kafka, forward_line
from tests.unit.app.ledger_topics import LedgerTopic
from tests.unit.app.lines import LoggingTelemetry
from tests.unit.app.streams import Kinesis, told_s
from tests.unit.core.delivery.columns import source_batch

ORDERS, OTHERS = Partition("orders", 0), Partition("orders", 1)
RECOVERED_S = 30.0
"""A lease, what may be stored after it, and some reads."""


class Storing(Kinesis):
    """What is put is in the shards. `lost`: by data, what is stored without an answer; `never`: what is not stored either."""

    def __init__(self, behind: Behind) -> None:
        super().__init__()
        self.shards = behind.shards
        self.silent = False
        self.never: Collection[bytes] = ()
        self.late_s = 0.0

    async def put(self, stream: str, request: Request, deadline: float) -> PutAnswer:
        self.requests.append(request)
        if self.late_s:
            asyncio.get_running_loop().call_later(self.late_s, self._store, request)
        else:
            places = self._store(request)
        if self.silent:
            await asyncio.Event().wait()
        shard_ids, numbers = zip(*places, strict=True)
        return PutAnswer(None, [Outcome.STORED] * len(request), list(shard_ids), list(map(str, numbers)), date_s=told_s())

    def _store(self, request: Request) -> list[tuple[str, int]]:
        rows = [row for row in request.rows if row[ROW_DATA] not in self.never]
        return [self.shards.put(row[ROW_PARTITION_KEY], row[ROW_DATA], row[ROW_HASH_KEY]) for row in rows]


class Once(Kafka):
    """Its commits go to the group that all see, until it is cut off."""

    def __init__(self, behind: Behind) -> None:
        super().__init__()
        self._points = behind.group.points
        self.is_cut = False

    async def commit(self, points: Mapping[Partition, CommitPoint]) -> Mapping[Partition, str]:
        if not self.is_cut:
            self._points |= points
        return dict.fromkeys(points, "away") if self.is_cut else {}


class World:
    """One topic, one stream, one ledger; processes come and go."""

    def __init__(self, carry_origin: str | None = None, is_aggregated: bool = False) -> None:
        self.behind = Behind(carry_origin=carry_origin, is_aggregated=is_aggregated, lease_ms=12_000)
        self.ledger, self.started = LedgerTopic(), 0

    def produce(self, partition: Partition, *records: tuple[str, str | None]) -> None:
        rows = [(key.encode(), None if value is None else value.encode()) for key, value in records]
        self.behind.group.rows.setdefault(partition, []).extend(rows)

    @asynccontextmanager
    async def process(self) -> AsyncIterator["Process"]:
        self.started += 1
        process = Process(self, f"owner-{self.started}")
        running = asyncio.ensure_future(process.line.run())
        yield process
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert self.behind.shards.open_readers == 0

    @property
    def stored(self) -> list[bytes]:
        return [data for _, data in self.behind.shards.stored()]

    def committed(self, partition: Partition = ORDERS) -> CommitPoint:
        return self.behind.group.points[partition]


class Process:
    def __init__(self, world: World, owner: str) -> None:
        self.world, self.telemetry = world, LoggingTelemetry()
        behind = replace(world.behind, owner=owner)
        self.kafka, self.kinesis = Once(behind), Storing(behind)
        policies = Policies(on_tombstone="skip")
        self.line = forward_line(self.kafka, self.kinesis, self.telemetry, ledger=world.ledger, policies=policies, behind=behind)

    def take(self, *partitions: Partition) -> None:
        """Assigned, and read to the end."""
        points = self.world.behind.group.points
        found = [AssignedPartition(p, *points.get(p, CommitPoint(0, "")), 1) for p in partitions]
        self.kafka.hand_over(Assigned(found))
        for assigned in found:
            self.read(assigned.partition, assigned.offset)

    def read(self, partition: Partition, first: int) -> None:
        rows = self.world.behind.group.rows.get(partition, [])
        self.kafka.hand_over(source_batch([(offset, *rows[offset]) for offset in range(first, len(rows))], partition))

    @property
    def sent(self) -> list[int]:
        return sorted(offset_of(row) for request in self.kinesis.requests for row in request.rows)

    def finished(self) -> dict[str, object]:
        """What the log says of the recovery."""
        (fields,) = [fields for _, event, fields in self.telemetry.lines if event == "recovery_finished"]
        return fields


async def crashes_while_sending(world: World, *partitions: Partition, never: Collection[bytes] = (), late_s: float = 0.0) -> None:
    """A process that owned them dies before any answer."""
    async with world.process() as process:
        process.kinesis.silent, process.kinesis.never, process.kinesis.late_s = True, never, late_s
        process.take(*partitions)
        await asyncio.sleep(3)
        assert process.sent
        process.kafka.is_cut = True
