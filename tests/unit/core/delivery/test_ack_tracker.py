"""The contiguous prefix: rows resolved in any order, offsets with holes, batches delivered twice."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delivery.ack_tracker import AckTracker, acknowledge
from bridge.core.delivery.key_strategies import KeyCache, MappingSpec
from bridge.core.delivery.lanes import MappedBatch, PartitionLanes, offset_of
from bridge.core.delivery.mapping import Mapper
from tests.unit.core.delivery.columns import ORDERS_0, source_batch


def mapped(offsets: list[int], next_offset: int | None = None) -> MappedBatch:
    batch, rejection = Mapper(MappingSpec("key", "orders"), KeyCache()).map(
        source_batch([(offset, b"key-%d" % offset, b"value") for offset in offsets], next_offset=next_offset),
        PartitionLanes(ORDERS_0, linger_s=0.0),
    )
    assert rejection is None
    return batch


OFFSETS = st.lists(st.integers(1, 5), min_size=1, max_size=12)


@given(batches=st.lists(OFFSETS, min_size=1, max_size=5), data=st.data())
def test_committable_never_passes_an_unresolved_offset_and_reaches_the_end(batches: list[list[int]], data: st.DataObject):
    tracker, admitted, end = AckTracker(0), [], 0
    for steps in batches:
        offsets = []
        for step in steps:
            end += step
            offsets.append(end)
        batch = mapped(offsets)
        tracker.admit(batch)
        admitted.append(batch)
        end += 1
    rows = [row for batch in admitted for row in batch.take_rows()]
    unresolved = set(map(offset_of, rows))
    for row in data.draw(st.permutations(rows)):
        acknowledge([row])
        unresolved.discard(offset_of(row))
        assert tracker.committable() == min(unresolved, default=end)
        assert tracker.open_rows() >= len(unresolved)
    assert tracker.open_rows() == 0
    assert tracker.oldest_unresolved_ms() is None


def test_rows_that_are_done_are_let_go_without_waiting_for_a_commit():
    tracker, batch = AckTracker(0), mapped([0, 1, 2])
    tracker.admit(batch)
    assert tracker.open_rows() == 3
    acknowledge(batch.take_rows())
    assert tracker.open_rows() == 0


def test_a_batch_without_rows_moves_past_the_markers_at_the_end():
    tracker = AckTracker(10)
    tracker.admit(mapped([], next_offset=13))
    assert tracker.committable() == tracker.read_to == 13


def test_records_handed_over_twice_are_admitted_once():
    tracker = AckTracker(0)
    tracker.admit(mapped([0, 1, 2]))
    again = tracker.unseen(source_batch([(offset, b"k", b"v") for offset in (1, 2, 3, 4)]))
    assert again.offsets == [3, 4]
    assert tracker.unseen(source_batch([(0, b"k", b"v")])).offsets == []


def test_first_unattempted_is_above_every_row_that_was_stored_or_waits_to_be_sent_again():
    tracker, first, second = AckTracker(0), mapped([0, 1, 2]), mapped([5, 6])
    tracker.admit(first)
    tracker.admit(second)
    assert tracker.first_unattempted() == 0
    first.attempted_again[1] = 1
    assert tracker.first_unattempted() == 2
    acknowledge(second.take_rows()[:1])
    assert tracker.first_unattempted() == 6


def test_rows_are_let_go_one_by_one_from_the_beginning():
    tracker, batch = AckTracker(0), mapped([0, 1, 2, 5])
    tracker.admit(batch)
    rows = batch.take_rows()
    acknowledge(rows[1:2])
    assert tracker.open_rows() == 4, "the first one is not resolved"
    acknowledge(rows[:1])
    assert tracker.open_rows() == 2
