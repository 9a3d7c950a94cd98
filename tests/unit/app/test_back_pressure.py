"""Which partitions wait: only those above their allowance, and none for ever."""

from collections.abc import Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.app.back_pressure import FULL_PART, HELD_PART, RATE_S, RECOUNT_S, SPAN_ROWS_MAX, STUCK_S, TICK_S, BackPressure
from bridge.app.partition_line import AHEAD_ROWS_MIN, DONE_ROW_BYTES, PartitionLine
from bridge.core.delivery.halts import Halt
from bridge.core.delivery.lanes import ROW_BYTES, MappedBatch, PartitionLanes
from bridge.core.records import Partition
from tests.unit.app.lines import admit, new_line, resolve
from tests.unit.core.delivery.columns import source_batch

BYTES_MAX = 100_000
ROWS = int(AHEAD_ROWS_MIN * (1 + HELD_PART))


class Pressure:
    """Back-pressure over some lines, and which of them the source has paused."""

    def __init__(self, *lines: PartitionLine, bytes_max: int = BYTES_MAX) -> None:
        self.lines = {line.partition: line for line in lines}
        self.paused: set[Partition] = set()
        self.calls = 0
        self.offering: list[PartitionLine] = []
        self.counted: dict[PartitionLanes, int] = {}
        self.pressure = BackPressure(bytes_max, self.lines.values, {"stream": self, "another": self}, self._pause, self._resume)

    def offer_held(self, line: PartitionLine) -> None:
        self.offering.append(line)

    def counted_rows(self, lines: Collection[PartitionLine]) -> Mapping[PartitionLanes, int]:
        """As told, else every unresolved row counts."""
        return {line.lanes: self.counted.get(line.lanes, line.lanes.unresolved) for line in lines}

    def _pause(self, partitions: Collection[Partition]) -> None:
        self.calls += 1
        self.paused |= set(partitions)

    def _resume(self, partitions: Collection[Partition]) -> None:
        self.calls += 1
        assert set(partitions) <= self.paused
        self.paused -= set(partitions)

    def arrive(self, line: PartitionLine, offsets: list[int], size: int) -> MappedBatch:
        before = line.buffered_bytes
        batch = admit(line, offsets, size)
        self.pressure.arrived(line, line.buffered_bytes - before)
        return batch


def test_only_the_partition_above_its_allowance_waits_and_only_once():
    full, other = new_line(0), new_line(1)
    pressure = Pressure(full, other)
    pressure.arrive(other, [0], 1000)
    assert pressure.paused == set()
    pressure.arrive(full, [0, 1], 20_000)
    assert (pressure.paused, full.paused, other.paused) == ({full.partition}, True, False)
    pressure.arrive(full, [2], 20_000)
    assert pressure.calls == 1
    assert pressure.pressure.buffered_bytes == sum(line.buffered_bytes for line in (full, other))


def test_many_small_records_count_by_their_rows():
    line = new_line()
    pressure = Pressure(line, bytes_max=10**9)
    pressure.arrive(line, list(range(ROWS)), 1)
    assert pressure.paused == set()
    pressure.arrive(line, [ROWS], 1)
    assert pressure.paused == {line.partition}


def test_it_goes_on_at_three_quarters_of_its_allowance():
    line = new_line()
    pressure = Pressure(line, bytes_max=8 * (1001 + ROW_BYTES))
    batch = pressure.arrive(line, list(range(5)), 1000)
    assert pressure.paused == {line.partition}
    resolve(line, batch, 0)
    pressure.pressure.left(1.0)
    assert pressure.paused == {line.partition}
    resolve(line, batch, 1)
    pressure.pressure.left(1.0 + RECOUNT_S)
    assert (pressure.paused, line.paused) == (set(), False)


def test_the_last_resolved_record_is_seen_by_the_tick():
    line = new_line()
    pressure = Pressure(line)
    pressure.pressure.left(1.0)
    batch = pressure.arrive(line, [0], BYTES_MAX)
    resolve(line, batch, 0)
    pressure.pressure.left(1.0 + RECOUNT_S / 2)
    assert pressure.paused == {line.partition}, "counted a moment ago"
    pressure.pressure.tick(1.0 + TICK_S)
    assert pressure.paused == set()
    assert pressure.pressure.buffered_bytes == 0


def test_halted_and_draining_partitions_are_not_resumed():
    halted, draining = new_line(0), new_line(1)
    pressure = Pressure(halted, draining)
    batches = [pressure.arrive(line, [0], BYTES_MAX) for line in (halted, draining)]
    assert len(pressure.paused) == 2
    halted.halt, draining.draining = Halt("tombstone", 1, "x"), True
    for line, batch in zip((halted, draining), batches, strict=True):
        resolve(line, batch, 0)
    pressure.pressure.left(1.0)
    assert len(pressure.paused) == 2


def test_a_partition_that_left_gives_its_room_to_the_others():
    leaving, staying = new_line(0), new_line(1)
    pressure = Pressure(leaving, staying)
    pressure.arrive(leaving, [0], BYTES_MAX)
    batch = pressure.arrive(staying, [0, 1], 20_000)
    resolve(staying, batch, 0)
    pressure.pressure.left(1.0)
    assert pressure.paused == {leaving.partition, staying.partition}
    del pressure.lines[leaving.partition]
    pressure.pressure.gone(leaving)
    pressure.pressure.recount()
    assert staying.partition not in pressure.paused
    assert pressure.pressure.buffered_bytes == staying.buffered_bytes


def test_a_fast_partition_may_read_further_ahead():
    line = new_line()
    pressure = Pressure(line, bytes_max=10**9)
    pressure.pressure.left(1.0)
    now, offset = 1.0, 0
    for _ in range(8):
        batch = pressure.arrive(line, list(range(offset, offset + 200)), 1)
        for row in range(200):
            resolve(line, batch, row)
        offset += 200
        now += RATE_S
        pressure.pressure.left(now)
    assert 700 < line.resolved_per_s <= 800
    pressure.arrive(line, list(range(offset, offset + 1000)), 1)
    assert pressure.paused == set()


def test_what_is_held_counts_and_is_offered_before_others_read_on():
    line, other = new_line(0), new_line(1)
    pressure = Pressure(line, other, bytes_max=10**9)
    batch = pressure.arrive(line, list(range(ROWS - 90)), 1)
    line.hold(source_batch([(ROWS + i, b"k", b"x" * 100) for i in range(100)], line.partition))
    pressure.pressure.arrived(line, 0)
    assert pressure.paused == {line.partition}
    for row in range(ROWS - 90):
        resolve(line, batch, row)
    pressure.pressure.left(1.0)
    assert (pressure.offering, pressure.paused) == ([line], set()), "a hundred rows are a third of its allowance"
    assert pressure.pressure.buffered_bytes == line.buffered_bytes == line.held_bytes == 100 * (100 + ROW_BYTES)


def test_many_held_bytes_pause_as_offered_ones_do():
    line = new_line()
    pressure = Pressure(line)
    line.hold(source_batch([(0, b"k", b"x" * BYTES_MAX)], line.partition))
    pressure.pressure.arrived(line, line.buffered_bytes)
    assert pressure.paused == {line.partition}


def move(pressure: Pressure, line: PartitionLine, rows: int) -> None:
    """So many records come in and are confirmed."""
    batch = pressure.arrive(line, list(range(line.tracker.read_to, line.tracker.read_to + rows)), 1)
    for row in range(rows):
        resolve(line, batch, row)


def test_a_partition_that_had_no_turn_may_have_open_what_its_neighbours_have():
    fast, late, idle, elsewhere = lines = [new_line(number) for number in range(4)]
    elsewhere.stream = "another"
    pressure = Pressure(*lines, bytes_max=10**9)
    pressure.arrive(elsewhere, [0], 1)
    for tick in range(100):
        move(pressure, fast, 500)
        move(pressure, late, 100)
        pressure.arrive(fast, [fast.tracker.read_to], 1)
        pressure.pressure.left(1.0 + tick * RATE_S)
    pressure.arrive(idle, [0], 1)
    assert 3900 < fast.ahead_rows <= 4010
    assert late.ahead_rows == idle.ahead_rows == pytest.approx(0.6 * fast.ahead_rows, rel=0.01), "the mean of fast and late"
    assert elsewhere.ahead_rows == AHEAD_ROWS_MIN


def test_a_partition_that_stands_still_goes_past_what_is_stuck_until_it_moves():
    line, other = new_line(0), new_line(1)
    pressure = Pressure(line, other, bytes_max=10**9)
    batch = pressure.arrive(line, list(range(ROWS)), 1)
    pressure.arrive(line, [ROWS], 1)
    assert pressure.paused == {line.partition}
    pressure.counted[line.lanes] = 5
    pressure.pressure.tick(1.0)
    for row in range(50, ROWS):
        resolve(line, batch, row)
    pressure.pressure.tick(1.0 + STUCK_S - 0.01)
    assert (line.passed_rows, pressure.paused) == (0, {line.partition})
    pressure.pressure.tick(1.0 + STUCK_S + RATE_S)
    assert line.passed_rows == ROWS + 1 - 5, "but five count"
    assert (line.room, pressure.paused) == (line.ahead_rows - 5, set())
    resolve(line, batch, 0)
    pressure.pressure.tick(1.0 + STUCK_S + 2 * RATE_S)
    assert line.passed_rows == (ROWS - 50) - line.ahead_rows // 2, "half, until it has caught up"
    assert line.room == line.ahead_rows - line.ahead_rows // 2 - 50


def test_going_past_has_a_bound_in_rows():
    line = new_line()
    pressure = Pressure(line, bytes_max=10**9)
    batch = pressure.arrive(line, list(range(60_000)), 1)
    for row in range(1, 60_000):
        resolve(line, batch, row)
    for tick in range(20):
        pressure.pressure.tick(1.0 + tick * RATE_S)
    line.steady_per_s = 10_000.0
    pressure.pressure.tick(1.0 + 20 * RATE_S)
    assert line.ahead_rows + line.passed_rows == SPAN_ROWS_MAX
    assert line.room == SPAN_ROWS_MAX - 60_000


def test_an_idle_partition_does_not_stand_still():
    line = new_line()
    pressure = Pressure(line)
    resolve(line, pressure.arrive(line, [0], 1), 0)
    for tick in range(4):
        pressure.pressure.tick(1.0 + tick * RATE_S)
    pressure.pressure.tick(1.0 + 10 * STUCK_S)
    pressure.arrive(line, [1, 2], 1)
    pressure.pressure.tick(1.0 + 10 * STUCK_S + RATE_S)
    assert not line.stuck
    assert line.passed_rows == 0


def test_rows_that_are_done_above_the_committable_offset_cost_memory_too():
    line = new_line()
    batch = admit(line, [0, 1, 2])
    resolve(line, batch, 1)
    resolve(line, batch, 2)
    assert line.buffered_bytes == batch.sizes[0] + ROW_BYTES + 2 * DONE_ROW_BYTES
    resolve(line, batch, 0)
    assert line.buffered_bytes == 0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["arrive", "resolve", "resolve", "tick"]),
        st.integers(0, 2),
        st.sampled_from([1, 900, 30_000, 2 * BYTES_MAX]),
        st.sampled_from([0.0, 0.001, 0.03, 0.4]),
    ),
    max_size=60,
)


@given(steps=STEPS)
def test_nothing_stays_paused_that_has_nothing_buffered(steps):
    pressure = Pressure(new_line(0), new_line(1), new_line(2))
    lines = list(pressure.lines.values())
    waiting: dict[int, list[tuple[MappedBatch, int]]] = {0: [], 1: [], 2: []}
    now = 1.0
    for action, number, size, pause in steps:
        line, now = lines[number], now + pause
        if action == "arrive" and line.partition not in pressure.paused:
            offset = line.tracker.read_to
            batch = pressure.arrive(line, [offset, offset + 1], size)
            waiting[number] += [(batch, 0), (batch, 1)]
        elif action == "resolve" and waiting[number]:
            resolve(line, *waiting[number].pop(size % len(waiting[number])))
            pressure.pressure.left(now)
        elif action == "tick":
            pressure.pressure.tick(now)
        assert {line.partition for line in lines if line.paused} == pressure.paused
    pressure.pressure.tick(now + TICK_S)
    for line in lines:
        assert line.buffered_bytes or line.partition not in pressure.paused or is_full(pressure)
    assert pressure.pressure.buffered_bytes == sum(line.buffered_bytes for line in lines)
    for number, line in enumerate(lines):
        for batch, i in waiting[number]:
            resolve(line, batch, i)
    pressure.pressure.left(now + 1.0)
    assert pressure.paused == set()


def is_full(pressure: Pressure) -> bool:
    return pressure.pressure.buffered_bytes > FULL_PART * BYTES_MAX


@given(st.lists(st.tuples(st.integers(0, 29), st.sampled_from([100, BYTES_MAX // 30, BYTES_MAX // 2, BYTES_MAX])), max_size=90))
def test_large_records_of_many_partitions_have_a_bound_together(arrivals):
    """Each partition brings one record before it can be paused: not all of them do."""
    pressure = Pressure(*map(new_line, range(30)))
    lines = list(pressure.lines.values())
    for number, size in arrivals:
        if lines[number].partition not in pressure.paused:
            pressure.arrive(lines[number], [lines[number].tracker.read_to], size)
        assert pressure.pressure.buffered_bytes <= FULL_PART * BYTES_MAX + BYTES_MAX + ROW_BYTES
        assert not is_full(pressure) or len(pressure.paused) == len(lines)


def test_partitions_that_stand_still_never_stop_one_that_holds_nothing():
    """Whatever their number: each holds what it may hold, and the next is read none the less."""
    lines = [new_line(number) for number in range(40)]
    pressure = Pressure(*lines)
    for line in lines[:-1]:
        while line.partition not in pressure.paused:
            pressure.arrive(line, [line.tracker.read_to], 100)
    assert lines[-1].partition not in pressure.paused
