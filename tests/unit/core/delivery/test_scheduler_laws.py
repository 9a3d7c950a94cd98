"""The scheduler against a server that refuses any record of any request at will.

Laws: every record is stored; first occurrences of a lane stand in source order; nothing is stored twice unless the answer
of an earlier attempt was lost and the scheduler was told that it was not stored; nothing in doubt is sent; no shard is
offered more than its budget in any second of sending; what may be committed never passes a record that is not stored.
"""

from collections import defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge.core.delivery.ack_tracker import AckTracker, acknowledge
from bridge.core.delivery.key_strategies import KeyCache, MappingSpec
from bridge.core.delivery.lanes import ROW_LANE, ROW_SIZE, PartitionLanes, Row, offset_of
from bridge.core.delivery.mapping import Mapper
from bridge.core.delivery.ready_shards import NEVER
from bridge.core.delivery.requests import Request, RequestLimits, Resolution
from bridge.core.delivery.scheduler import Scheduler
from bridge.core.quotas import SHARD_BYTES_PER_S, SHARD_RECORDS_PER_S
from bridge.core.records import Outcome, Partition, PutAnswer
from tests.unit.core.delivery.columns import even_shard_map, source_batch
from tests.unit.core.delivery.doubts import Doubts, check_counts

SHARE = 0.02
RECORDS_PER_S = int(SHARD_RECORDS_PER_S * SHARE)
BYTES_PER_S = int(SHARD_BYTES_PER_S * SHARE)
LIMITS = RequestLimits(records_max=4, bytes_max=26_000)

ENTRY = st.sampled_from([Outcome.STORED, Outcome.STORED, Outcome.STORED, Outcome.THROTTLED, Outcome.TRANSIENT, Outcome.UNKNOWN])
WHOLE = st.sampled_from([Outcome.THROTTLED, Outcome.TRANSIENT, Outcome.FATAL, Outcome.REJECTED])
STRATEGIES = st.sampled_from([("key", "key"), ("partition", "partition"), ("key", "none"), ("partition", "key")])


class SchedulerAndServer(RuleBasedStateMachine):
    """Two partitions, few keys, small requests and budgets, so that everything gets in everything's way."""

    @initialize(strategy=STRATEGIES, carry_origin=st.booleans())
    def begin(self, strategy: tuple[str, str], carry_origin: bool) -> None:
        self.now = 1000.0
        self.generation = 0
        self.scheduler = Scheduler(LIMITS, even_shard_map(3), SHARE)
        name = "bridge" if carry_origin else None
        partitions = [Partition("orders", 0), Partition("orders", 1)]
        spec = MappingSpec(strategy[0], "orders", ordering=strategy[1], carry_origin=name, slices=2)
        self.mapper = Mapper(spec, KeyCache())
        self.lanes = {p: PartitionLanes(p, linger_s=0.02) for p in partitions}
        self.trackers = {p: AckTracker(0) for p in partitions}
        self.ends = dict.fromkeys(partitions, 0)
        self.offered: dict[Partition, set[int]] = {p: set() for p in partitions}
        self.sizes: dict[Partition, dict[int, int]] = {p: {} for p in partitions}
        self.cut_at: dict[Partition, int] = {}  # partitions that have left, or were stopped
        self.in_flight: list[Request] = []
        self.doubts = Doubts()
        self.sent_at: dict[str, list[tuple[float, int, int]]] = defaultdict(list)
        self.stored: list[Row] = []  # in the order in which the server stored them
        self.doubtful: set[Row] = set()
        self.acked: set[Row] = set()

    @rule(
        number=st.integers(0, 1),
        rows=st.lists(st.tuples(st.integers(0, 3), st.sampled_from([1, 40, 900, 25_000])), min_size=1, max_size=12),
        hole=st.integers(0, 2),
    )
    def offer(self, number: int, rows: list[tuple[int, int]], hole: int) -> None:
        partition = next(p for p in self.lanes if p.number % 2 == number and p not in self.cut_at)
        first = self.ends[partition] + hole
        keyed: list[tuple[int, bytes | None, bytes | None]] = [
            (first + i, None if key == 3 else b"key-%d" % key, b"x" * size) for i, (key, size) in enumerate(rows)
        ]
        mapped, rejection = self.mapper.map(source_batch(keyed, partition), self.lanes[partition])
        assert rejection is None
        self.sizes[partition] |= dict(zip(mapped.offsets, mapped.sizes, strict=True))
        self.trackers[partition].admit(mapped)
        self.scheduler.offer(mapped, self.now)
        self.ends[partition] = mapped.next_offset
        self.offered[partition].update(mapped.offsets)

    @rule()
    def send(self) -> None:
        request = self.scheduler.next_request(self.now)
        if isinstance(request, Request):
            self._check_request(request)
            self.in_flight.append(request)
        else:
            assert request > self.now

    @rule(seconds=st.sampled_from([0.001, 0.02, 0.1, 0.7, 3.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def reshard(self) -> None:
        self.generation += 1
        shards = 1 + self.generation % 4
        self.scheduler.replace_shard_map(even_shard_map(shards, self.generation), [SHARE] * shards)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        request = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        entries = data.draw(st.lists(ENTRY, min_size=len(request), max_size=len(request)))
        self._answer_each(request, entries, data.draw(st.integers(0, 2 ** len(request) - 1)))

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), outcome=WHOLE)
    def refuse(self, data: st.DataObject, outcome: Outcome) -> None:
        request = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        if outcome == Outcome.REJECTED and len(request) == 1:
            return self._answer_each(request, [Outcome.STORED], 0)  # this server finds no fault with a single record
        resolution = self.scheduler.resolve(request, PutAnswer(outcome, code="Test"), self.now)
        assert not resolution.stored
        assert not resolution.rejected
        return None

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), reached=st.booleans())
    def lose_answer(self, data: st.DataObject, reached: bool) -> None:
        request = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        if reached:
            self.stored += request.rows
        shards = [shard if reached else "" for shard, first, end in request.runs for _ in range(first, end)]
        resolution = self.scheduler.resolve(request, PutAnswer(Outcome.UNKNOWN, code="Timeout"), self.now)
        self._in_doubt(resolution, dict(zip(request.rows, shards, strict=True)))

    @precondition(lambda self: self.doubts.stored_on)
    @rule(data=st.data(), mistaken=st.booleans())
    def settle(self, data: st.DataObject, mistaken: bool) -> None:
        self._settle(self.doubts.draw(data), mistaken)

    @rule(number=st.integers(0, 1), back=st.integers(0, 12), detached=st.booleans())
    def cut(self, number: int, back: int, detached: bool) -> None:
        """The partition is stopped at an offset, or not ours any more; its number is taken by another."""
        partition = next(p for p in self.lanes if p.number % 2 == number and p not in self.cut_at)
        self.cut_at[partition] = 0 if detached else max(0, self.ends[partition] - back)
        if detached:
            self.scheduler.detach(self.lanes[partition])
            self.doubts.forget(self.lanes[partition])
        else:
            self.scheduler.truncate(self.lanes[partition], self.cut_at[partition])
        self.doubts.check(self.scheduler)
        new = Partition("orders", partition.number + 2)
        self.lanes[new], self.trackers[new] = PartitionLanes(new, linger_s=0.02), AckTracker(0)
        self.ends[new], self.offered[new], self.sizes[new] = 0, set(), {}

    @invariant()
    def commits_nothing_unacked(self) -> None:
        for partition, tracker in getattr(self, "trackers", {}).items():
            committable = tracker.committable()
            acked = {batch.offsets[i] for batch, i, *_ in self.acked if batch.lanes_of.partition == partition}
            unacked = self.offered[partition] - acked
            assert committable == min(unacked, default=self.ends[partition])

    @invariant()
    def counts_what_is_unresolved(self) -> None:
        for partition, lanes in getattr(self, "lanes", {}).items():
            sizes = self.sizes[partition]
            if partition in self.cut_at:
                heads = [row for _, row in self.scheduler.heads() if row[0].lanes_of is lanes]
                rows = [*heads, *(row for behind in lanes.waiting.values() for row in behind or ())]
                check_counts(lanes, [sizes[offset_of(row)] for row in rows])
            else:
                acked = {batch.offsets[i] for batch, i, *_ in self.acked if batch.lanes_of is lanes}
                check_counts(lanes, [size for offset, size in sizes.items() if offset not in acked])

    @invariant()
    def every_lane_has_one_head(self) -> None:
        heads = [(row[0].lanes_of.partition, row[ROW_LANE]) for _, row in self.scheduler.heads()]
        assert len(heads) == len(set(heads))
        assert set(heads) == {(partition, lane) for partition, lanes in self.lanes.items() for lane in lanes.waiting}

    def teardown(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        for _ in range(100_000):
            while self.in_flight:
                answered = self.in_flight.pop()
                self._answer_each(answered, [Outcome.STORED] * len(answered), 0)
            if self.doubts.stored_on:
                self._settle([*self.doubts.stored_on], mistaken=False)
            request = self.scheduler.next_request(self.now)
            if isinstance(request, Request):
                self._check_request(request)
                self.in_flight.append(request)
            elif request == NEVER:
                break
            else:
                assert request > self.now
                self.now = request
        self._check_end()

    def _answer_each(self, request: Request, entries: list[Outcome], reached: int) -> None:
        """`reached` says, bit by bit, which of the unknown ones were stored all the same."""
        for i, (row, outcome) in enumerate(zip(request.rows, entries, strict=True)):
            if outcome == Outcome.STORED or (outcome == Outcome.UNKNOWN and reached >> i & 1):
                self.stored.append(row)
        shards = [shard for shard, first, end in request.runs for _ in range(first, end)]
        answer = PutAnswer(None, entries, shards, ["1"] * len(entries))
        resolution = self.scheduler.resolve(request, answer, self.now)
        assert resolution.stored == [row for row, outcome in zip(request.rows, entries, strict=True) if outcome == Outcome.STORED]
        self._acked(resolution)
        unknown = [i for i, outcome in enumerate(entries) if outcome == Outcome.UNKNOWN]
        self._in_doubt(resolution, {request.rows[i]: shards[i] if reached >> i & 1 else "" for i in unknown})

    def _in_doubt(self, resolution: Resolution, stored_on: dict[Row, str]) -> None:
        asked = {row: shard for row, shard in stored_on.items() if not row[0].lanes_of.detached}
        assert resolution.unknown == [*asked]
        self.doubts.stored_on |= asked
        self.doubts.check(self.scheduler)

    def _settle(self, rows: list[Row], mistaken: bool) -> None:
        stored = [row for row in rows if self.doubts.stored_on[row] and not mistaken]
        self.doubtful.update(rows if mistaken else ())
        resolution = self.doubts.settle(self.scheduler, rows, self.now, mistaken)
        assert (resolution.stored, resolution.dropped) == (stored, [])
        self._acked(resolution)

    def _acked(self, resolution: Resolution) -> None:
        acknowledge(resolution.stored)
        self.acked.update(resolution.stored)

    def _check_request(self, request: Request) -> None:
        assert 0 < len(request) <= LIMITS.records_max
        assert request.size == sum(request.run_sizes) == sum(row[ROW_SIZE] for row in request.rows)
        assert request.size <= LIMITS.bytes_max
        self.doubts.check_request(request)
        lanes = [(id(row[0].lanes_of), row[ROW_LANE]) for row in request.rows]
        others = [(id(row[0].lanes_of), row[ROW_LANE]) for other in self.in_flight for row in other.rows]
        assert len(set(lanes)) == len(lanes), "two records of a lane in one request"
        assert not set(lanes) & set(others), "a second record of a lane under way"
        for shard, first, end in request.runs:
            size = sum(row[ROW_SIZE] for row in request.rows[first:end])
            self.sent_at[shard].append((self.now, end - first, size))

    def _check_end(self) -> None:
        lanes: dict[tuple[Partition, int | str], list[int]] = defaultdict(list)
        seen: set[Row] = set()
        for row in self.stored:
            if row in seen:
                assert row in self.doubtful, "stored twice, although no answer was lost"
                continue
            seen.add(row)
            lanes[row[0].lanes_of.partition, row[ROW_LANE]].append(offset_of(row))
        assert all(offsets == sorted(offsets) for offsets in lanes.values()), "a lane out of order"
        for partition, tracker in self.trackers.items():
            acked = {offset_of(row) for row in self.acked if row[0].lanes_of is self.lanes[partition]}
            wanted = {offset for offset in self.offered[partition] if offset < self.cut_at.get(partition, self.ends[partition])}
            assert wanted <= acked, "not everything was stored"
            assert partition in self.cut_at or tracker.committable() == self.ends[partition]
            assert self.lanes[partition].unresolved == self.lanes[partition].unresolved_bytes == 0
            assert not self.lanes[partition].waiting
        for sent in self.sent_at.values():
            _check_budget(sent)


def _check_budget(sent: list[tuple[float, int, int]]) -> None:
    """In any second of sending: within the budget, or one record alone that is larger than a second's bytes."""
    for begin, _, _ in sent:
        window = [entry for entry in sent if begin <= entry[0] < begin + 1.0]
        assert sum(records for _, records, _ in window) <= RECORDS_PER_S
        if sum(size for _, _, size in window) > BYTES_PER_S:
            assert len(window) == 1, window
            assert window[0][1] == 1
            rest = [entry for entry in sent if begin < entry[0] < begin + window[0][2] / BYTES_PER_S]
            assert not rest, "a record larger than a second's budget was not waited off"


SchedulerAndServer.TestCase.settings = settings(max_examples=120, stateful_step_count=60)
TestSchedulerLaws = SchedulerAndServer.TestCase
