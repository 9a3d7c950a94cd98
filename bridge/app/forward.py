"""The forward line of one process: Kafka partitions as they come and go, through their streams, to the commit."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from itertools import count
from math import inf

from bridge.app.anew import Anew
from bridge.app.assignment import halt_at_assignment, mapping_halt, open_line
from bridge.app.back_pressure import TICK_S, BackPressure
from bridge.app.commit import Commits
from bridge.app.consumption import Consumption
from bridge.app.control import RouteControl
from bridge.app.drain import drain
from bridge.app.fair_share import FairShare
from bridge.app.forward_setup import ForwardLimits, ForwardPorts
from bridge.app.halting import tell_halt
from bridge.app.hot_lanes import HotLanes
from bridge.app.kafka_health import KafkaHealth
from bridge.app.lag import line_samples, observe_lag
from bridge.app.ledger import LedgerLine
from bridge.app.owners import Owners
from bridge.app.parking import Parking
from bridge.app.partition_line import PartitionLine
from bridge.app.recovery_setup import Hooks, recovery
from bridge.app.recreated import NO_SUCH_TOPIC, TopicWatch
from bridge.app.routing import RoutedTopic, RouteTopic
from bridge.app.service_time import ServiceTime
from bridge.app.stream_line import StreamLine
from bridge.app.telemetry import Sample, Telemetry
from bridge.core.delivery.commit_metadata import CommitPoint
from bridge.core.delivery.fingerprint import fingerprint
from bridge.core.delivery.halts import Halt
from bridge.core.records import Partition, SourceBatch
from bridge.ports import Assigned, AssignedPartition, CommittedLate, Lost, PartitionFailed, Revoking, SourceEvent

TICKS_OF_LEASES = 10
"""Between two looks at the leases of all partitions, which may be thousands, as long as none of those seen last has ended."""
LEDGER_S = 0.4
"""So long the ledger is waited for in any case when partitions leave; the source gives a drain half a second more."""


class ForwardLine:
    """Consumes, offers, commits. Everything runs on one event loop; only the source has a thread."""

    def __init__(
        self,
        ports: ForwardPorts,
        open_stream: Callable[[str, float], StreamLine],
        route_topic: RouteTopic,
        telemetry: Telemetry,
        limits: ForwardLimits,
        time: ServiceTime,
    ) -> None:
        """`open_stream` takes the stream and our share of its shards, `route_topic` a topic and its number of slices."""
        self._ports = ports
        self._open_stream = open_stream
        self._route_topic = route_topic
        self._clock = ports.clock
        self._telemetry = telemetry
        self._limits = limits
        self._lines: dict[Partition, PartitionLine] = {}
        self._streams: dict[str, StreamLine] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._first_end_ms = inf  # of the leases that were seen last
        self._progress = asyncio.Event()
        self._joined = False
        self._kafka = KafkaHealth(telemetry)
        self._consumption = Consumption(
            ports.open_source, self._kafka, telemetry, self._handle, lambda: self._lose(list(self._lines))
        )
        self._pressure = BackPressure(
            limits.buffer_bytes_max, self._lines.values, self._streams, self._consumption.pause, self._consumption.resume
        )
        self._hot_lanes = HotLanes(self._lines.values, telemetry)
        self._ledger = LedgerLine(ports.ledger, limits.ledger_slots, telemetry)
        self._owners = Owners(ports.owner, self._ledger.floors, limits.lease)
        self._commits = Commits(lambda: self._consumption.source, self._lines, self._ledger, limits.commit_interval_s, telemetry)
        self._commits.on_open, self._commits.on_trouble = self._may_offer, self._kafka.trouble
        self._commits.watermark_ms = lambda stream: self._streams[stream].watermark_ms()
        self._commits.service_now = time.now
        self.read_back, self._take_over, self._refresh = recovery(
            ports,
            limits.recovery,
            self._ledger,
            self._lines,
            self._streams,
            (time, route_topic, telemetry),
            Hooks(self._may_offer, self._commits.wake, self._halt),
        )
        self._control = RouteControl(ports.control, self._lines, ports.clock, telemetry, ports.owner)
        self._control.on_carry, self._control.on_hold = self._may_offer, self._consumption.pause
        self._anew = Anew(self._consumption, self._lines, self._streams, self._commits, self._progress, limits.drain_timeout_s)
        self._anew.task, self._anew.on_end, self._control.on_anew = self._task, self._remove, self._anew.begin
        self._parking = Parking(ports.dead_letters, self._ledger, telemetry, self._halt, self._progressed)
        self._fair_share = FairShare(ports, limits.recovery.group, route_topic, self._lines, self._streams)
        self._topic_watch = TopicWatch(ports.offsets, self._lines, self._halt)
        telemetry.gauges(self._samples)

    # -- life

    async def run(self) -> None:
        """Works until cancelled, or until `stop` has ended."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            parts = (self._commits, self._fair_share, self._parking, self._topic_watch, self._take_over, self.read_back)
            for part in (*parts, self._refresh, self._control):
                self._task(part.run())
            self._task(self._ledger.run(self._task))
            self._task(self._tick_forever())
            self._task(observe_lag(self._ports.offsets, self._lines, self._clock, self._kafka.answers, self._kafka.trouble))
            await self._consumption.run()
            for task in self._running:
                task.cancel()

    async def stop(self) -> bool:
        """Drains, commits, leaves the group. Returns whether everything that was attempted is settled and committed."""
        self._consumption.stopping.set()
        lines = list(self._lines.values())
        drained = await drain(lines, self._streams, self._progress, self._limits.drain_timeout_s)
        committed = await self._commits.at_last()
        if not (drained and committed):
            self._telemetry.log("warning", "drain_incomplete", unresolved=sum(line.unsettled for line in lines))
        await self._consumption.close()
        for port in (self._ports.dead_letters, self._ports.ledger):
            await port.close()
        return drained and committed

    # -- what the source says

    def _handle(self, event: SourceEvent) -> None:
        if isinstance(event, SourceBatch):
            self._read(event)
        elif isinstance(event, Assigned):
            self._assign(event.partitions)
        elif isinstance(event, Revoking):
            self._task(self._revoke(event))
        elif isinstance(event, Lost):
            self._lose(event.partitions)
        elif isinstance(event, PartitionFailed):
            if line := self._lines.get(event.partition):
                self._halt(line, Halt(event.reason, line.read_to, event.detail))
                self._topic_watch.suspect()
        elif isinstance(event, CommittedLate):
            self._commits.late(event.partitions)
        else:
            self._kafka.trouble(event)
            if event.code in NO_SUCH_TOPIC:
                self._topic_watch.suspect()

    def _read(self, batch: SourceBatch) -> None:
        if (line := self._lines.get(batch.partition)) is None:
            return
        line.end_offset = max(line.end_offset or 0, batch.next_offset)
        if not line.takes_records or self._consumption.stopping.is_set():
            return
        before = line.buffered_bytes
        self._telemetry.count("bridge_records_read_total", len(batch), line.route)
        self._streams[line.stream].offer(line, batch)
        self._pressure.arrived(line, line.buffered_bytes - before)

    def _assign(self, partitions: Sequence[AssignedPartition]) -> None:
        self._joined = True
        self._kafka.answers()
        # A pause of the assignment before may have reached the consumer after it had changed hands already.
        self._consumption.resume([assigned.partition for assigned in partitions])
        for assigned in partitions:
            if (routed := self._route_topic(assigned.partition.topic, assigned.slices)) is None:
                self._consumption.pause([assigned.partition])
                continue
            line = open_line(assigned, routed, self._owners.next(fingerprint(routed.stream, routed.mapping)))
            self._lines[assigned.partition] = line
            self._control.assigned(line)
            self._stream(routed).attach(line, routed.mapping)
            if halt := halt_at_assignment(assigned, line) or mapping_halt(line):
                self._halt(line, halt)
        self._fair_share.assigned()
        self._take_over.wake()
        if partitions:
            self._telemetry.log("info", "partitions_assigned", partitions=[str(a.partition) for a in partitions])

    def _may_offer(self, line: PartitionLine) -> None:
        self._streams[line.stream].offer_held(line)

    def _stream(self, routed: RoutedTopic) -> StreamLine:
        if (stream := self._streams.get(routed.stream)) is None:
            stream = self._streams[routed.stream] = self._open_stream(routed.stream, routed.shard_share)
            stream.parking = self._parking
            stream.write_to(self._ledger)
            stream.ask(self.read_back, self._limits.recovery.settle_ms)
            stream.on_opening = self._commits.wake
            stream.on_halt = self._halt
            stream.on_progress = self._progressed
            self._task(stream.run())
        return stream

    async def _revoke(self, event: Revoking) -> None:
        lines = [line for partition in event.partitions if (line := self._lines.get(partition))]
        ends_at = self._clock.monotonic() + self._limits.drain_timeout_s
        drained = await drain(lines, self._streams, self._progress, self._limits.drain_timeout_s)
        ours = [line for line in lines if self._lines.get(line.partition) is line and line.unreadable is None]
        points = {line.partition: point for line in ours if (point := self._last_point(line)) != line.committed}
        if not await self._ledger.flushed(max(LEDGER_S, ends_at - self._clock.monotonic())):
            drained, points = False, {}
        for line in lines:
            self._remove(line)
        self._pressure.recount()
        self._telemetry.log("info", "partitions_revoked", partitions=[str(p) for p in event.partitions], drained=drained)
        event.complete(points)

    def _last_point(self, line: PartitionLine) -> CommitPoint:
        """What is committed of a partition that leaves."""
        return line.commit_point(line.last_renewal(self._streams[line.stream].watermark_ms()))

    def _lose(self, partitions: Collection[Partition]) -> None:
        for partition in partitions:
            if line := self._lines.get(partition):
                self._remove(line)
        self._pressure.recount()
        if partitions:
            self._telemetry.log("warning", "partitions_lost", partitions=[str(p) for p in partitions])

    def _remove(self, line: PartitionLine) -> None:
        if self._lines.get(line.partition) is line:
            del self._lines[line.partition]
            self._pressure.gone(line)
            self._take_over.forget(line)
            self._ledger.floors.forget(line.partition)
            self._streams[line.stream].detach(line)

    def _halt(self, line: PartitionLine, halt: Halt) -> None:
        """The partition stands still at one record; what stands before it goes on, and so do its neighbours.

        Where the offsets or the stream are not what they were, nothing of it goes on: what is under way is not tried again.
        """
        if not line.stand_still(halt):
            return
        self._consumption.pause([line.partition])
        if halt.stays:
            self._streams[line.stream].abandon(line)
            self._pressure.recount()
        tell_halt(self._telemetry, line, halt)

    # -- flow

    def _progressed(self) -> None:
        self._pressure.left(self._clock.monotonic())
        self._progress.set()

    async def _tick_forever(self) -> None:
        for number in count():
            await asyncio.sleep(TICK_S)
            now = self._clock.monotonic()
            self._pressure.tick(now)
            self._hot_lanes.tick(now)
            if number % TICKS_OF_LEASES == 0 or self._commits.service_now().latest_ms > self._first_end_ms:
                self._give_up_lapsed()

    def _give_up_lapsed(self) -> None:
        """A lease that was not renewed in time never is: somebody else may own the partition by now. What this process has is
        dropped, and it joins the group anew."""
        now = self._commits.service_now()
        leases = {line: line.lease for line in self._lines.values() if line.lease is not None}
        self._first_end_ms = min((lease.end_ms or inf for lease in leases.values()), default=inf)
        if lapsed := [line for line, lease in leases.items() if lease.has_lapsed(now)]:
            self._telemetry.log("error", "lease_lapsed", partitions=[str(line.partition) for line in lapsed])
            self._lose(list(self._lines))
            self._task(self._consumption.join_anew())

    # -- what others ask

    def problems(self) -> list[str]:
        """Why the line as a whole does not move, in sentences; empty when it does."""
        waiting = [] if self._joined else ["kafka: not a member of the consumer group yet"]
        kafka = [f"kafka: {self._kafka.problem}"] if self._kafka.problem else []
        streams = [f"stream {stream.stream}: {stream.trouble}" for stream in self._streams.values() if stream.trouble]
        own = [*(self._ledger.problems() or self._take_over.problems()), *self._control.problems()]
        return [*kafka, *waiting, *streams, *self._parking.problems(), *own, *self.read_back.problems()]

    def halts(self) -> Mapping[Partition, Halt]:
        """Partitions that stand still."""
        return {line.partition: line.halt for line in self._lines.values() if line.halt is not None}

    def _samples(self) -> Iterator[Sample]:
        yield from line_samples(self._lines.values(), self._clock.wall_ms())
        for part in (self._hot_lanes, self._ledger, self._control):
            yield from part.samples()
        yield "bridge_attempts_in_doubt", (), self.read_back.open_rows
        for stream in self._streams.values():
            yield from stream.samples()

    def _task(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        if self._tasks is None:
            raise RuntimeError("the forward line is not running")
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task
