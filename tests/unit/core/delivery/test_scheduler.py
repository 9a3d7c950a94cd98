"""The scheduler by example: when a request goes, what is in it, and what an answer does. Laws: see test_scheduler_laws."""

from collections.abc import Sequence
from itertools import count
from sys import getrefcount

import pytest

from bridge.core.delivery.key_strategies import KeyCache, MappingSpec
from bridge.core.delivery.lanes import MappedBatch, PartitionLanes
from bridge.core.delivery.mapping import Mapper
from bridge.core.delivery.partition_keys import hash_key
from bridge.core.delivery.ready_shards import NEVER
from bridge.core.delivery.requests import Request, RequestLimits, Resolution
from bridge.core.delivery.scheduler import FATAL_BACKOFF_FIRST_S, RUN_ROWS, Scheduler
from bridge.core.delivery.shard_queues import BACKOFF_FIRST_S, BACKOFF_MAX_S
from bridge.core.records import Outcome, Partition, PutAnswer
from tests.unit.core.delivery.columns import even_shard_map, source_batch

NOW, LINGER = 1000.0, 0.02
LIMITS = RequestLimits(records_max=10, bytes_max=1_000_000)
LEFT = [key for key in (b"key-%d" % n for n in range(100)) if hash_key(key.decode()) < 2**127]
RIGHT = [key for key in (b"key-%d" % n for n in range(100)) if hash_key(key.decode()) >= 2**127]


class Fixture:
    """A scheduler over two shards, and partitions whose offsets count up."""

    def __init__(self, share: float = 1.0) -> None:
        self.scheduler = Scheduler(LIMITS, even_shard_map(2), share)
        self._offsets = {number: count() for number in range(3)}
        self.lanes = [PartitionLanes(Partition("orders", number), LINGER) for number in range(3)]

    def offer(
        self,
        keys: list[bytes],
        partition: int = 0,
        now: float = NOW,
        value: bytes = b"x",
        values: Sequence[bytes] | None = None,
    ) -> MappedBatch:
        lanes = self.lanes[partition]
        every = [value] * len(keys) if values is None else values
        rows = source_batch([(next(self._offsets[partition]), *row) for row in zip(keys, every, strict=True)], lanes.partition)
        batch, rejection = Mapper(MappingSpec("key", "orders"), KeyCache()).map(rows, lanes)
        assert rejection is None
        self.scheduler.offer(batch, now)
        return batch

    def request(self, now: float) -> Request:
        request = self.scheduler.next_request(now)
        assert isinstance(request, Request)
        return request

    def answer(self, request: Request, outcomes: list[Outcome], now: float, again: bool = True) -> Resolution:
        """`again`: what is in doubt goes again at once."""
        shards = [shard for shard, first, end in request.runs for _ in range(first, end)]
        resolution = self.scheduler.resolve(request, PutAnswer(None, outcomes, shards, ["1"] * len(outcomes)), now)
        self.scheduler.settled([], resolution.unknown if again else [], now)
        return resolution

    def whole(self, request: Request, outcome: Outcome, now: float) -> Resolution:
        resolution = self.scheduler.resolve(request, PutAnswer(outcome, code="Test"), now)
        self.scheduler.settled([], resolution.unknown, now)
        return resolution


@pytest.fixture
def line() -> Fixture:
    return Fixture()


def offsets(request: Request) -> list[int]:
    return [batch.offsets[i] for batch, i, *_ in request.rows]


def test_without_records_there_is_nothing_to_wake_for(line):
    assert line.scheduler.next_request(NOW) == NEVER


def test_a_few_records_linger(line):
    line.offer(LEFT[:2])
    assert line.scheduler.next_request(NOW) == NOW + LINGER
    line.offer(LEFT[2:4], now=NOW + LINGER / 2)
    assert line.scheduler.next_request(NOW + LINGER / 2) == NOW + LINGER
    request = line.request(NOW + LINGER)
    assert offsets(request) == [0, 1, 2, 3]
    assert request.runs == [("shard-0-0", 0, 4)]
    assert request.size == sum(len(key) + 1 for key in LEFT[:4])
    assert line.scheduler.next_request(NOW + LINGER) == NEVER


def test_a_full_request_goes_at_once(line):
    line.offer([*LEFT[:RUN_ROWS], *RIGHT[:RUN_ROWS]])
    request = line.request(NOW)
    assert len(request) == LIMITS.records_max
    assert {shard for shard, _, _ in request.runs} == {"shard-0-0", "shard-0-1"}


def test_a_request_of_few_rows_for_each_shard_waits_for_more_as_long_as_the_linger(line):
    line.offer([*LEFT[: RUN_ROWS - 2], *RIGHT[: RUN_ROWS - 2]])
    assert line.scheduler.next_request(NOW) == NOW + LINGER
    assert len(line.request(NOW + LINGER)) == LIMITS.records_max


def test_a_lane_has_one_record_under_way(line):
    line.offer([LEFT[0], LEFT[0], LEFT[1], LEFT[0]])
    request = line.request(NOW + LINGER)
    assert offsets(request) == [0, 2]
    assert line.scheduler.next_request(NOW + 1) == NEVER
    line.answer(request, [Outcome.STORED, Outcome.UNKNOWN], NOW + 1)
    assert sorted(offsets(line.request(NOW + 2))) == [1, 2]


def test_a_throttled_shard_does_not_hold_the_others():
    line = Fixture(share=0.01)  # 9 records a second, one in a slot
    line.offer([*LEFT[:5], *RIGHT[:1]])
    request = line.request(NOW + LINGER)
    assert sorted(offsets(request)) == [0, 5]
    left_first = request.runs[0][0] == "shard-0-0"
    outcomes = [Outcome.THROTTLED, Outcome.STORED] if left_first else [Outcome.STORED, Outcome.THROTTLED]
    resolution = line.answer(request, outcomes, NOW + 0.03)
    assert resolution.throttled == {"shard-0-0": 1}
    line.offer(RIGHT[1:2], now=NOW + 0.03)
    assert line.scheduler.next_request(NOW + 0.05) == pytest.approx(NOW + 0.1)
    assert sorted(offsets(line.request(NOW + 0.101))) == [0, 6]
    used = line.scheduler.used_ratios(NOW + 0.101)
    assert used == {"shard-0-0": 2 / 9, "shard-0-1": 2 / 9}


def test_failures_of_a_shard_pause_that_shard_alone(line):
    line.offer([LEFT[0], RIGHT[0]])
    request = line.request(NOW + LINGER)
    outcomes = [Outcome.TRANSIENT if shard == "shard-0-0" else Outcome.STORED for shard, _, _ in request.runs]
    line.answer(request, outcomes, NOW + 1)
    line.offer([LEFT[1], RIGHT[1]], now=NOW + 1)
    assert offsets(line.request(NOW + 1 + LINGER)) == [3]
    assert line.scheduler.next_request(NOW + 1.05) == pytest.approx(NOW + 1 + BACKOFF_FIRST_S)
    assert offsets(line.request(NOW + 1.3)) == [0, 2]


def test_a_request_that_failed_as_a_whole_goes_again_after_a_growing_pause(line):
    line.offer(LEFT[:3])
    now, pauses = NOW + LINGER, []
    for _ in range(9):
        request = line.request(now)
        assert offsets(request) == [0, 1, 2]
        resolution = line.whole(request, Outcome.UNKNOWN, now)
        assert resolution.unknown == request.rows
        wake = line.scheduler.next_request(now)
        assert isinstance(wake, float)
        pauses.append(wake - now)
        now = max(wake, now + LINGER)
    assert pauses == pytest.approx([min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2**n) for n in range(9)])
    line.answer(line.request(now), [Outcome.STORED] * 3, now)
    line.offer(LEFT[:1], now=now)
    line.whole(line.request(now + LINGER), Outcome.TRANSIENT, now + LINGER)
    assert line.scheduler.next_request(now + LINGER) == pytest.approx(now + LINGER + BACKOFF_FIRST_S)


def test_what_needs_a_person_is_tried_seldom(line):
    line.offer(LEFT[:1])
    line.whole(line.request(NOW + LINGER), Outcome.FATAL, NOW + 1)
    assert line.scheduler.next_request(NOW + 1) == NOW + 1 + FATAL_BACKOFF_FIRST_S


def test_a_throttled_request_counts_for_each_shard(line):
    line.offer([*LEFT[:2], *RIGHT[:1]])
    assert line.whole(line.request(NOW + LINGER), Outcome.THROTTLED, NOW + 1).throttled == {"shard-0-0": 2, "shard-0-1": 1}


def test_a_rejected_request_is_sent_singly_and_the_bad_record_ends_its_partition(line):
    bad = line.offer([LEFT[0], LEFT[1], LEFT[0], LEFT[2]], partition=0)
    line.offer([RIGHT[0], RIGHT[0]], partition=1)
    request = line.request(NOW + LINGER)
    assert len(request) == 4
    resolution = line.whole(request, Outcome.REJECTED, NOW + 1)
    assert (resolution.stored, resolution.rejected) == ([], [])
    rejected, sent, now = [], [], NOW + 1
    for _ in range(20):
        single = line.scheduler.next_request(now)
        if single == NEVER:
            break
        if isinstance(single, float):
            now = single
            continue
        assert len(single) == 1
        row = single.rows[0]
        sent.append((row[0].lanes_of.partition.number, row[0].offsets[row[1]]))
        if row[:2] == (bad, 1):
            rejected += line.whole(single, Outcome.REJECTED, now).rejected
        else:
            line.answer(single, [Outcome.STORED], now)
    assert [(row[:2], code) for row, code in rejected] == [((bad, 1), "Test")]
    assert sorted(sent) == [(0, 0), (0, 1), (1, 0), (1, 1)], "offset 2 waited behind 0, above the bad record"
    assert [lanes.unresolved for lanes in line.lanes] == [0, 0, 0]
    assert line.lanes[0].ends_at == 1
    assert not any(lanes.waiting for lanes in line.lanes)


def test_truncate_forgets_what_is_not_under_way(line):
    line.offer([LEFT[0], LEFT[1], LEFT[0], RIGHT[0]])
    request = line.request(NOW + LINGER)
    line.offer([LEFT[2], LEFT[1]])
    line.offer([LEFT[3]], partition=1)
    line.scheduler.truncate(line.lanes[0], 2)
    assert line.lanes[0].unresolved == 3
    outcomes = [Outcome.STORED if batch.offsets[i] != 3 else Outcome.UNKNOWN for batch, i, *_ in request.rows]
    line.answer(request, outcomes, NOW + 1)
    assert (line.lanes[0].unresolved, line.lanes[0].unresolved_bytes, line.lanes[0].waiting) == (0, 0, {})
    others = line.request(NOW + 2)
    assert [batch.lanes_of.partition.number for batch, *_ in others.rows] == [1]


def test_a_drain_finishes_what_stands_below_its_end(line):
    line.offer([LEFT[0], LEFT[0], LEFT[1]])
    request = line.request(NOW + LINGER)
    line.scheduler.truncate(line.lanes[0], 3)
    line.answer(request, [Outcome.STORED, Outcome.THROTTLED], NOW + 1)
    again = line.request(NOW + 2)
    assert sorted(offsets(again)) == [1, 2]
    line.answer(again, [Outcome.STORED] * 2, NOW + 3)
    assert line.lanes[0].unresolved == 0


def test_a_new_shard_map_keeps_the_order_of_lanes(line):
    line.offer([LEFT[0], LEFT[0], LEFT[1], LEFT[0]])
    request = line.request(NOW + LINGER)
    line.scheduler.replace_shard_map(even_shard_map(4, generation=1), [1.0] * 4)
    assert line.scheduler.next_request(NOW + 1) == NEVER, "a record of the parent is still under way"
    line.answer(request, [Outcome.UNKNOWN, Outcome.STORED], NOW + 1)
    sent = []
    for step in range(3):
        now = NOW + 2 + step
        request = line.request(now)
        assert all(shard.startswith("shard-1-") for shard, _, _ in request.runs)
        sent += offsets(request)
        assert not line.answer(request, [Outcome.STORED], now).stale_shard_map
    assert sent == [0, 1, 3]


def test_an_answer_that_names_another_shard_says_so(line):
    line.offer(LEFT[:2])
    request = line.request(NOW + LINGER)
    answer = PutAnswer(None, [Outcome.STORED] * 2, ["shard-0-0", "elsewhere"], ["1", "2"])
    resolution = line.scheduler.resolve(request, answer, NOW + 1)
    assert resolution.stale_shard_map
    assert resolution.stored == request.rows


def test_stored_rows_let_go_of_their_data(line):
    values = [bytes(1000), bytes(2000)]
    batch = line.offer(LEFT[:2], values=values)
    before = list(map(getrefcount, values))
    request = line.request(NOW + LINGER)
    line.answer(request, [Outcome.STORED, Outcome.THROTTLED], NOW + 1)
    del request
    assert [count - now for count, now in zip(before, map(getrefcount, values), strict=True)] == [1, 0]
    assert len(batch) == 2
    assert line.lanes[0].unresolved == 1


def test_a_record_above_a_whole_request_is_an_error_and_never_an_empty_request(line):
    line.offer(LEFT[:1], value=b"x" * LIMITS.bytes_max)
    with pytest.raises(ValueError, match="does not fit"):
        line.scheduler.next_request(NOW + LINGER)


def test_records_that_do_not_fit_together_go_one_after_the_other(line):
    line.offer(LEFT[:2], value=b"x" * (LIMITS.bytes_max // 2))
    for now in (NOW + LINGER, NOW + 1.5):
        request = line.request(now)
        assert len(request) == 1
        assert request.size <= LIMITS.bytes_max
        line.answer(request, [Outcome.STORED], now)


def test_rows_of_a_batch_that_were_ready_go_before_those_that_waited_in_their_lane_and_before_later_batches(line):
    """Else a lane with many records is sent to the end of its batch first, and a drain has to finish all of the batch."""
    line.offer([LEFT[0]] * 5 + LEFT[:25])
    line.offer(LEFT[30:40])
    sent: list[int] = []
    for step in range(4):
        request = line.request(NOW + 1 + step)
        sent += offsets(request)
        line.answer(request, [Outcome.STORED] * len(request), NOW + 1.5 + step)
    first_of_lanes = [0, *range(6, 30)]
    assert sent[:26] == [*first_of_lanes, 1]
    assert set(sent[26:]) <= {2, 3, *range(30, 40)}
