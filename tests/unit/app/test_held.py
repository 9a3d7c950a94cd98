"""Records that were read and may not be offered yet: in order, none lost, none attempted."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import looptime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.app.partition_line import PartitionLine
from bridge.app.stream_line import PIECES
from bridge.core.delivery.halts import Halt
from bridge.core.delivery.lanes import ROW_BYTES
from bridge.core.delivery.stream_description import StreamDescription
from bridge.core.quotas import MIB
from bridge.core.records import Outcome, PutAnswer, SourceBatch
from tests.unit.app.lines import new_line
from tests.unit.app.streams import Kinesis, Stream
from tests.unit.core.delivery.columns import even_shard_map, source_batch

HANDED_OVER = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 40)), max_size=12)
"""Batches: how far before the end of what was read they begin, and how many offsets they have."""


def handed_over(line: PartitionLine, back: int, rows: int, marker: int = 10**9) -> SourceBatch:
    """What Kafka hands over, a part of it perhaps again; each `marker`-th offset is none of a record."""
    first = max(0, line.read_to - back)
    offsets = [offset for offset in range(first, first + rows) if (offset + 1) % marker]
    return source_batch([(o, b"key-%d" % (o % 7), b"%d" % o) for o in offsets], line.partition, first + rows)


@given(batches=HANDED_OVER, pieces=st.lists(st.integers(1, 50), min_size=1))
def test_held_records_come_out_once_and_in_order(batches: list[tuple[int, int]], pieces: list[int]):
    line, sent = new_line(), set[int]()
    for batch in batches:
        rows = handed_over(line, *batch, marker=5)
        line.hold(rows)
        sent.update(rows.offsets)
    assert line.held_rows == len(sent)
    end, taken, position, i = line.read_to, [], 0, 0
    while (piece := line.take_held(pieces[i % len(pieces)])) is not None:
        assert len(piece) <= pieces[i % len(pieces)]
        assert all(position <= offset < piece.next_offset for offset in piece.offsets)
        assert piece.values == [b"%d" % offset for offset in piece.offsets]
        taken += piece.offsets
        position, i = piece.next_offset, i + 1
    assert taken == sorted(sent)
    assert position == end or not batches
    assert (line.held_rows, line.held_bytes) == (0, 0)


def test_held_bytes_are_those_of_values_and_rows():
    line = new_line()
    line.hold(source_batch([(0, b"k", b"12345"), (1, None, None)]))
    assert line.buffered_bytes == line.held_bytes == 5 + 2 * ROW_BYTES
    line.drop_held()
    assert (line.buffered_bytes, line.held_rows, line.read_to) == (0, 0, 0)


def test_a_halt_drops_what_is_held_behind_it_and_nothing_below_it():
    line = new_line()
    line.hold(source_batch([(0, b"k", b"x"), (1, b"k", b"x")]))
    assert line.stand_still(Halt("offset_out_of_range", line.read_to, "gone"))
    assert line.held_rows == 2
    line.tracker.read_to = 1
    assert line.stand_still(Halt("tombstone", 1, "null"))
    assert line.held_rows == 0
    assert not line.stand_still(Halt("rejected", 1, "refused"))
    assert (line.halt and line.halt.reason) == "tombstone"


class Gated(Kinesis):
    """Answers a request only once it is let through, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.description = StreamDescription(even_shard_map(4), MIB)
        self.waiting: list[asyncio.Event] = []

    async def put(self, stream: str, request: Any, deadline: float) -> PutAnswer:
        gate = asyncio.Event()
        self.waiting.append(gate)
        await gate.wait()
        return await super().put(stream, request, deadline)

    def let_through(self, number: int) -> None:
        if self.waiting:
            self.waiting.pop(number % len(self.waiting)).set()

    def stored(self) -> list[int]:
        """Offsets in the order of their requests."""
        return [row[0].offsets[row[1]] for request in self.requests for row in request.rows]


@pytest.fixture
async def gated() -> AsyncIterator[tuple[Gated, Stream]]:
    kinesis = Gated()
    stream = Stream(kinesis)
    task = asyncio.ensure_future(stream.stream.run())
    await asyncio.sleep(0.01)
    yield kinesis, stream
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def read(stream: Stream, rows: int) -> None:
    stream.stream.offer(stream.line, handed_over(stream.line, 0, rows))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(0, 30), st.integers(0, 400)),
        st.tuples(st.just("answer"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("ahead"), st.just(0), st.integers(200, 600)),
    ),
    max_size=25,
)


@given(steps=STEPS)
def test_nothing_is_lost_or_reordered_and_no_more_is_open_than_may_be(steps: list[tuple[str, int, int]]):
    loop = looptime.new_event_loop()
    try:
        loop.run_until_complete(take_steps(steps))
    finally:
        loop.close()


async def take_steps(steps: list[tuple[str, int, int]]) -> None:
    kinesis = Gated()
    stream = Stream(kinesis)
    line = stream.line
    task = asyncio.ensure_future(stream.stream.run())
    allowed = line.ahead_rows
    for what, number, rows in steps:
        if what == "read":
            stream.stream.offer(line, handed_over(line, number, rows))
        elif what == "answer":
            kinesis.let_through(number)
        else:
            line.ahead_rows, allowed = rows, max(rows, allowed)
        await asyncio.sleep(0.03)
        stream.stream.offer_held(line)
        assert line.tracker.open_rows() <= allowed
        assert line.lanes.unresolved <= line.tracker.open_rows()
        assert line.read_to >= line.tracker.read_to
    end = line.read_to
    for _ in range(10_000):
        if line.tracker.committable() == end:
            break
        kinesis.let_through(0)
        await asyncio.sleep(0.01)
        stream.stream.offer_held(line)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert sorted(kinesis.stored()) == list(range(end))
    assert line.read_rows == end
    for key in range(7):
        of_lane = [offset for offset in kinesis.stored() if offset % 7 == key]
        assert of_lane == sorted(of_lane)


@pytest.mark.looptime
async def test_records_handed_over_twice_do_not_count_as_moved(gated):
    _, stream = gated
    read(stream, 50)
    for back in (50, 30):
        stream.stream.offer(stream.line, handed_over(stream.line, back, back))
    assert (stream.line.read_rows, stream.line.tracker.open_rows(), stream.line.held_rows) == (50, 50, 0)


@pytest.mark.looptime
async def test_what_is_held_goes_in_pieces_worth_their_cost(gated):
    kinesis, stream = gated
    line = stream.line
    read(stream, line.ahead_rows - 5)
    read(stream, 30)
    assert (line.tracker.open_rows(), line.held_rows) == (line.ahead_rows - 5, 30)
    await asyncio.sleep(0.1)
    while line.held_rows == 30:
        kinesis.let_through(0)
        await asyncio.sleep(0.05)
        stream.stream.offer_held(line)
    assert line.held_rows <= 30 - line.ahead_rows // PIECES


@pytest.mark.looptime
@pytest.mark.parametrize("leave", ["finish", "detach"])
async def test_what_leaves_sends_nothing_of_what_was_held(gated, leave):
    kinesis, stream = gated
    line = stream.line
    read(stream, 1000)
    assert line.tracker.read_to == line.ahead_rows
    await asyncio.sleep(0.1)
    line.draining = True
    getattr(stream.stream, leave)(line)
    for _ in range(100):
        kinesis.let_through(0)
        await asyncio.sleep(0.05)
        stream.stream.offer_held(line)
    assert (line.lanes.unresolved, line.held_rows, line.buffered_bytes) == (0, 0, 0)
    assert max(kinesis.stored()) < line.ahead_rows
    if leave == "finish":
        assert line.tracker.committable() == max(kinesis.stored()) + 1, "all that was attempted is settled"


@pytest.mark.looptime
async def test_a_record_that_kinesis_cannot_take_ends_what_is_held(gated):
    kinesis, stream = gated
    line = stream.line
    read(stream, line.ahead_rows)
    stream.offer(line.read_to, b"a", None, b"behind")
    read(stream, 100)
    assert (line.halt, line.held_rows) == (None, 103)
    for _ in range(100):
        kinesis.let_through(0)
        await asyncio.sleep(0.05)
        stream.stream.offer_held(line)
    assert [(halt.reason, halt.offset) for _, halt in stream.halts] == [("tombstone", line.ahead_rows + 1)]
    assert (line.held_rows, line.tracker.committable()) == (0, line.ahead_rows + 1)
    assert kinesis.stored()[-1] == line.ahead_rows


@pytest.mark.looptime
async def test_a_record_that_kinesis_refused_drops_what_is_held_above_it(gated):
    kinesis, stream = gated
    kinesis.description = StreamDescription(even_shard_map(4), MIB)
    line = stream.line
    read(stream, 1000)
    kinesis.answers = [PutAnswer(None, [Outcome.REJECTED] + [Outcome.STORED] * 499, ["s"] * 500, ["1"] * 500)]
    await asyncio.sleep(0.1)
    kinesis.let_through(0)
    await asyncio.sleep(0.1)
    ((_, halt),) = stream.halts
    assert halt.offset == cast(Any, kinesis.requests[0].rows[0])[0].offsets[kinesis.requests[0].rows[0][1]]
    assert line.held_rows == 0


@pytest.mark.looptime
async def test_a_failed_partition_still_sends_what_it_held(gated):
    kinesis, stream = gated
    line = stream.line
    read(stream, 1000)
    assert line.stand_still(Halt("offset_out_of_range", line.read_to, "gone"))
    for _ in range(300):
        kinesis.let_through(0)
        await asyncio.sleep(0.05)
        stream.stream.offer_held(line)
    assert sorted(kinesis.stored()) == list(range(1000))
    assert line.tracker.committable() == 1000
