"""Rows in doubt by example: what waits for them, and what becomes of them. Laws: see test_scheduler_laws, test_aggregate_laws."""

from collections.abc import Sequence

import pytest

from bridge.core.delivery.ack_tracker import AckTracker, acknowledge
from bridge.core.delivery.ready_shards import NEVER
from bridge.core.delivery.requests import Request, Resolution
from bridge.core.delivery.scheduler import GATHER_PART, Scheduler
from bridge.core.delivery.shard_map import ShardMap
from bridge.core.delivery.shard_queues import BACKOFF_FIRST_S
from bridge.core.delivery.standstill import counted_rows
from bridge.core.records import Outcome, PutAnswer
from tests.unit.core.delivery.columns import even_shard_map
from tests.unit.core.delivery.test_scheduler import LEFT, LINGER, NOW, RIGHT, Fixture, offsets


@pytest.fixture
def line() -> Fixture:
    return Fixture()


def doubt(line: Fixture, request: Request, outcomes: Sequence[Outcome], now: float) -> Resolution:
    return line.answer(request, list(outcomes), now, again=False)


def lose(scheduler: Scheduler, request: Request, now: float) -> Resolution:
    return scheduler.resolve(request, PutAnswer(Outcome.UNKNOWN, code="Timeout"), now)


def test_a_lane_waits_for_its_record_in_doubt_and_others_go_on(line):
    line.offer([LEFT[0], LEFT[0], LEFT[1], LEFT[1]])
    resolution = doubt(line, line.request(NOW + LINGER), [Outcome.UNKNOWN, Outcome.STORED], NOW + 1)
    (row,) = resolution.unknown
    assert [*line.scheduler.in_doubt()] == [row]
    assert (row in line.scheduler.in_doubt(), "x" in line.scheduler.in_doubt()) == (True, False)
    request = line.request(NOW + 2)
    assert offsets(request) == [3]
    line.answer(request, [Outcome.STORED], NOW + 2)
    assert line.scheduler.next_request(NOW + 1000) == NEVER
    assert line.lanes[0].unresolved == 2
    settled = line.scheduler.settled([(row, "shard-0-0", "17")], [], NOW + 1000)
    assert (settled.stored, settled.shard_ids, settled.sequence_numbers) == ([row], ["shard-0-0"], ["17"])
    assert not settled.stale_shard_map
    assert offsets(line.request(NOW + 1000 + LINGER)) == [1]
    assert [*line.scheduler.in_doubt()] == []


def test_what_landed_frees_its_lane_as_an_answer_does(line):
    line.offer([LEFT[0], LEFT[0]])
    (row,) = lose(line.scheduler, line.request(NOW + LINGER), NOW + 1).unknown
    line.scheduler.settled([(row, "shard-0-0", "1")], [], NOW + 2)
    assert line.scheduler.next_request(NOW + 2) == NOW + 2 + LINGER / GATHER_PART


def test_what_is_settled_as_not_stored_goes_again_before_what_waits_in_its_lane(line):
    line.offer([LEFT[0], LEFT[0]])
    (row,) = lose(line.scheduler, line.request(NOW + LINGER), NOW + 1).unknown
    line.scheduler.settled([], [row], NOW + 2)
    assert offsets(line.request(NOW + 2 + LINGER)) == [0]


@pytest.mark.parametrize("twice", ["landed", "again", "both", "before", "under way"])
def test_a_row_that_is_not_in_doubt_cannot_be_settled_and_nothing_changes(line, twice):
    line.offer([LEFT[0], LEFT[1], LEFT[2]])
    request = line.request(NOW + LINGER)
    first, second, other = request.rows
    doubt(line, request, [Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.STORED], NOW + 1)
    line.offer([LEFT[3]])
    (under_way,) = line.request(NOW + 1.5).rows
    landed = (first, "shard-0-0", "1")
    calls = {
        "landed": ([landed, landed], []),
        "again": ([], [first, first]),
        "both": ([landed], [first]),
        "before": ([], [second, other]),
        "under way": ([landed], [under_way]),
    }
    with pytest.raises(ValueError, match="not in doubt"):
        line.scheduler.settled(*calls[twice], NOW + 2)
    assert set(line.scheduler.in_doubt()) == {first, second}
    assert line.lanes[0].unresolved == 3


def test_a_record_in_doubt_that_failed_by_itself_still_waits_its_pause_off(line):
    line.offer(LEFT[:2])
    (row,) = doubt(line, line.request(NOW + LINGER), [Outcome.UNKNOWN, Outcome.STORED], NOW + 1).unknown
    line.scheduler.settled([], [row], NOW + 1)
    assert line.scheduler.next_request(NOW + 1 + LINGER) == NOW + 1 + BACKOFF_FIRST_S
    (row,) = doubt(line, line.request(NOW + 2), [Outcome.UNKNOWN], NOW + 2).unknown
    line.scheduler.settled([], [row], NOW + 3)
    assert offsets(line.request(NOW + 3)) == [0], "its pause is over by now"


def test_a_lane_of_which_a_record_landed_after_all_is_well(line):
    line.offer([LEFT[0], LEFT[1], LEFT[0]])
    (row,) = doubt(line, line.request(NOW + LINGER), [Outcome.UNKNOWN, Outcome.STORED], NOW + 1).unknown
    line.scheduler.settled([(row, "shard-0-0", "1")], [], NOW + 1)
    line.answer(line.request(NOW + 2), [Outcome.TRANSIENT], NOW + 2)
    line.offer(LEFT[2:4], now=NOW + 2)
    assert line.scheduler.next_request(NOW + 2 + LINGER) == NOW + 2 + BACKOFF_FIRST_S, "the shard pauses, not the lane alone"


def test_a_shard_of_which_nothing_is_known_to_be_stored_pauses_as_a_whole(line):
    line.offer(LEFT[:3])
    doubt(line, line.request(NOW + LINGER), [Outcome.UNKNOWN] * 3, NOW + 1)
    line.offer(LEFT[3:5], now=NOW + 1)
    assert line.scheduler.next_request(NOW + 1 + LINGER) == NOW + 1 + BACKOFF_FIRST_S


def test_a_drain_waits_for_what_is_in_doubt(line):
    batch = line.offer([LEFT[0], LEFT[0], LEFT[1], RIGHT[0]])
    tracker = AckTracker(0)
    tracker.admit(batch)
    request = line.request(NOW + LINGER)
    first = [offset == 2 for offset in offsets(request)]
    (row,) = doubt(line, request, [Outcome.UNKNOWN if it else Outcome.STORED for it in first], NOW + 1).unknown
    assert line.scheduler.under_way_to(line.lanes[0]) == tracker.first_unattempted() == 3
    line.scheduler.truncate(line.lanes[0], 3)
    acknowledge(doubt(line, line.request(NOW + 2), [Outcome.STORED], NOW + 2).stored)
    assert line.lanes[0].unresolved == 1
    acknowledge(line.scheduler.settled([(row, "shard-0-0", "1")], [], NOW + 3).stored)
    assert (line.lanes[0].unresolved, line.lanes[0].unresolved_bytes, line.lanes[0].waiting) == (0, 0, {})


def test_of_an_abandoned_partition_they_end_when_they_are_settled(line):
    line.offer([LEFT[0], LEFT[0], LEFT[1]])
    first, second = lose(line.scheduler, line.request(NOW + LINGER), NOW + 1).unknown
    line.scheduler.truncate(line.lanes[0], 0)
    assert (line.lanes[0].unresolved, len(line.scheduler.in_doubt())) == (2, 2)
    assert line.scheduler.settled([(first, "shard-0-0", "1")], [second], NOW + 2).stored == [first]
    assert (line.lanes[0].unresolved, line.lanes[0].unresolved_bytes, line.lanes[0].waiting) == (0, 0, {})
    assert line.scheduler.next_request(NOW + 3) == NEVER


def test_no_pause_is_remembered_of_an_abandoned_partition(line):
    line.offer(LEFT[:2])
    request = line.request(NOW + LINGER)
    line.scheduler.truncate(line.lanes[0], 0)
    line.answer(request, [Outcome.UNKNOWN, Outcome.STORED], NOW + 1)
    assert (line.lanes[0].unresolved, line.scheduler._resting._pauses) == (0, {})


def test_of_a_detached_partition_they_are_forgotten_at_once_and_later_ones_too(line):
    line.offer([LEFT[0], LEFT[0], LEFT[1]])
    line.offer([LEFT[2]], partition=1)
    doubt(line, line.request(NOW + LINGER), [Outcome.UNKNOWN, Outcome.STORED, Outcome.UNKNOWN], NOW + 1)
    line.offer([LEFT[3]])
    request = line.request(NOW + 2)
    line.scheduler.detach(line.lanes[0])
    assert [row[0].lanes_of for row in line.scheduler.in_doubt()] == [line.lanes[1]]
    assert line.lanes[0].unresolved == 1, "under way"
    assert lose(line.scheduler, request, NOW + 3).unknown == []
    assert (line.lanes[0].unresolved, line.lanes[0].unresolved_bytes, line.lanes[0].waiting) == (0, 0, {})
    assert [row[0].lanes_of for _, row in line.scheduler.heads()] == [line.lanes[1]]


def test_they_count_where_a_partition_stands_still(line):
    line.offer([LEFT[0]] * 3 + [RIGHT[0]])
    doubt(line, line.request(NOW + LINGER), [Outcome.UNKNOWN] * 2, NOW + 1)
    assert sorted(shard for shard, _ in line.scheduler.heads()) == ["shard-0-0", "shard-0-1"]
    assert counted_rows(line.scheduler.heads(), {line.lanes[0]: 80}, 2)[line.lanes[0]] == 4


def test_a_record_that_landed_on_a_shard_that_is_not_known_says_so(line):
    line.offer(LEFT[:3])
    first, second, third = lose(line.scheduler, line.request(NOW + LINGER), NOW + 1).unknown
    line.scheduler.replace_shard_map(ShardMap(even_shard_map(2, 1).shards, even_shard_map(2).shards), [1.0] * 2)
    assert not line.scheduler.settled([(first, "shard-0-0", "1")], [], NOW + 2).stale_shard_map, "a parent that is closed"
    assert not line.scheduler.settled([(second, "shard-1-0", "1")], [], NOW + 2).stale_shard_map
    settled = line.scheduler.settled([(third, "shard-2-0", "1")], [], NOW + 2)
    assert (settled.stored, settled.stale_shard_map) == ([third], True)
