"""One stream: finds its shards, keeps its scheduler, sends its requests."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from math import inf

from bridge.app.ledger import LedgerLine
from bridge.app.lost_answers import AsksBack, Landed, LostAnswers
from bridge.app.parking import Parking
from bridge.app.partition_line import PartitionLine, Phase
from bridge.app.put_report import PutReport
from bridge.app.recreated import stream_halt
from bridge.app.sending import Answered, Sending, StreamPorts
from bridge.app.shares import Shares
from bridge.app.stream_description import DescriptionWatch
from bridge.app.telemetry import Sample, Telemetry
from bridge.core.delivery.ack_tracker import acknowledge
from bridge.core.delivery.halts import Halt
from bridge.core.delivery.key_strategies import KeyCache, MappingSpec
from bridge.core.delivery.lanes import PartitionLanes, Row
from bridge.core.delivery.mapping import Mapper
from bridge.core.delivery.requests import RequestLimits, Resolution
from bridge.core.delivery.scheduler import Scheduler
from bridge.core.delivery.standstill import counted_rows
from bridge.core.delivery.stream_description import StreamDescription
from bridge.core.errors import UnavailableError
from bridge.core.records import SourceBatch

NO_SUCH_STREAM = "ResourceNotFoundException"
"""After this answer nothing is sent before the stream was described again: it may be another one of the same name."""
PIECES = 8
"""What is held is offered in pieces of at least this part of what may be open: many small batches cost more than they help."""


class StreamLine:
    """All routes that feed one stream share its scheduler, and so its shards' budgets."""

    def __init__(
        self,
        stream: str,
        ports: StreamPorts,
        telemetry: Telemetry,
        limits: RequestLimits,
        shard_share: float,
        in_flight: asyncio.Semaphore,
        keys: KeyCache,
    ) -> None:
        """`in_flight` bounds the requests of all streams together; `keys` is shared by all streams too."""
        self.stream = stream
        self._clock = ports.clock
        self._sending = Sending(stream, ports, in_flight, lambda: [line for line, _ in self._lines.values()], self._answered)
        self._telemetry = telemetry
        self._limits = limits
        self._keys = keys
        self._scheduler: Scheduler | None = None
        self._record_bytes_max = 0
        self._created_ms: int | None = None
        self._lines: dict[PartitionLanes, tuple[PartitionLine, Mapper]] = {}
        self.shares = Shares(shard_share, ports.clock, self._lines_of)
        self._report = PutReport(stream, telemetry)
        self._watch = DescriptionWatch(stream, (ports.directory, ports.clock, ports.time), telemetry, self._adopt)
        self.parking: Parking | None = None
        self._ledger: LedgerLine | None = None
        self._lost_answers: LostAnswers | None = None
        self.on_halt: Callable[[PartitionLine, Halt], None] = lambda line, halt: None
        self.on_progress: Callable[[], None] = lambda: None
        self.on_opening: Callable[[], None] = lambda: None

    @property
    def trouble(self) -> str | None:
        """Why nothing can be written now, in a sentence; None while the stream works, or its partitions wait for the operator."""
        if all(line.halt is not None and line.halt.stays for line, _ in self._lines.values()):
            return None
        return (self._watch.trouble if self._scheduler is None else self._sending.trouble) or self._report.trouble

    def write_to(self, ledger: LedgerLine) -> None:
        """What is stored is said there; while that has no room nothing is sent."""
        self._ledger = self._sending.ledger = ledger

    def ask(self, asks: AsksBack, settle_ms: float) -> None:
        """What becomes of attempts without an answer is asked there; without this they are tried again at once."""
        self._lost_answers = LostAnswers(self.stream, asks, settle_ms, self._telemetry, self.settled)

    # -- partitions

    def attach(self, line: PartitionLine, spec: MappingSpec) -> None:
        """A partition that feeds this stream from now on."""
        self._lines[line.lanes] = line, self._mapper(line, spec)
        self.shares.changed()
        self._compare(line)

    async def mapper_of(self, line: PartitionLine) -> Mapper:
        """How the records of an attached partition are mapped, once the stream was described."""
        await self._sending.present.wait()
        if line.lanes not in self._lines:
            raise UnavailableError(f"{line.partition} has left")
        return self._lines[line.lanes][1]

    def detach(self, line: PartitionLine) -> None:
        """The partition is not ours any more: nothing of it is sent again."""
        self.abandon(line)
        if self._scheduler is not None:
            self._scheduler.detach(line.lanes)
        if self._lost_answers is not None:
            self._lost_answers.forget(line)
        self._lines.pop(line.lanes, None)
        self._report.forget(line.lanes)
        self.shares.changed()

    def abandon(self, line: PartitionLine) -> None:
        """No new attempt at anything of this partition."""
        self._truncate(line, 0)

    def _lines_of(self) -> Collection[tuple[PartitionLine, Mapper]]:
        return self._lines.values()

    def finish(self, line: PartitionLine) -> None:
        """Sends only what has to be done before the partition may leave: up to the last record ever attempted."""
        under_way_to = self._scheduler.under_way_to(line.lanes) if self._scheduler else 0
        parked_to = self.parking.under_way_to(line) if self.parking else 0
        self._truncate(line, max(under_way_to, parked_to, line.tracker.first_unattempted()))

    def offer(self, line: PartitionLine, batch: SourceBatch) -> None:
        """Records of an attached partition, in offset order."""
        waits = self._scheduler is None or line.phase is not Phase.OPEN or line.held
        if self._scheduler is None or waits or len(batch) > line.room or batch.next_offset > line.attempts_to:
            line.hold(batch)
            self.offer_held(line)
        else:
            self._offer(self._scheduler, line, batch)

    def offer_held(self, line: PartitionLine) -> None:
        """Offers of what is held as much as may be open."""
        if line.wants_to_open():
            self.on_opening()
        while line.held and self._scheduler is not None and line.phase is Phase.OPEN:
            reserved = line.reserved_rows
            if reserved < len(line.held[0]):
                self.on_opening()
            room = min(line.room, reserved)
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
            self._sending.wake.set()
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
        description = await self._watch.first()
        self._telemetry.log("info", "stream_ready", stream=self.stream, shards=len(description.shard_map))
        for line, _ in list(self._lines.values()):
            self.offer_held(line)
        self.on_opening()  # what its partitions may say depends on the time that the service tells
        self.on_progress()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch.run())
            tasks.create_task(self._sending.run(self._ready_scheduler()))

    def _adopt(self, description: StreamDescription) -> None:
        if self._scheduler is None:
            self._scheduler = self.shares.scheduler = Scheduler(self._limits, description.shard_map)
            self.shares.changed()
        elif description.shard_map != self._scheduler.shard_map:
            settled = self._scheduler.replace_shard_map(description.shard_map, self.shares.of(description.shard_map))
            self._telemetry.log("info", "shard_map_replaced", stream=self.stream, shards=len(description.shard_map))
            self._stored(settled)
            if settled.stale_shard_map:
                self._watch.doubt(missing=False)
        if description.record_bytes_max != self._record_bytes_max:
            self._record_bytes_max = description.record_bytes_max
            self._lines = {lanes: (line, self._mapper(line, mapper.spec)) for lanes, (line, mapper) in self._lines.items()}
        self._created_ms = description.created_ms
        for line, _ in list(self._lines.values()):
            self._compare(line)
        self._sending.present.set()
        self._sending.wake.set()

    def _compare(self, line: PartitionLine) -> None:
        if halt := stream_halt(line, self._created_ms):
            self.on_halt(line, halt)

    def _answered(self, answered: Answered) -> None:
        request, answer, window, seconds = answered
        now = self._clock.monotonic()
        resolution = self._ready_scheduler().resolve(request, answer, now)
        self._report.answered(request, answer, resolution, seconds)
        self._stored(resolution)
        self._halt_rejected(resolution, answer.message)
        missing = answer.code == NO_SUCH_STREAM
        if missing:
            self._sending.present.clear()
        if resolution.stale_shard_map or missing:
            self._watch.doubt(missing=missing)
        if self._lost_answers is None:
            self._ready_scheduler().settled([], resolution.unknown, now)
        elif resolution.unknown:
            self._lost_answers.ask(resolution.unknown, window, self._lines)

    def settled(self, landed: Sequence[Landed], again: Sequence[Row]) -> None:
        """What became of attempts that had no answer; see `LostAnswers`. The ledger has it."""
        scheduler = self._ready_scheduler()
        in_doubt = scheduler.in_doubt()
        landed = [entry for entry in landed if entry[0] in in_doubt]
        resolution = scheduler.settled(landed, [row for row in again if row in in_doubt], self._clock.monotonic())
        self._report.found([row for row, *_ in landed], again)
        self._acknowledged(resolution)
        if resolution.stale_shard_map:
            self._watch.doubt(missing=False)
        self._sending.wake.set()

    def _stored(self, resolution: Resolution) -> None:
        if self._ledger is not None:
            self._ledger.stored(self.stream, resolution)
        self._acknowledged(resolution)

    def _acknowledged(self, resolution: Resolution) -> None:
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

    def watermark_ms(self) -> int:
        """Every attempt that began before, by Kinesis's clock, has its outcome, or a doubt in the ledger."""
        held_back_ms = self._lost_answers.watermark_ms() if self._lost_answers is not None else inf
        return int(max(0, min(held_back_ms, self._sending.attempts.watermark_ms())))

    def samples(self) -> list[Sample]:
        """Gauges of this stream."""
        if self._scheduler is None:
            return []
        used = self._scheduler.used_ratios(self._clock.monotonic())
        return [("bridge_shard_budget_used_ratio", (self.stream, shard_id), ratio) for shard_id, ratio in used.items()]
