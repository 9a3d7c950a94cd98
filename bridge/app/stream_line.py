"""One stream: finds its shards, keeps its scheduler, sends its requests."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from bridge.app.ledger import LedgerLine
from bridge.app.parking import Parking
from bridge.app.partition_line import PartitionLine, Phase
from bridge.app.put_report import PutReport
from bridge.app.recreated import stream_halt
from bridge.app.telemetry import Sample, Telemetry
from bridge.core.delivery.ack_tracker import acknowledge
from bridge.core.delivery.fair_parts import Place, fair_parts
from bridge.core.delivery.halts import Halt
from bridge.core.delivery.key_strategies import KeyCache, MappingSpec
from bridge.core.delivery.lanes import PartitionLanes
from bridge.core.delivery.mapping import Mapper
from bridge.core.delivery.ready_shards import NEVER
from bridge.core.delivery.requests import Request, RequestLimits, Resolution
from bridge.core.delivery.scheduler import Scheduler
from bridge.core.delivery.shard_map import ShardMap
from bridge.core.delivery.standstill import counted_rows
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.records import SourceBatch
from bridge.ports import Clock, ShardDirectory, Sink, StreamDescription

REFRESH_S = 60.0
REFRESH_PAUSE_S = 1.0
RETRY_FIRST_S = 1.0
RETRY_MAX_S = 30.0
NO_SUCH_STREAM = "ResourceNotFoundException"
"""After this answer nothing is sent before the stream was described again: it may be another one of the same name."""
PIECES = 8
"""What is held is offered in pieces of at least this part of what may be open: many small batches cost more than they help."""


class StreamLine:
    """All routes that feed one stream share its scheduler, and so its shards' budgets."""

    def __init__(
        self,
        stream: str,
        ports: tuple[Sink, ShardDirectory, Clock],
        telemetry: Telemetry,
        limits: RequestLimits,
        shard_share: float,
        in_flight: asyncio.Semaphore,
        keys: KeyCache,
    ) -> None:
        """`in_flight` bounds the requests of all streams together; `keys` is shared by all streams too."""
        self.stream = stream
        self._sink, self._directory, self._clock = ports
        self._telemetry = telemetry
        self._limits = limits
        self._share = shard_share
        self._in_flight = in_flight
        self._keys = keys
        self._scheduler: Scheduler | None = None
        self._record_bytes_max = 0
        self._created_ms: int | None = None
        self._present = asyncio.Event()  # not set from the answer that there is no such stream to the next description
        self._lines: dict[PartitionLanes, tuple[PartitionLine, Mapper]] = {}
        self._feeders: Sequence[Place] = ()
        self._wake = asyncio.Event()
        self._stale = asyncio.Event()
        self._report = PutReport(stream, telemetry)
        self._directory_trouble: str | None = "its shards are not known yet"
        self.parking: Parking | None = None
        self.ledger: LedgerLine | None = None
        self.on_halt: Callable[[PartitionLine, Halt], None] = lambda line, halt: None
        self.on_progress: Callable[[], None] = lambda: None
        self.on_opening: Callable[[], None] = lambda: None

    @property
    def trouble(self) -> str | None:
        """Why nothing can be written now, in a sentence; None while the stream works, or its partitions wait for the operator."""
        if all(line.halt is not None and line.halt.stays for line, _ in self._lines.values()):
            return None
        return (self._directory_trouble if self._scheduler is None else None) or self._report.trouble

    # -- partitions

    def attach(self, line: PartitionLine, spec: MappingSpec) -> None:
        """A partition that feeds this stream from now on."""
        self._lines[line.lanes] = line, self._mapper(line, spec)
        self._share_out()
        self._compare(line)

    def detach(self, line: PartitionLine) -> None:
        """The partition is not ours any more: nothing of it is sent again."""
        self.abandon(line)
        self._lines.pop(line.lanes, None)
        self._report.forget(line.lanes)
        self._share_out()

    def abandon(self, line: PartitionLine) -> None:
        """No new attempt at anything of this partition."""
        self._truncate(line, 0)

    def set_feeders(self, places: Sequence[Place]) -> None:
        """Where the records of all partitions go that feed this stream, those of other replicas too."""
        self._feeders = places
        self._share_out()

    def _share_out(self) -> None:
        if self._scheduler is not None:
            self._scheduler.set_shares(self._shares(self._scheduler.shard_map))

    def _shares(self, shard_map: ShardMap) -> list[float]:
        own = [mapper.spec.place_of(line.partition.number) for line, mapper in self._lines.values()]
        # Until all partitions are known: those of the topics that we have something of.
        of_own_topics = {line.partition.topic: line.slices for line, _ in self._lines.values()}
        every = self._feeders or [None] * sum(of_own_topics.values())
        return [self._share * part for part in fair_parts(shard_map, own, every)]

    def finish(self, line: PartitionLine) -> None:
        """Sends only what has to be done before the partition may leave: up to the last record ever attempted."""
        under_way_to = self._scheduler.under_way_to(line.lanes) if self._scheduler else 0
        parked_to = self.parking.under_way_to(line) if self.parking else 0
        self._truncate(line, max(under_way_to, parked_to, line.tracker.first_unattempted()))

    def offer(self, line: PartitionLine, batch: SourceBatch) -> None:
        """Records of an attached partition, in offset order."""
        if self._scheduler is None or line.phase is not Phase.OPEN or line.held or len(batch) > line.room:
            line.hold(batch)
            self.offer_held(line)
        else:
            self._offer(self._scheduler, line, batch)

    def offer_held(self, line: PartitionLine) -> None:
        """Offers of what is held as much as may be open."""
        if line.wants_to_open():
            self.on_opening()
        while line.held and self._scheduler is not None and line.phase is Phase.OPEN:
            room = line.room
            piece = line.take_held(room) if room >= min(len(line.held[0]), line.ahead_rows // PIECES) else None
            if piece is None:
                return
            self._offer(self._scheduler, line, piece)

    def counted_rows(self, lines: Collection[PartitionLine]) -> Mapping[PartitionLanes, int]:
        """How many unresolved rows of these partitions count, where they stand still."""
        rows, scheduler = {line.lanes: line.ahead_rows for line in lines}, self._ready_scheduler()
        return counted_rows(scheduler.heads(), rows, len(scheduler.shard_map))

    def _offer(self, scheduler: Scheduler, line: PartitionLine, batch: SourceBatch) -> None:
        _, mapper = self._lines[line.lanes]
        unseen = line.unseen(batch)
        mapped, rejection = mapper.map(unseen, line.lanes)
        line.tracker.admit(mapped)
        if mapped.diverted:
            assert self.parking is not None, "a record is to be parked, and nothing can park it"
            self.parking.divert(line, mapped, unseen)
        if mapped.hashed_keys:
            self._telemetry.count("bridge_keys_hashed_total", mapped.hashed_keys, line.route)
        line.read_rows += len(mapped)
        if len(mapped):
            scheduler.offer(mapped, self._clock.monotonic())
            self._wake.set()
        if rejection is not None:
            self.on_halt(line, Halt(rejection.reason, rejection.offset, rejection.detail, rejection.timestamp_ms))

    def _truncate(self, line: PartitionLine, offset: int) -> None:
        line.drop_held()
        if self._scheduler is not None:
            self._scheduler.truncate(line.lanes, offset)
        if self.parking is not None:
            self.parking.truncate(line, offset)

    def _mapper(self, line: PartitionLine, spec: MappingSpec) -> Mapper:
        """A record has to fit into the stream, and into a request of the configured size."""
        record_bytes_max = min(self._record_bytes_max, self._limits.bytes_max)
        line.lanes.record_bytes_max = record_bytes_max
        return Mapper(replace(spec, record_bytes_max=record_bytes_max), self._keys)

    # -- the stream's own work

    async def run(self) -> None:
        """Works until cancelled."""
        await self._become_ready()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._refresh_forever())
            tasks.create_task(self._send_forever(tasks))

    async def _become_ready(self) -> None:
        pause = RETRY_FIRST_S
        while True:
            try:
                description = await self._directory.describe(self.stream)
                break
            except (UnavailableError, RefusedError) as error:
                if self._directory_trouble != str(error):
                    self._telemetry.log("error", "stream_trouble", stream=self.stream, problem=str(error))
                self._directory_trouble = str(error)
            await asyncio.sleep(pause)
            pause = min(RETRY_MAX_S, 2 * pause)
        self._adopt(description)
        self._telemetry.log("info", "stream_ready", stream=self.stream, shards=len(description.shard_map))
        for line, _ in list(self._lines.values()):
            self.offer_held(line)
        self.on_progress()

    def _adopt(self, description: StreamDescription) -> None:
        self._directory_trouble = None
        if self._scheduler is None:
            self._scheduler = Scheduler(self._limits, description.shard_map)
            self._share_out()
        elif description.shard_map != self._scheduler.shard_map:
            settled = self._scheduler.replace_shard_map(description.shard_map, self._shares(description.shard_map))
            self._telemetry.log("info", "shard_map_replaced", stream=self.stream, shards=len(description.shard_map))
            self._stored(settled)
        if description.record_bytes_max != self._record_bytes_max:
            self._record_bytes_max = description.record_bytes_max
            self._lines = {lanes: (line, self._mapper(line, mapper.spec)) for lanes, (line, mapper) in self._lines.items()}
        self._created_ms = description.created_ms
        for line, _ in list(self._lines.values()):
            self._compare(line)
        self._present.set()
        self._wake.set()

    def _compare(self, line: PartitionLine) -> None:
        if halt := stream_halt(line, self._created_ms):
            self.on_halt(line, halt)

    async def _refresh_forever(self) -> None:
        """Asks for the shards again: now and then, and when a record landed where it was not predicted."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_S):
                    await self._stale.wait()
            self._stale.clear()
            try:
                self._adopt(await self._directory.describe(self.stream))
            except (UnavailableError, RefusedError) as error:
                self._telemetry.log("warning", "stream_trouble", stream=self.stream, problem=str(error))
                if not self._present.is_set():
                    self._stale.set()
            await asyncio.sleep(REFRESH_PAUSE_S)

    async def _send_forever(self, tasks: asyncio.TaskGroup) -> None:
        scheduler = self._ready_scheduler()
        while True:
            self._wake.clear()
            await self._present.wait()
            if self.ledger is not None:
                await self.ledger.room()
            await self._in_flight.acquire()
            request = scheduler.next_request(self._clock.monotonic())
            if isinstance(request, Request):
                tasks.create_task(self._send(request))
                continue
            self._in_flight.release()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if request == NEVER else max(0.0005, request - self._clock.monotonic())):
                    await self._wake.wait()

    async def _send(self, request: Request) -> None:
        started = self._clock.monotonic()
        try:
            answer = await self._sink.put(self.stream, request)
        finally:
            self._in_flight.release()
        now = self._clock.monotonic()
        resolution = self._ready_scheduler().resolve(request, answer, now)
        self._report.answered(request, answer, resolution, now - started)
        self._stored(resolution)
        self._halt_rejected(resolution, answer.message)
        if answer.code == NO_SUCH_STREAM:
            self._present.clear()
        if resolution.stale_shard_map or answer.code == NO_SUCH_STREAM:
            self._stale.set()
        self._wake.set()

    def _stored(self, resolution: Resolution) -> None:
        if self.ledger is not None:
            self.ledger.stored(self.stream, resolution)
        acknowledge(resolution.stored)
        self._report.resolved(resolution, self._lines, self._clock.wall_ms())
        self.on_progress()

    def _halt_rejected(self, resolution: Resolution, message: str) -> None:
        for (batch, i, *_), code in resolution.rejected:
            line, _ = self._lines.get(batch.lanes_of, (None, None))
            if line is not None:
                detail = f"Kinesis refused the record: {code} {message}"
                self.on_halt(line, Halt("rejected", batch.offsets[i], detail, batch.timestamps_ms[i]))

    def _ready_scheduler(self) -> Scheduler:
        if self._scheduler is None:
            raise RuntimeError(f"{self.stream}: sending before its shards are known")
        return self._scheduler

    def samples(self) -> list[Sample]:
        """Gauges of this stream."""
        if self._scheduler is None:
            return []
        used = self._scheduler.used_ratios(self._clock.monotonic())
        return [("bridge_shard_budget_used_ratio", (self.stream, shard_id), ratio) for shard_id, ratio in used.items()]
