"""A ledger and what Kafka says beside it, for `bridge translate`."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any

from bridge.app.settings import Settings, parse_settings
from bridge.core.delivery.commit_metadata import CommitMetadata, CommitPoint, encode
from bridge.core.delivery.ownership import Ownership
from bridge.core.proof.ledger_entries import Group
from bridge.core.proof.ledger_layout import LedgerMessage
from bridge.core.proof.noted_entries import NotedEntries
from bridge.core.records import GroupMember, Partition
from tests.unit.app.ledger_topics import SLOTS, LedgerTopic

LEDGER = "orders-move.ledger"


def settings(*routes: dict[str, str]) -> Settings:
    document: dict[str, Any] = {
        "name": "orders-move",
        "kafka": {"bootstrap_servers": "kafka.invalid:9092"},
        "kinesis": {"region": "eu-central-1"},
        "routes": list(routes) or [{"topic": "orders", "stream": "orders"}],
    }
    return parse_settings(document)


def committed(offset: int, is_open: bool = False, floors: Mapping[int, int] | None = None, **more: Any) -> CommitPoint:
    ownership = Ownership("6f1c2ab09d3e", 3, is_open, 1000, 2000, floors or {})
    return CommitPoint(offset, encode(CommitMetadata(ownership=ownership, **more)))


class Cluster:
    """`GroupDirectory`. `on_committed` is called when committed offsets are asked for."""

    def __init__(self, points: Mapping[Partition, CommitPoint], end: int = 1000, slots: int = SLOTS) -> None:
        self.points = dict(points)
        self.end = end
        self.slots = slots
        self.on_committed: Callable[[], None] = lambda: None

    async def partitions_of(self, wanted: Callable[[str], bool]) -> Sequence[Partition]:
        everything = [*self.points, *(Partition(LEDGER, slot) for slot in range(self.slots))]
        return [partition for partition in everything if wanted(partition.topic)]

    async def end_offsets(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        return {partition: self.end for partition in partitions if partition in self.points}

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        raise AssertionError("not asked here")

    async def committed(self, group: str, partitions: Collection[Partition]) -> Mapping[Partition, CommitPoint]:
        self.on_committed()
        return {partition: point for partition, point in self.points.items() if partition in partitions}

    async def members(self, group: str) -> Sequence[GroupMember]:
        raise AssertionError("not asked here")

    async def try_to_read(self, partition: Partition) -> None:
        raise AssertionError("not asked here")

    async def timestamps_at(self, offsets: Mapping[Partition, int]) -> Mapping[Partition, int]:
        raise AssertionError("not asked here")


class KeptLedger(LedgerTopic):
    """Retention has removed what stands below these offsets of its slots."""

    def __init__(self, *messages: Sequence[Group]) -> None:
        super().__init__()
        self.begins: dict[int, int] = {}
        for groups in messages:
            self.append(groups)

    def append(self, groups: Sequence[Group]) -> None:
        noted = NotedEntries(SLOTS)
        for group in groups:
            noted.add(group)
        for slot in noted.slots():
            self.slots[slot].append(noted.take(slot).value)

    async def read(self, begins: Mapping[int, int], ends: Mapping[int, int]) -> AsyncIterator[Sequence[LedgerMessage]]:
        async for messages in super().read(begins, ends):
            yield [message for message in messages if message.offset >= self.begins.get(message.slot, 0)]
