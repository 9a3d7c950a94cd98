"""A daemon goes by the control topic: nothing before it was read, nothing against it, and the operator's word for a record."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from bridge.core.delivery.commit_metadata import CommitMetadata, decode, encode
from bridge.core.delivery.ownership import Ownership
from bridge.core.delivery.policies import Policies
from bridge.core.direction.control_record import ControlRecord
from bridge.core.direction.control_state import ROUTE, control_state, message_of, messages_of
from bridge.core.direction.direction import Direction, Phase
from bridge.core.direction.resume import Resume, Way, decode_resume, encode_resume
from bridge.core.direction.transitions import first_record
from bridge.core.errors import UnavailableError
from bridge.core.records import Partition
from bridge.ports import Assigned, AssignedPartition
from tests.unit.app.control_topics import ControlTopic
from tests.unit.app.forward_lines import Behind, Kafka, forward_line
from tests.unit.app.lines import LoggingTelemetry
from tests.unit.app.streams import Kinesis
from tests.unit.core.delivery.columns import source_batch

ORDERS = Partition("orders", 0)
FORWARD = first_record("orders", Direction.FORWARD, "test", 1)


class Bridge:
    """Its only partition has records 0 to 4, of which 2 is a tombstone; the policy is to stop there."""

    def __init__(self, *records: ControlRecord) -> None:
        self.kafka, self.kinesis, self.telemetry = Kafka(), Kinesis(), LoggingTelemetry()
        self.control = ControlTopic(*records)
        policies = Policies(on_tombstone="stop")
        self.line = forward_line(self.kafka, self.kinesis, self.telemetry, behind=Behind(control=self.control), policies=policies)
        self.task = asyncio.ensure_future(self.line.run())

    def assign(self, offset: int = 0, metadata: str = "") -> None:
        self.kafka.hand_over(Assigned([AssignedPartition(ORDERS, offset, metadata, 1)]))
        self.records(offset)

    def records(self, offset: int) -> None:
        rows: list[tuple[int, bytes | None, bytes | None]] = [
            (n, b"key", None if n == 2 else b"%d" % n) for n in range(offset, 5)
        ]
        self.kafka.hand_over(source_batch(rows, ORDERS))

    @property
    def sent(self) -> list[bytes]:
        return [data for request in self.kinesis.requests for data in request.datas]

    @property
    def epoch(self) -> int | None:
        ownership = decode(self.kafka.committed[ORDERS].metadata).ownership if ORDERS in self.kafka.committed else None
        return None if ownership is None else ownership.epoch

    def says(self, record: ControlRecord) -> None:
        self.control.latest |= messages_of(record)

    def word(self, way: Way, offset: int = 2, **more: Any) -> None:
        self.control.latest |= message_of(Resume(ORDERS, offset, "tombstone", way, "anna", "why", 1, **more))


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Bridge]]:
    started: list[Bridge] = []

    def begin(*records: ControlRecord) -> Bridge:
        started.append(Bridge(*records))
        return started[-1]

    yield begin
    for bridge in started:
        bridge.task.cancel()
        await asyncio.gather(bridge.task, return_exceptions=True)


@pytest.mark.looptime
async def test_the_first_record_is_written_and_shown_before_anything_is_sent(start):
    bridge = start()
    bridge.assign()
    await asyncio.sleep(5)
    state = control_state(bridge.control.latest)
    record = state.records["orders"]
    assert (record.epoch, record.phase, record.direction, record.why) == (1, Phase.ACTIVE, Direction.FORWARD, "first run")
    assert (bridge.control.changes, bridge.epoch, bridge.sent) == (1, 1, [b"0", b"1"])
    assert any(event == "direction_taken_up" for event in bridge.telemetry.events())
    assert b'bridge_direction{direction="forward",route="orders"} 1.0' in bridge.telemetry.render()


@pytest.mark.looptime
async def test_nothing_is_sent_while_the_control_topic_does_not_answer(start):
    bridge = start(FORWARD)
    bridge.control.trouble = UnavailableError("no answer")
    bridge.assign()
    await asyncio.sleep(20)
    assert bridge.sent == []
    assert "control: no answer" in bridge.line.problems()
    bridge.control.trouble = None
    await asyncio.sleep(5)
    assert (bridge.sent, bridge.line.problems()) == ([b"0", b"1"], [])
    assert bridge.telemetry.events().count("control_trouble") == bridge.telemetry.events().count("control_recovered") == 1


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("record", "why"),
    [
        (replace(FORWARD, direction=Direction.REVERSE), "its direction is reverse, and this version carries forward only"),
        (replace(FORWARD, direction=Direction.BOTH), "its direction is both, and this version carries forward only"),
        (replace(FORWARD, phase=Phase.DRAINING), "a change to forward is draining, which this version cannot carry out"),
        (replace(FORWARD, phase=Phase.STARTING), "a change to forward is starting, which this version cannot carry out"),
        (replace(FORWARD, phase=Phase.ABORTING), "a change to forward is aborting, which this version cannot carry out"),
    ],
)
async def test_what_this_version_cannot_carry_is_held_and_said(start, record, why):
    bridge = start(record)
    bridge.assign()
    await asyncio.sleep(10)
    assert (bridge.sent, bridge.kafka.paused) == ([], {ORDERS})
    assert [problem for problem in bridge.line.problems() if f"route orders: {why}" in problem]
    assert bridge.telemetry.events().count("route_held") == 1


@pytest.mark.looptime
async def test_a_paused_route_is_held_shows_its_epoch_and_is_no_problem(start):
    bridge = start(replace(FORWARD, direction=Direction.PAUSED, epoch=3))
    bridge.assign()
    await asyncio.sleep(10)
    assert (bridge.sent, bridge.epoch, bridge.line.problems()) == ([], 3, [])


@pytest.mark.looptime
async def test_a_route_that_is_held_and_then_carries_begins_anew(start):
    bridge = start(replace(FORWARD, direction=Direction.PAUSED))
    bridge.assign()
    await asyncio.sleep(5)
    bridge.says(replace(FORWARD, epoch=2))
    await asyncio.sleep(5)
    assert [again.offset for again in bridge.kafka.begun_anew] == [0]
    bridge.records(0)
    await asyncio.sleep(5)
    assert (bridge.sent, bridge.epoch, bridge.kafka.paused) == ([b"0", b"1"], 2, {ORDERS})  # it is halted at 2 by now


@pytest.mark.looptime
async def test_a_route_that_carries_and_then_must_not_drains_and_is_held(start):
    bridge = start(FORWARD)
    bridge.assign()
    await asyncio.sleep(5)
    bridge.says(replace(FORWARD, epoch=2, direction=Direction.REVERSE))
    await asyncio.sleep(10)
    assert [again.offset for again in bridge.kafka.begun_anew] == [2]
    bridge.records(2)
    await asyncio.sleep(10)
    assert (bridge.sent, bridge.epoch) == ([b"0", b"1"], 1)
    assert any("its direction is reverse" in problem for problem in bridge.line.problems())


@pytest.mark.looptime
@pytest.mark.parametrize("records", [(), (FORWARD,)], ids=["no record", "an older one"])
async def test_where_commits_show_more_than_the_topic_it_was_lost_and_nothing_begins_anew(start, records):
    bridge = start(*records)
    bridge.assign(0, encode(CommitMetadata(ownership=Ownership("before", 1, False, 0, 0, epoch=4))))
    await asyncio.sleep(10)
    assert (bridge.sent, bridge.control.changes) == ([], 0)
    assert any("its commits show epoch 4, the control topic has" in problem for problem in bridge.line.problems())


@pytest.mark.looptime
async def test_a_record_that_cannot_be_read_holds_its_route(start):
    bridge = start()
    bridge.control.latest[f"{ROUTE}orders"] = b'{"v":9}'
    bridge.assign()
    await asyncio.sleep(10)
    assert (bridge.sent, bridge.control.changes) == ([], 0)
    assert any("a control record has version 9" in problem for problem in bridge.line.problems())


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("way", "counter"), [(Way.SKIP, "bridge_records_skipped_total"), (Way.PARK, "bridge_records_parked_total")]
)
async def test_a_halted_partition_goes_on_by_the_operators_word(start, way, counter):
    bridge = start(FORWARD)
    bridge.assign()
    await asyncio.sleep(5)
    assert bridge.line.halts().keys() == {ORDERS}
    bridge.word(way)
    await asyncio.sleep(5)
    assert [again.offset for again in bridge.kafka.begun_anew] == [2]
    bridge.records(2)
    await asyncio.sleep(5)
    assert (bridge.line.halts(), bridge.sent) == ({}, [b"0", b"1", b"3", b"4"])
    assert bridge.kafka.committed[ORDERS].offset == 5
    assert bridge.telemetry.total(counter, "orders", "tombstone") == 1
    await asyncio.sleep(10)
    assert len(bridge.kafka.begun_anew) == 1  # it is heeded once


@pytest.mark.looptime
async def test_a_record_that_is_looked_at_again_halts_again_once_for_each_word(start):
    bridge = start(FORWARD)
    bridge.assign()
    await asyncio.sleep(5)
    bridge.word(Way.RESEND)
    await asyncio.sleep(5)
    bridge.records(2)
    await asyncio.sleep(20)
    assert (bridge.line.halts()[ORDERS].offset, len(bridge.kafka.begun_anew)) == (2, 1)
    assert bridge.telemetry.events().count("partition_halted") == 2


@pytest.mark.looptime
@pytest.mark.parametrize("more", [{"offset": 1}, {"topic_id": "another"}], ids=["another record", "of a topic before"])
async def test_a_word_for_another_record_is_none_for_this(start, more):
    bridge = start(FORWARD)
    bridge.word(Way.SKIP, **more)
    bridge.assign()
    await asyncio.sleep(10)
    assert bridge.line.halts()[ORDERS].offset == 2
    assert bridge.kafka.begun_anew == []


def test_a_word_survives_being_written():
    resume = Resume(ORDERS, 7, "rejected", Way.PARK, "anna", "because", 9, "id")
    assert decode_resume(encode_resume(resume)) == resume
    assert control_state(message_of(resume)).resumes == {ORDERS: resume}


@pytest.mark.parametrize(
    "value", [b"", b"[]", b'{"v":2}', encode_resume(Resume(ORDERS, 7, "rejected", Way.PARK, "", "", 9))[:-2]]
)
def test_a_word_that_cannot_be_read_is_none(value):
    assert control_state({"resume/orders/0": value}).resumes == {}


def test_a_word_or_record_under_another_key_is_none():
    (value,) = message_of(Resume(ORDERS, 7, "rejected", Way.PARK, "anna", "because", 9)).values()
    assert control_state({"resume/orders/1": value}).resumes == {}
    state = control_state({f"{ROUTE}payments": messages_of(FORWARD)[f"{ROUTE}orders"]})
    assert (state.records, list(state.unreadable)) == ({}, ["payments"])
