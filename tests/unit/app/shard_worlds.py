"""A stream of shards in memory that can be written and read back, and a consumer group's committed offsets."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.core.delivery.commit_metadata import CommitMetadata, CommitPoint, encode
from bridge.core.delivery.ownership import Ownership
from bridge.core.delivery.partition_keys import hash_key
from bridge.core.errors import UnavailableError
from bridge.core.proof.shard_reads import ReadableShard, ReadableStream, ReadStart, ShardRead
from bridge.core.quotas import HASH_KEY_MAX
from bridge.core.records import Partition, ShardRecords, SourceBatch
from tests.unit.app.ledger_topics import FIRST_MS

HOUR_MS = 3_600_000
PACE_S = 0.2
NUMBERS = 10**6
"""Of one shard; those of its children are above."""


def now_ms() -> float:
    """What Kinesis's clock shows."""
    return FIRST_MS + 1000 * asyncio.get_running_loop().time()


@dataclass
class Record:
    number: int
    arrival_ms: int
    key: str
    data: bytes


@dataclass
class OneShard:
    shard_id: str
    first: int
    last: int
    parents: tuple[str, ...] = ()
    is_closed: bool = False
    records: list[Record] = field(default_factory=list)


class Shards:
    """`ShardReader`. While `away` nothing is answered."""

    def __init__(self) -> None:
        self.shards = [OneShard("shardId-000000000000", 0, HASH_KEY_MAX)]
        self.retention_ms = 24 * HOUR_MS
        self.away = False
        self.reads = 0
        self.open_readers = 0

    def put(self, key: str, data: bytes, place: int | None = None) -> tuple[str, int]:
        """Stored now."""
        place = hash_key(key) if place is None else place
        index, shard = next(
            (i, shard) for i, shard in enumerate(self.shards) if not shard.is_closed and shard.first <= place <= shard.last
        )
        number = NUMBERS * (index + 1) + len(shard.records)
        shard.records.append(Record(number, int(now_ms()), key, data))
        return shard.shard_id, number

    def split(self) -> None:
        """The last shard becomes two."""
        parent = self.shards[-1]
        parent.is_closed = True
        middle, count = (parent.first + parent.last) // 2, len(self.shards)
        for i, (first, last) in enumerate([(parent.first, middle), (middle + 1, parent.last)]):
            self.shards.append(OneShard(f"shardId-{count + i:012d}", first, last, (parent.shard_id,)))

    def stored(self) -> list[tuple[str, bytes]]:
        return [(record.key, record.data) for shard in self.shards for record in shard.records]

    def _reach(self) -> None:
        if self.away:
            raise UnavailableError("no answer")

    async def shards_of(self, stream: str) -> ReadableStream:
        self._reach()
        found = [ReadableShard(s.shard_id, s.first, s.last, s.parents, s.is_closed) for s in self.shards]
        return ReadableStream(tuple(found), self.retention_ms, None)

    async def read(self, stream: str, shard_id: str, start: ReadStart) -> AsyncGenerator[ShardRead, None]:
        shard = next(shard for shard in self.shards if shard.shard_id == shard_id)
        after = start.after if start.after is not None else -1
        self.open_readers += 1
        try:
            while True:
                self._reach()
                self.reads += 1
                sent_at = asyncio.get_running_loop().time()
                await asyncio.sleep(0.01)
                found = [r for r in shard.records if r.number > after and r.arrival_ms >= start.at_ms // 1000 * 1000]
                ended = shard.is_closed
                columns = ShardRecords(
                    [r.number for r in found], [r.arrival_ms for r in found], [r.key for r in found], [r.data for r in found]
                )
                after = found[-1].number if found else after
                received_at = asyncio.get_running_loop().time()
                yield ShardRead(columns, sent_at, received_at, int(now_ms() // 1000), True, ended)
                if ended:
                    return
                await asyncio.sleep(PACE_S)
        finally:
            self.open_readers -= 1


class Reader:
    """The port over them."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    async def shards(self, stream: str) -> ReadableStream:
        return await self._shards.shards_of(stream)

    def read(self, stream: str, shard_id: str, start: ReadStart) -> AsyncGenerator[ShardRead, None]:
        return self._shards.read(stream, shard_id, start)


class Group:
    """`GroupDirectory` and `RowReader`: topics with records, and what is committed."""

    def __init__(self) -> None:
        self.points: dict[Partition, CommitPoint] = {}
        self.rows: dict[Partition, list[tuple[bytes | None, bytes | None]]] = {}
        self.away = False
        self.when_asked: Callable[[], object] = lambda: None

    def open(self, partition: Partition, watermark_ms: float, offset: int = 0) -> None:
        """Its owner says so."""
        ownership = Ownership("other", 1, True, int(watermark_ms), int(watermark_ms) + 12_000)
        self.points[partition] = CommitPoint(offset, encode(CommitMetadata(ownership=ownership)))

    def _reach(self) -> None:
        if self.away:
            raise UnavailableError("no broker")

    async def committed(self, group: str, partitions: Collection[Partition]) -> Mapping[Partition, CommitPoint]:
        self._reach()
        return {partition: point for partition, point in self.points.items() if partition in partitions}

    async def partitions_of(self, wanted: Callable[[str], bool]) -> Sequence[Partition]:
        self._reach()
        self.when_asked()
        return [partition for partition in {**self.rows, **self.points} if wanted(partition.topic)]

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        self._reach()
        return {}

    async def end_offsets(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        self._reach()
        return {partition: len(self.rows.get(partition, ())) for partition in partitions}

    async def read(self, begins: Mapping[Partition, int], ends: Mapping[Partition, int]) -> AsyncIterator[SourceBatch]:
        self._reach()
        for partition, begin in begins.items():
            for first in range(begin, ends[partition], 2):
                offsets = list(range(first, min(first + 2, ends[partition])))
                keys, values = zip(*(self.rows[partition][offset] for offset in offsets), strict=True)
                stamps = [FIRST_MS + offset for offset in offsets]
                yield SourceBatch(partition, offsets[-1] + 1, offsets, stamps, list(keys), list(values))

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not asked here")
