"""The shards of one stream, read back from a moment on: parents to their end before their children begin."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from math import inf

from bridge.app.service_time import ServiceTime
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.proof.ledger_entries import StreamShard
from bridge.core.proof.matching import Evidence, Wanted
from bridge.core.proof.shard_reads import ReadableShard, ReadStart, ShardRead
from bridge.ports import ShardReader

SHARDS_AT_ONCE_MAX = 32
"""Of one stream: an answer may have 10 MiB."""


@dataclass(slots=True, eq=False)
class _Shard:
    shard: ReadableShard
    evidence: Evidence
    start: ReadStart
    reads: AsyncGenerator[ShardRead, None] | None = None
    tip_ms: float = -inf
    """The earliest moment at which the last read that reached the tip can have begun."""
    has_ended: bool = False


@dataclass(slots=True, eq=False)
class ShardPass:
    """What was read stays; what could not be read is read on at the next call. `since_ms` is by Kinesis's clock."""

    reader: ShardReader
    time: ServiceTime
    stream: str
    wanted: Wanted
    since_ms: float
    retention_ms: int | None = None
    """None before the shards are known."""
    _shards: dict[str, _Shard] = field(default_factory=dict)
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SHARDS_AT_ONCE_MAX))
    _is_stale: bool = True

    @property
    def evidence(self) -> list[Evidence]:
        """Of each shard, parents before their children."""
        return [shard.evidence for shard in self._shards.values()]

    @property
    def read_to_ms(self) -> float:
        """Everything that arrived before is read, of all shards; what begins later than this began behind it."""
        return min((shard.tip_ms for shard in self._shards.values() if not shard.has_ended), default=-inf)

    async def to_tip(self) -> None:
        """Reads every shard until it gives nothing more for now. Raises UnavailableError, RefusedError."""
        while True:
            if self._is_stale:
                await self.look()
            ready = [shard for shard in self._shards.values() if not shard.has_ended and self._may_begin(shard)]
            async with asyncio.TaskGroup() as tasks:
                reading = [tasks.create_task(self._read(shard)) for shard in ready]
            for trouble in filter(None, (task.result() for task in reading)):
                self._is_stale |= isinstance(trouble, RefusedError)  # one that is not there any more
                raise trouble
            if not any(shard.has_ended for shard in ready):
                return
            self._is_stale = True  # a shard that has ended has children, which may not be known yet

    async def look(self) -> None:
        """Asks for the shards. Raises UnavailableError, RefusedError."""
        listed = await self.reader.shards(self.stream)
        self.retention_ms, before = listed.retention_ms, self._shards
        names = {shard.shard_id for shard in listed.shards}
        for shard_id, gone in before.items():
            gone.has_ended |= shard_id not in names
        kept = {shard_id: shard for shard_id, shard in before.items() if shard_id not in names}
        self._shards = kept | {shard.shard_id: before.get(shard.shard_id) or self._new(shard) for shard in listed.shards}
        self._is_stale = False

    async def close(self) -> None:
        """Ends all reading."""
        for shard in self._shards.values():
            reads, shard.reads = shard.reads, None
            if reads is not None:
                await reads.aclose()

    def _new(self, shard: ReadableShard) -> _Shard:
        evidence = Evidence(StreamShard(self.stream, shard.shard_id), (shard.starting_hash_key, shard.ending_hash_key))
        return _Shard(shard, evidence, ReadStart(at_ms=max(0, int(self.since_ms))))

    def _may_begin(self, shard: _Shard) -> bool:
        return all(parent not in self._shards or self._shards[parent].has_ended for parent in shard.shard.parents)

    async def _read(self, shard: _Shard) -> UnavailableError | RefusedError | None:
        """Returns what kept it from reading, so that its neighbours go on."""
        async with self._room:
            if shard.reads is None:
                shard.reads = self.reader.read(self.stream, shard.shard.shard_id, shard.start)
            reads = shard.reads
            try:
                async for read in reads:
                    self._take(shard, read)
                    if shard.has_ended or read.is_at_tip:
                        return None
            except (UnavailableError, RefusedError) as error:
                shard.reads = None
                return error
            except BaseException:
                shard.reads = None
                await reads.aclose()
                raise
            raise RuntimeError(f"{self.stream}: reading {shard.shard.shard_id} ended before the shard did")

    def _take(self, shard: _Shard, read: ShardRead) -> None:
        self.time.saw(read.date_s, read.sent_at, read.received_at)
        shard.evidence.take(read.records, self.wanted)
        if len(read.records):
            shard.start = ReadStart(after=read.records.sequence_numbers[-1])
        shard.has_ended = read.has_ended
        if read.is_at_tip:
            shard.tip_ms = self.time.at(read.sent_at).earliest_ms
