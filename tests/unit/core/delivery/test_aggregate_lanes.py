"""Aggregates in a scheduler by example: lost answers, reshards, stops. Laws: see test_aggregate_laws."""

import gc
from collections.abc import Sequence

import pytest

from bridge.core.delivery.ack_tracker import AckTracker, acknowledge
from bridge.core.delivery.aggregate_limits import AggregateLimits
from bridge.core.delivery.aggregates import Aggregate
from bridge.core.delivery.key_strategies import KeyCache, MappingSpec
from bridge.core.delivery.lanes import MappedBatch, PartitionLanes, Row
from bridge.core.delivery.mapping import Mapper
from bridge.core.delivery.ready_shards import NEVER
from bridge.core.delivery.requests import Request, RequestLimits, Resolution
from bridge.core.delivery.scheduler import Scheduler
from bridge.core.delivery.shard_map import ShardMap
from bridge.core.records import Outcome, PutAnswer
from tests.unit.core.delivery.columns import ORDERS_0, even_shard_map, source_batch
from tests.unit.core.delivery.doubts import records_of
from tests.unit.core.delivery.test_doubts import lose
from tests.unit.core.delivery.test_scheduler import LEFT, NOW, RIGHT

AGGREGATES = AggregateLimits(bytes_max=1500, records_max=3, bridge="mover")


class Aggregated:
    """A scheduler over even shards, and one partition whose records travel in aggregates."""

    def __init__(self, shards: int = 1) -> None:
        self.scheduler = Scheduler(RequestLimits(10, 1_000_000), even_shard_map(shards))
        self.lanes = PartitionLanes(ORDERS_0, linger_s=0.0, aggregates=AGGREGATES)
        self.tracker = AckTracker(0)
        self._mapper = Mapper(MappingSpec("key", "orders"), KeyCache())

    def offer(self, keys: Sequence[bytes]) -> MappedBatch:
        first = self.tracker.read_to
        batch, _ = self._mapper.map(source_batch([(first + i, key, b"x") for i, key in enumerate(keys)]), self.lanes)
        self.tracker.admit(batch)
        self.scheduler.offer(batch, NOW)
        return batch

    def request(self, now: float) -> Request:
        request = self.scheduler.next_request(now)
        assert isinstance(request, Request)
        return request

    def settled(self, landed: Sequence[tuple[Row, str, str]], again: Sequence[Row]) -> Resolution:
        resolution = self.scheduler.settled(landed, again, NOW + 2)
        acknowledge(resolution.stored)
        return resolution

    def reshard(self, shards: int) -> None:
        shard_map = ShardMap(even_shard_map(shards, 1).shards, self.scheduler.shard_map.shards)
        self.scheduler.replace_shard_map(shard_map, [1.0] * shards)


def told(row: Row) -> list[int]:
    return [offset for _, offset in records_of(row)]


def test_an_aggregate_in_doubt_holds_its_partition_at_that_shard_only():
    it = Aggregated(shards=2)
    it.offer([LEFT[0]] * 5 + [RIGHT[0]] * 4)
    request = it.request(NOW)
    assert sorted(map(told, request.rows)) == [[0, 1, 2], [5, 6, 7]]
    outcomes = [Outcome.UNKNOWN if told(row)[0] == 0 else Outcome.STORED for row in request.rows]
    shards = [shard for shard, first, end in request.runs for _ in range(first, end)]
    (row,) = it.scheduler.resolve(request, PutAnswer(None, outcomes, shards, ["1", "2"]), NOW + 1).unknown
    assert (told(row), it.scheduler.under_way_to(it.lanes), it.tracker.first_unattempted()) == ([0, 1, 2], 3, 3)
    assert [told(row) for row in it.request(NOW + 1).rows] == [[8]]
    assert it.scheduler.next_request(NOW + 1000) == NEVER
    assert it.settled([(row, "shard-0-0", "9")], []).stored == [row]
    assert it.tracker.committable() == 3
    assert [told(row) for row in it.request(NOW + 2).rows] == [[3, 4]]


def test_an_aggregate_that_was_not_stored_goes_again_as_it_is():
    it = Aggregated()
    it.offer([LEFT[0]] * 5)
    (row,) = lose(it.scheduler, it.request(NOW), NOW + 1).unknown
    it.settled([], [row])
    assert it.request(NOW + 2).rows == [row]


@pytest.mark.parametrize("landed", [True, False])
def test_after_a_reshard_all_records_of_the_parent_wait_for_its_aggregate_in_doubt(landed):
    it = Aggregated()
    it.offer([LEFT[0]] * 3 + [LEFT[1], RIGHT[0]])
    (row,) = lose(it.scheduler, it.request(NOW), NOW + 1).unknown
    it.reshard(2)
    it.offer([RIGHT[1]])
    assert it.scheduler.next_request(NOW + 2) == NEVER
    settled = it.settled([(row, "shard-0-0", "1")], []) if landed else it.settled([], [row])
    assert (settled.stored, settled.dropped, settled.stale_shard_map) == ([row] if landed else [], [], False)
    request = it.request(NOW + 2)
    assert {shard for shard, _, _ in request.runs} == {"shard-1-0", "shard-1-1"}
    assert sorted(map(told, request.rows)) == ([[3], [4, 5]] if landed else [[0, 1, 2], [4, 5]])


@pytest.mark.parametrize(("keys", "counts"), [([LEFT[0], LEFT[1]], True), ([LEFT[0], RIGHT[0]], False)])
def test_an_aggregate_that_landed_on_a_child_counts_where_all_its_records_belong_there(keys, counts):
    it = Aggregated()
    it.offer(keys)
    (row,) = lose(it.scheduler, it.request(NOW), NOW + 1).unknown
    it.reshard(2)
    settled = it.settled([(row, "shard-1-0", "1")], [])
    assert (settled.stored, settled.dropped) == (([row], []) if counts else ([], [row]))
    assert it.lanes.unresolved == (0 if counts else 2)
    if not counts:
        assert sorted(map(told, it.request(NOW + 2).rows)) == [[0], [1]]


def test_an_aggregate_that_landed_on_a_shard_that_is_not_known_is_told_when_it_is():
    it = Aggregated()
    it.offer([LEFT[0]])
    (row,) = lose(it.scheduler, it.request(NOW), NOW + 1).unknown
    settled = it.settled([(row, "shard-1-0", "7")], [])
    assert (settled.stored, settled.dropped, settled.stale_shard_map) == ([], [], True)
    assert ([*it.scheduler.in_doubt()], it.scheduler.under_way_to(it.lanes)) == ([], 1)
    older = it.scheduler.replace_shard_map(even_shard_map(2, 3), [1.0] * 2)  # of a question that was asked before
    assert (older.stored, older.dropped, older.stale_shard_map) == ([], [], True)
    shard_map = ShardMap(even_shard_map(2, 1).shards, it.scheduler.shard_map.shards)
    assert it.scheduler.replace_shard_map(shard_map, [1.0] * 2).stored == [row]
    assert it.lanes.unresolved == 0


@pytest.mark.parametrize("wait", ["doubt", "rest"])
def test_an_aggregate_that_is_forgotten_lets_what_is_left_of_the_parents_move(wait):
    """What is below the end of a stopped partition is finished, even where it waited for an aggregate above."""
    it = Aggregated(shards=2)
    it.offer([LEFT[0]] * 4 + [RIGHT[0]])
    request = it.request(NOW)
    above = next(row for row in request.rows if told(row) == [4])
    entries = {True: (Outcome.UNKNOWN if wait == "doubt" else Outcome.TRANSIENT), False: Outcome.STORED}
    if wait == "rest":  # its lane is known to fail by itself
        it.scheduler._resting.failed([above], NOW)
    outcomes = [entries[row is above] for row in request.rows]
    it.reshard(1)
    it.scheduler.resolve(request, PutAnswer(None, outcomes, ["shard-0-0", "shard-0-1"], ["1", "2"]), NOW + 1)
    it.scheduler.truncate(it.lanes, 4)
    it.scheduler.settled([], [*it.scheduler.in_doubt()], NOW + 2)
    assert [told(row) for row in it.request(NOW + 2).rows] == [[3]]


def test_nothing_of_an_aggregate_stays_after_its_partition_is_detached():
    it = Aggregated()
    it.offer([LEFT[0]] * 5)
    request = it.request(NOW)
    lose(it.scheduler, request, NOW + 1)
    del request, it.tracker
    gc.collect()
    gc.disable()
    try:
        it.scheduler.detach(it.lanes)
        assert (it.lanes.unresolved, it.lanes.unresolved_bytes, len(it.scheduler.in_doubt())) == (0, 0, 0)
        assert not any(isinstance(thing, Aggregate) for thing in gc.get_objects())
        assert it.lanes not in it.scheduler._aggregates._partitions
    finally:
        gc.enable()


def test_what_landed_on_a_shard_that_closed_before_it_was_heard_of_is_judged_by_its_range():
    """Nothing new would ever be heard of the shards, and so of the aggregate."""
    it = Aggregated()
    it.offer([LEFT[0]])
    request, between = it.request(NOW), even_shard_map(1, 1)
    shard_map = ShardMap(even_shard_map(1, 2).shards, (*even_shard_map(1).shards, *between.shards))
    it.scheduler.replace_shard_map(shard_map, [1.0])
    answer = PutAnswer(None, [Outcome.STORED], [between.shards[0].shard_id], ["1"])
    assert it.scheduler.resolve(request, answer, NOW + 1).stored == request.rows
