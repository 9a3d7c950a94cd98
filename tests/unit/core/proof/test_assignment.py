"""Lanes that may have written the same records: the most records are used, everyone comes to the same, and it stays so."""

from itertools import product
from time import process_time

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.proof.assignment import LANES_MAX, NOBODY, AlikeRecord, LaneRow, LaneRows, assign

ANY = (0, 10**6)


def rows(*digests: int, window: tuple[float, float] = ANY, after: int = -1) -> list[LaneRow]:
    return [LaneRow(digest, *window, after) for digest in digests]


def records(*digests: int) -> list[AlikeRecord]:
    return [AlikeRecord(position, 10 * position, digest) for position, digest in enumerate(digests)]


def test_one_lane_takes_a_prefix_in_order():
    assert assign([rows(1, 2, 1)], records(2, 1, 1, 2)).lanes == [NOBODY, 0, NOBODY, 0]
    assert assign([rows(1, 1, 1)], records(1, 1)).lanes == [0, 0]
    assert assign([rows(1, 2)], []).lanes == []


def test_who_goes_on_takes_what_the_other_could_take_later():
    """The first record is of the lane that has the second: the other is left with the third."""
    assert assign([rows(1), rows(1, 2)], records(1, 2, 1)).lanes == [1, 1, 0]
    assert assign([rows(1, 2), rows(1)], records(1, 2, 1)).lanes == [0, 0, 1]


def test_windows_and_what_is_known():
    late, early = rows(1, window=(15, 100)), rows(1, window=(0, 9))
    assert assign([late, early], records(1, 1, 1)).lanes == [1, NOBODY, 0]
    assert assign([rows(1, 2, after=1)], records(1, 2, 1, 2)).lanes == [NOBODY, NOBODY, 0, 0]


def test_where_each_row_is_a_lane_the_most_are_used():
    assert assign([rows(1, window=(0, 100)), rows(1, window=(0, 15))], records(1, 1, 1)).lanes == [1, 0, NOBODY]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[LaneRows], list[AlikeRecord]]:
    """Lanes, and records that they wrote, shuffled, of each a prefix."""
    lanes: list[LaneRows] = []
    for _ in range(draw(st.integers(1, 3))):
        digests = draw(st.lists(st.integers(1, 2), min_size=1, max_size=4))
        lanes.append(rows(*digests))
    left = [list(lane[: draw(st.integers(0, len(lane)))]) for lane in lanes]
    written = []
    while any(left):
        lane = draw(st.sampled_from([lane for lane in left if lane]))
        written.append(lane.pop(0).digest)
    return lanes, records(*written)


def heads_ok(lanes: list[LaneRows], found: list[AlikeRecord], assigned: tuple[int, ...]) -> bool:
    heads = [0] * len(lanes)
    for record, lane in zip(found, assigned, strict=True):
        if heads[lane] >= len(lanes[lane]) or lanes[lane][heads[lane]].digest != record.digest:
            return False
        heads[lane] += 1
    return True


@given(world=worlds())
def test_what_was_written_is_used_up_in_the_first_way_there_is(world):
    lanes, found = world
    assigned = assign(lanes, found).lanes
    every = (way for way in product(range(len(lanes)), repeat=len(found)) if heads_ok(lanes, found, way))
    assert NOBODY not in assigned
    assert heads_ok(lanes, found, tuple(assigned))
    if any(len(lane) > 1 for lane in lanes):
        assert tuple(assigned) == next(every)


@given(world=worlds(), gone=st.integers(0, 2))
def test_the_others_come_to_the_same_when_one_is_done(world, gone):
    lanes, found = world
    gone %= len(lanes)
    assigned = assign(lanes, found).lanes
    left = [(record, lane) for record, lane in zip(found, assigned, strict=True) if lane != gone]
    rest = [lane for number, lane in enumerate(lanes) if number != gone]
    if all(len(lane) == 1 for lane in rest) != all(len(lane) == 1 for lane in lanes):
        return
    expected = [lane - (lane > gone) for _, lane in left]
    assert assign(rest, [record for record, _ in left]).lanes == expected


def test_many_lanes_and_records_cost_little():
    began = process_time()
    alike = records(*[1] * 2000)
    assert NOBODY not in assign([rows(1)] * 2000, alike).lanes
    assert NOBODY not in assign([rows(*[1] * 1000)] * 2, alike).lanes
    assert NOBODY not in assign([rows(1, 1)] * 10 * LANES_MAX, records(*[1] * 20 * LANES_MAX)).lanes
    assert process_time() - began < 10


def test_that_not_every_way_was_followed_is_told():
    assert assign([rows(1, 1, 1)] * 2, records(1, 1, 1)).is_exact
    assert not assign([rows(*[1] * 300)] * 3, records(*[1] * 300)).is_exact
    assert not assign([rows(1, 1)] * (LANES_MAX + 1), records(1, 1)).is_exact
