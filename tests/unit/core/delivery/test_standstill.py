"""What counts of a partition that stands still, and lanes that rest by themselves while their shard goes on."""

import pytest

from bridge.core.delivery.lanes import PartitionLanes, offset_of
from bridge.core.delivery.ready_shards import NEVER
from bridge.core.delivery.requests import Request
from bridge.core.delivery.resting_rows import RestingRows
from bridge.core.delivery.scheduler import Scheduler
from bridge.core.delivery.shard_queues import BACKOFF_FIRST_S, BACKOFF_MAX_S
from bridge.core.delivery.standstill import counted_rows, passed_rows
from bridge.core.records import Outcome, Partition
from tests.unit.core.delivery.columns import even_shard_map
from tests.unit.core.delivery.test_scheduler import LEFT, LINGER, NOW, RIGHT, Fixture, offsets

ALLOWED = 80


@pytest.fixture
def line() -> Fixture:
    return Fixture()


def counted(scheduler: Scheduler, lanes: PartitionLanes, shards: int) -> int:
    return counted_rows(scheduler.heads(), {lanes: ALLOWED}, shards)[lanes]


@pytest.mark.parametrize(("shards", "allowed"), [(1, 40), (2, 40), (3, 40), (4, 20), (100, 20)])
def test_the_rows_of_a_shard_count_for_a_part_only(line, shards, allowed):
    line.offer(LEFT[:40])
    assert counted(line.scheduler, line.lanes[0], shards) == allowed
    line.offer(RIGHT[:5])
    assert counted(line.scheduler, line.lanes[0], shards) == allowed + 5


def test_one_shard_alone_may_have_all_of_it():
    line = Fixture()
    line.offer([key for key in LEFT[:40] for _ in range(3)])
    assert counted(line.scheduler, line.lanes[0], 1) == ALLOWED


def test_the_rows_of_a_lane_count_for_an_eighth(line):
    line.offer([LEFT[0]] * 50 + LEFT[1:4])
    assert counted(line.scheduler, line.lanes[0], 2) == ALLOWED // 8 + 3


def test_each_partition_counts_for_itself(line):
    line.offer(LEFT[:3], partition=0)
    line.offer(LEFT[:7], partition=1)
    allowances = {line.lanes[0]: ALLOWED, line.lanes[2]: ALLOWED}
    assert counted_rows(line.scheduler.heads(), allowances, 2) == {line.lanes[0]: 3, line.lanes[2]: 0}


def test_rows_count_wherever_they_wait(line):
    """Ready, under way, alone after a refused request, resting: each lane once, with its shard."""
    line.offer(LEFT[:4] + RIGHT[:2] + [LEFT[0]])
    request = line.request(NOW + LINGER)
    shards = {shard for shard, _ in line.scheduler.heads()}
    assert (shards, counted(line.scheduler, line.lanes[0], 2)) == ({"shard-0-0", "shard-0-1"}, 7)
    line.answer(request, [Outcome.TRANSIENT] + [Outcome.STORED] * 5, NOW + LINGER)
    assert counted(line.scheduler, line.lanes[0], 2) == 2
    line.offer(LEFT[5:8])
    line.whole(line.request(NOW + 2 * LINGER), Outcome.REJECTED, NOW + 2 * LINGER)
    assert counted(line.scheduler, line.lanes[0], 2) == 5


@pytest.mark.parametrize(
    ("open_rows", "unresolved", "counted", "passed"),
    [
        (100, 100, 100, 0),  # nothing went past, everything counts
        (100, 100, 20, 0),  # nothing goes past: what waits for a full shard counts too
        (100, 40, 40, 60),
        (100, 40, 10, 90),
        (100, 80, 10, 40),  # more waits than went past
    ],
)
def test_as_much_is_forgiven_as_went_past(open_rows, unresolved, counted, passed):
    assert passed_rows(open_rows, unresolved, counted) == passed


def test_a_record_that_fails_among_others_of_its_shard_rests_alone(line):
    line.offer([*LEFT[:3], LEFT[0]])
    now = NOW + LINGER
    line.answer(line.request(now), [Outcome.TRANSIENT, Outcome.STORED, Outcome.STORED], now)
    line.offer(LEFT[3:5], now=now)
    assert offsets(line.request(now + LINGER)) == [4, 5], "its shard goes on"
    assert line.scheduler.next_request(now + LINGER) == now + BACKOFF_FIRST_S
    again = now + BACKOFF_FIRST_S
    assert line.scheduler.next_request(again) == again + LINGER
    request = line.request(again + LINGER)
    assert offsets(request) == [0]
    line.answer(request, [Outcome.STORED], again + LINGER)
    assert offsets(line.request(again + 2 * LINGER)) == [3], "what stood behind it in its lane"


def test_its_pause_grows_while_its_shard_goes_on_and_ends_when_it_is_stored(line):
    line.offer(LEFT[:2])
    now = NOW + LINGER
    line.answer(line.request(now), [Outcome.UNKNOWN, Outcome.STORED], now)
    pauses, failed_at = list[float](), now
    while len(pauses) < 8:
        request, now = until_request(line, now)
        if 0 in offsets(request):
            pauses.append(now - failed_at)
            failed_at = now
            line.offer([LEFT[5]], now=now)
        line.answer(request, [Outcome.STORED if offset else Outcome.UNKNOWN for offset in offsets(request)], now)
    assert pauses == pytest.approx([min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2**n) for n in range(8)], abs=2 * LINGER)
    for _ in range(2):
        request, now = until_request(line, now)
        line.answer(request, [Outcome.STORED] * len(request), now)
    assert [*line.scheduler.heads()] == []


def until_request(line: Fixture, now: float) -> tuple[Request, float]:
    """The next request, and when it goes."""
    while not isinstance(answer := line.scheduler.next_request(now), Request):
        now = answer
    return answer, now


def test_a_shard_of_which_nothing_is_stored_pauses_as_a_whole(line):
    line.offer(LEFT[:3])
    now = NOW + LINGER
    line.answer(line.request(now), [Outcome.TRANSIENT] * 3, now)
    line.offer(LEFT[3:5], now=now)
    assert line.scheduler.next_request(now + LINGER) == now + BACKOFF_FIRST_S
    assert offsets(line.request(now + BACKOFF_FIRST_S)) == [0, 1, 2, 3, 4]


def test_a_partition_that_leaves_tries_what_rests_at_once_and_forgets_the_rest(line):
    line.offer([*LEFT[:4], LEFT[0]])
    now = NOW + LINGER
    line.answer(line.request(now), [Outcome.TRANSIENT, Outcome.STORED, Outcome.TRANSIENT, Outcome.STORED], now)
    line.scheduler.truncate(line.lanes[0], 1)
    assert line.lanes[0].unresolved == 1
    line.scheduler.next_request(now)
    request = line.request(now + LINGER)
    assert offsets(request) == [0]
    line.answer(request, [Outcome.TRANSIENT], now + LINGER)
    line.scheduler.truncate(line.lanes[0], 0)
    assert (line.lanes[0].unresolved, line.lanes[0].waiting) == (0, {})
    assert [*line.scheduler.heads()] == []


def test_a_partition_that_leaves_is_finished_before_others_go_on(line):
    line.offer([*RIGHT[:20], *RIGHT[:20]], partition=1)
    line.offer([RIGHT[20], RIGHT[20], *RIGHT[21:23]])
    line.scheduler.truncate(line.lanes[0], 4)
    sent: list[tuple[int, int]] = []
    for step in range(3):
        request = line.request(NOW + 1 + step)
        sent += [(batch.lanes_of.partition.number, batch.offsets[i]) for batch, i, *_ in request.rows]
        line.answer(request, [Outcome.STORED] * len(request), NOW + 1.5 + step)
    assert {(0, 0), (0, 2), (0, 3)} <= set(sent[:10])
    assert (0, 1) in sent[10:20]
    assert line.lanes[0].unresolved == 0


def test_what_rests_finds_its_shard_after_a_reshard(line):
    line.offer(LEFT[:2])
    now = NOW + LINGER
    line.answer(line.request(now), [Outcome.TRANSIENT, Outcome.STORED], now)
    line.scheduler.replace_shard_map(even_shard_map(2, generation=1), [1.0, 1.0])
    assert line.request(now + BACKOFF_FIRST_S).runs[0][0] == "shard-1-0"


def test_nothing_rests_at_first():
    resting = RestingRows()
    assert (resting.next_due(), resting.due(NOW), [*resting]) == (NEVER, [], [])
    resting.truncate(PartitionLanes(Partition("orders", 0), 0.0))


def test_rows_of_several_refused_requests_go_again_oldest_first():
    line = Fixture()
    now, requests = NOW + LINGER, list[Request]()
    for first in (0, 10):
        line.offer(LEFT[first : first + 10], now=NOW)
        requests.append(line.request(now))
    for request in requests:
        line.answer(request, [Outcome.THROTTLED] * 10, now)
    assert offsets(line.request(now + 1)) == list(range(10))
    assert [offset_of(row) for _, row in line.scheduler.heads()][:10] == list(range(10, 20))
