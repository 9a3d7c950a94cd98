"""From messages to columns: what of a hand-over is a row."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bridge.adapters.kafka.columns import events_of
from bridge.core.records import SourceBatch
from tests.simulation.kafka.messages import SimMessage

PLACE = ("orders", 0)


@given(st.lists(st.integers(0, 30), max_size=40))
def test_offsets_ascend_in_a_batch_whatever_is_handed_over_again(offsets):
    messages: list[Any] = [SimMessage(PLACE, offset, 7, b"k", b"%d" % offset) for offset in offsets]
    events = events_of(messages)
    batches = [event for event in events if isinstance(event, SourceBatch)]
    firsts = [offset for i, offset in enumerate(offsets) if offset > max(offsets[:i], default=-1)]
    assert [batch.offsets for batch in batches] == ([firsts] if firsts else [])
    for batch in batches:
        assert batch.next_offset == firsts[-1] + 1
        assert batch.values == [b"%d" % offset for offset in firsts]
