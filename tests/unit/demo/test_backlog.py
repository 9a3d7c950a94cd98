"""The producer of the demonstration stays within what the embedded Kafka keeps, and never stops for good."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.demo.backlog import RECORD_OVERHEAD_BYTES, Backlog
from bridge.demo.producer import AHEAD_BYTES_MAX
from bridge.embedded.kafka import PARTITION_BYTES_MAX

SIZE = 100
COUNTED = SIZE + RECORD_OVERHEAD_BYTES


def filled(records: int, bytes_max: int) -> Backlog:
    backlog = Backlog(2, bytes_max)
    for _ in range(records):
        assert backlog.has_room(0, SIZE)
        backlog.produced(0, SIZE)
    return backlog


def test_a_full_partition_waits_and_its_neighbour_does_not():
    backlog = filled(3, 3 * COUNTED)
    assert not backlog.has_room(0, SIZE)
    assert backlog.has_room(1, SIZE)
    assert (backlog.bytes(0), backlog.records(0), backlog.waiting) == (3 * COUNTED, 3, 3)


def test_a_commit_makes_room_for_as_much_as_it_covers():
    backlog = filled(3, 3 * COUNTED)
    backlog.committed(0, 1)
    assert backlog.has_room(0, SIZE)
    assert not backlog.has_room(0, SIZE + 1)
    backlog.committed(0, 3)
    assert backlog.waiting == 0


def test_a_commit_that_is_not_there_or_goes_back_changes_nothing():
    backlog = filled(3, 3 * COUNTED)
    backlog.committed(0, 2)
    backlog.committed(0, -1001)
    backlog.committed(0, 1)
    assert backlog.records(0) == 1


def test_a_commit_beyond_the_end_is_an_error():
    with pytest.raises(ValueError, match="offset 4 is committed, 3 were produced"):
        filled(3, 3 * COUNTED).committed(0, 4)


def test_the_number_of_records_is_limited_as_well():
    backlog = Backlog(1, 1_000_000, records_max=2)
    for _ in range(2):
        assert backlog.has_room(0, 1)
        backlog.produced(0, 1)
    assert not backlog.has_room(0, 1)


def test_a_record_above_the_limit_goes_alone():
    backlog = Backlog(1, SIZE)
    assert backlog.has_room(0, 10 * SIZE)
    backlog.produced(0, 10 * SIZE)
    assert not backlog.has_room(0, 1)


def test_the_limit_leaves_the_embedded_kafka_room():
    assert AHEAD_BYTES_MAX <= 3 * 1024 * 1024 < PARTITION_BYTES_MAX


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 5)), max_size=200))
def test_never_more_than_the_limit_is_waiting(steps: list[tuple[int, int]]):
    backlog, limit = Backlog(1, 200), 200
    committed = 0
    for size, commit in steps:
        if backlog.has_room(0, size):
            backlog.produced(0, size)
        committed = min(backlog.end(0), committed + commit)
        backlog.committed(0, committed)
        assert backlog.bytes(0) <= limit
        assert backlog.records(0) == backlog.end(0) - committed
