"""Aggregates against a server that refuses and loses at will, and whose shards change before the scheduler hears of it.

What counts is what a KCL application is given. Laws: every record arrives; first occurrences of a key stand in source order;
nothing arrives twice unless KCL dropped the aggregate, or an answer was lost and the scheduler was told that it was not stored;
nothing in doubt is sent; what may be committed never passes a record that did not arrive.
"""

from collections import defaultdict
from collections.abc import Mapping

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge.core.delivery.ack_tracker import AckTracker, acknowledge
from bridge.core.delivery.aggregate_limits import AggregateLimits
from bridge.core.delivery.aggregates import is_aggregate
from bridge.core.delivery.deaggregation import delivered_by_kcl
from bridge.core.delivery.key_strategies import KeyCache, MappingSpec
from bridge.core.delivery.lanes import ROW_DATA, ROW_HASH_KEY, ROW_PARTITION_KEY, ROW_SIZE, PartitionLanes, Row
from bridge.core.delivery.mapping import Mapper
from bridge.core.delivery.ready_shards import NEVER
from bridge.core.delivery.requests import Request, RequestLimits, Resolution
from bridge.core.delivery.scheduler import Scheduler
from bridge.core.delivery.shard_map import ShardMap
from bridge.core.records import Outcome, Partition, PutAnswer
from tests.unit.core.delivery.columns import even_shard_map, source_batch
from tests.unit.core.delivery.doubts import Doubts, Place, check_counts, records_of

LIMITS = RequestLimits(records_max=4, bytes_max=26_000)
AGGREGATES = AggregateLimits(bytes_max=1500, records_max=6, bridge="mover")
NUMBERS = (0, 1, 2)
RAW = 2
"""One partition of the stream sends its records by themselves."""

ENTRY = st.sampled_from([Outcome.STORED, Outcome.STORED, Outcome.STORED, Outcome.THROTTLED, Outcome.TRANSIENT, Outcome.UNKNOWN])
NOTHING: Mapping[Row, str] = {}


class AggregatesAndServer(RuleBasedStateMachine):
    """Few keys and small aggregates over shards that split and merge."""

    @initialize(carry_origin=st.booleans(), strategy=st.sampled_from(["key", "partition"]))
    def begin(self, carry_origin: bool, strategy: str) -> None:
        self.now, self.generation = 1000.0, 0
        self.server_map = even_shard_map(2)
        self.scheduler = Scheduler(LIMITS, self.server_map)
        name = "mover" if carry_origin else None
        self.mapper = Mapper(MappingSpec(strategy, "orders", carry_origin=name, slices=2), KeyCache())
        self.logs: dict[Partition, list[tuple[bytes, bytes]]] = {Partition("orders", number): [] for number in NUMBERS}
        self.lanes: dict[Partition, PartitionLanes] = {}
        self.trackers: dict[Partition, AckTracker] = {}
        for partition in self.logs:
            self._assign(partition, 0)
        self.in_flight: list[Request] = []
        self.doubts = Doubts()
        self.sizes: dict[Place, int] = {}
        self.arrived: list[Place] = []
        self.may_repeat: set[Place] = set()
        self.landed: dict[int, int] = {}  # by row: how many records KCL gave out

    def _assign(self, partition: Partition, offset: int) -> None:
        aggregates = None if partition.number == RAW else AGGREGATES
        self.lanes[partition] = PartitionLanes(partition, linger_s=0.02, aggregates=aggregates)
        self.trackers[partition] = AckTracker(offset)

    @rule(
        number=st.sampled_from(NUMBERS),
        rows=st.lists(st.tuples(st.integers(0, 4), st.sampled_from([1, 40, 900, 3000])), min_size=1, max_size=14),
    )
    def offer(self, number: int, rows: list[tuple[int, int]]) -> None:
        partition = Partition("orders", number)
        log = self.logs[partition]
        for key, size in rows:
            log.append((b"key-%d" % key, f"{number}/{len(log)}/key-{key}/".encode() + b"x" * size))
        self._read(partition)

    def _read(self, partition: Partition) -> None:
        tracker, log = self.trackers[partition], self.logs[partition]
        if tracker.read_to == len(log):
            return
        rows: list[tuple[int, bytes | None, bytes | None]] = [(i, *log[i]) for i in range(tracker.read_to, len(log))]
        mapped, rejection = self.mapper.map(source_batch(rows, partition), self.lanes[partition])
        assert rejection is None
        self.sizes |= {(partition, offset): size for offset, size in zip(mapped.offsets, mapped.sizes, strict=True)}
        tracker.admit(mapped)
        self.scheduler.offer(mapped, self.now)

    @rule()
    def send(self) -> None:
        request = self.scheduler.next_request(self.now)
        if isinstance(request, Request):
            self._sent(request)
        else:
            assert request > self.now

    @rule(seconds=st.sampled_from([0.001, 0.02, 0.1, 0.7, 3.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(shards=st.integers(1, 5))
    def reshard(self, shards: int) -> None:
        """On the server only."""
        self.generation += 1
        closed = (*self.server_map.closed.values(), *self.server_map.shards)
        self.server_map = ShardMap(even_shard_map(shards, self.generation).shards, closed)

    @rule()
    def hear_of_shards(self) -> None:
        if self.server_map != self.scheduler.shard_map:  # an answer that tells nothing new changes nothing
            shares = [1.0] * len(self.server_map)
            self._resolved(self.scheduler.replace_shard_map(self.server_map, shares))

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        request = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        entries = data.draw(st.lists(ENTRY, min_size=len(request), max_size=len(request)))
        self._answer(request, entries, data.draw(st.integers(0, 2 ** len(request) - 1)))

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), outcome=st.sampled_from([Outcome.THROTTLED, Outcome.TRANSIENT, Outcome.REJECTED]))
    def refuse(self, data: st.DataObject, outcome: Outcome) -> None:
        request = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        if outcome == Outcome.REJECTED and len(request) == 1:
            return self._answer(request, [Outcome.STORED], 0)
        return self._resolved(self.scheduler.resolve(request, PutAnswer(outcome, code="Test"), self.now))

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), reached=st.booleans())
    def lose_answer(self, data: st.DataObject, reached: bool) -> None:
        request = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        stored_on = [self._store(request, i) if reached else "" for i in range(len(request))]
        resolution = self.scheduler.resolve(request, PutAnswer(Outcome.UNKNOWN, code="Timeout"), self.now)
        self._resolved(resolution, dict(zip(request.rows, stored_on, strict=True)))

    @precondition(lambda self: self.doubts.stored_on)
    @rule(data=st.data(), mistaken=st.booleans())
    def settle(self, data: st.DataObject, mistaken: bool) -> None:
        rows = self.doubts.draw(data)
        self.may_repeat.update(place for row in rows if mistaken for place in records_of(row))
        self._resolved(self.doubts.settle(self.scheduler, rows, self.now, mistaken))

    @rule(number=st.sampled_from(NUMBERS))
    def leave_and_return(self, number: int) -> None:
        """A drain: what was attempted is finished; then a new assignment begins at what was committed."""
        partition = Partition("orders", number)
        lanes, tracker = self.lanes[partition], self.trackers[partition]
        self.scheduler.truncate(lanes, max(self.scheduler.under_way_to(lanes), tracker.first_unattempted()))
        self._run_until(lambda: not lanes.unresolved)
        assert lanes.unresolved_bytes == 0
        self.scheduler.truncate(lanes, 0)
        committable = tracker.committable()
        finished = {place for place in self.arrived if place[0] == partition} - self.may_repeat
        assert not [offset for _, offset in finished if offset >= committable], "attempted, and not finished"
        self._assign(partition, committable)
        self._read(partition)

    @rule(number=st.sampled_from(NUMBERS), below=st.integers(0, 20))
    def stop(self, number: int, below: int) -> None:
        """Where a record cannot be carried: what is below is finished, whatever of the rest is under way or in doubt."""
        partition = Partition("orders", number)
        lanes, tracker = self.lanes[partition], self.trackers[partition]
        end = min(tracker.committable() + below, tracker.read_to)
        self.may_repeat |= {(partition, offset) for offset in range(end, tracker.read_to)}
        self.scheduler.truncate(lanes, end)
        self._run_until(lambda: False)
        assert tracker.committable() >= end
        assert lanes.unresolved == lanes.unresolved_bytes == 0
        self._assign(partition, tracker.committable())
        self._read(partition)

    @rule(number=st.sampled_from(NUMBERS), detached=st.booleans())
    def lose_and_get_back(self, number: int, detached: bool) -> None:
        """At once, with attempts under way: they may be repeated."""
        partition = Partition("orders", number)
        lanes, tracker = self.lanes[partition], self.trackers[partition]
        self.may_repeat |= {(partition, offset) for offset in range(tracker.committable(), tracker.read_to)}
        if detached:
            self.scheduler.detach(lanes)
            self.doubts.forget(lanes)
        else:
            self.scheduler.truncate(lanes, 0)
        self._run_until(lambda: not lanes.unresolved)  # the answers of what was under way, and of what is in doubt
        assert lanes.unresolved_bytes == 0
        self._assign(partition, tracker.committable())
        self._read(partition)

    @invariant()
    def commits_nothing_that_did_not_arrive(self) -> None:
        arrived = set(getattr(self, "arrived", ()))
        for partition, tracker in getattr(self, "trackers", {}).items():
            assert all((partition, offset) in arrived for offset in range(tracker.committable()))

    @invariant()
    def counts_what_is_unresolved(self) -> None:
        for partition, tracker in getattr(self, "trackers", {}).items():
            unresolved = [
                (partition, batch.offsets[i]) for batch in tracker._batches for i in range(len(batch)) if not batch.resolved[i]
            ]
            check_counts(self.lanes[partition], [self.sizes[place] for place in unresolved])

    @invariant()
    def ready_rows_are_counted(self) -> None:
        if scheduler := getattr(self, "scheduler", None):
            assert scheduler._ready_rows == sum(len(queue.ready) for queue in scheduler._queues)

    def teardown(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        self.hear_of_shards()
        self._run_until(lambda: False)
        assert set(self.arrived) == {(p, offset) for p, tracker in self.trackers.items() for offset in range(tracker.read_to)}
        for partition, tracker in self.trackers.items():
            assert tracker.committable() == tracker.read_to
            assert self.lanes[partition].unresolved == self.lanes[partition].unresolved_bytes == 0
        self._check_order()

    def _check_order(self) -> None:
        seen: set[Place] = set()
        keys: dict[tuple[Partition, bytes], list[int]] = defaultdict(list)
        for partition, offset in self.arrived:
            if (partition, offset) in seen:
                assert (partition, offset) in self.may_repeat, "twice, and nothing explains it"
                continue
            seen.add((partition, offset))
            keys[partition, self.logs[partition][offset][0]].append(offset)
        assert all(offsets == sorted(offsets) for offsets in keys.values()), "a key out of order"

    def _run_until(self, done: object) -> None:
        for _ in range(100_000):
            while self.in_flight:
                request = self.in_flight.pop()
                self._answer(request, [Outcome.STORED] * len(request), 0)
            if self.doubts.stored_on:
                self._resolved(self.doubts.settle(self.scheduler, [*self.doubts.stored_on], self.now))
            if callable(done) and done():
                return
            if self.scheduler._aggregates.undecided():
                self.hear_of_shards()
                continue
            request_or_time = self.scheduler.next_request(self.now)
            if isinstance(request_or_time, Request):
                self._sent(request_or_time)
            elif request_or_time == NEVER:
                return
            else:
                self.now = request_or_time

    def _sent(self, request: Request) -> None:
        assert 0 < len(request) <= LIMITS.records_max
        assert request.size == sum(request.run_sizes) == sum(row[ROW_SIZE] for row in request.rows)
        assert request.size <= LIMITS.bytes_max
        self.doubts.check_request(request)
        for i, row in enumerate(request.rows):
            assert row[ROW_SIZE] == len(row[ROW_DATA]) + len(row[ROW_PARTITION_KEY])
            if is_aggregate(row):
                records = len(records_of(request.rows[i]))
                assert 1 <= records <= AGGREGATES.records_max
                assert records == 1 or len(row[ROW_DATA]) <= AGGREGATES.bytes_max
        self.in_flight.append(request)

    def _store(self, request: Request, i: int) -> str:
        row = request.rows[i]
        shard = self.server_map.shards[self.server_map.locate(row[ROW_HASH_KEY])]
        given = delivered_by_kcl(row[ROW_DATA], row[ROW_PARTITION_KEY], shard.starting_hash_key, shard.ending_hash_key)
        if not given:
            self.may_repeat.update(records_of(request.rows[i]))  # readers that do not look at ranges see it
        for record in given:
            assert record.aggregated == is_aggregate(row)
            number, offset, _, _ = record.data.split(b"/")
            self.arrived.append((Partition("orders", int(number)), int(offset)))
        self.landed[id(row)] = len(given)
        return shard.shard_id

    def _answer(self, request: Request, entries: list[Outcome], reached: int) -> None:
        shards = []
        for i, outcome in enumerate(entries):
            stored = outcome == Outcome.STORED or (outcome == Outcome.UNKNOWN and reached >> i & 1)
            shards.append(self._store(request, i) if stored else "")
        unknown = {request.rows[i]: shards[i] for i, outcome in enumerate(entries) if outcome == Outcome.UNKNOWN}
        self._resolved(self.scheduler.resolve(request, PutAnswer(None, entries, shards, ["1"] * len(entries)), self.now), unknown)

    def _resolved(self, resolution: Resolution, unknown: Mapping[Row, str] = NOTHING) -> None:
        """`unknown` are in doubt now, with the shards on which they were stored."""
        asked = {row: shard for row, shard in unknown.items() if not row[0].lanes_of.detached}
        assert resolution.unknown == [*asked]
        self.doubts.stored_on |= asked
        self.doubts.check(self.scheduler)
        assert not resolution.rejected
        acknowledge(resolution.stored)
        for row in resolution.dropped:
            assert not self.landed[id(row)], "KCL gives it out"
            self.may_repeat.update(records_of(row))


AggregatesAndServer.TestCase.settings = settings(max_examples=100, stateful_step_count=50, report_multiple_bugs=False)
TestAggregateLaws = AggregatesAndServer.TestCase
