"""Dead letters through the stream lines: each is answered, whatever becomes of its neighbours."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bridge.app import replay_line
from bridge.app.jobs.replay import Carried, Fate
from bridge.app.replay_line import ReplayLine, strict
from bridge.app.routing import RoutedTopic
from bridge.app.stream_line import StreamLine
from bridge.core.delivery.key_strategies import KeyCache, MappingSpec
from bridge.core.delivery.policies import Policies
from bridge.core.errors import RefusedError
from bridge.core.quotas import MIB
from bridge.core.records import DeadLetter, Outcome, Partition, PutAnswer
from tests.unit.app.lines import LoggingTelemetry
from tests.unit.app.streams import LIMITS, Kinesis, stream_ports

CARRIED = Carried(Fate.CARRIED)


def letter(offset: int, value: bytes | None = b"x", topic: str = "orders", number: int = 0, key: bytes = b"k") -> DeadLetter:
    return DeadLetter(Partition(topic, number), offset, 5_000, key, value, [], "tombstone", "why")


@pytest.fixture
def kinesis() -> Kinesis:
    return Kinesis()


@pytest.fixture
async def line(kinesis: Kinesis) -> AsyncIterator[ReplayLine]:
    in_flight, keys, telemetry = asyncio.Semaphore(8), KeyCache(), LoggingTelemetry()

    def open_stream(stream: str, share: float) -> StreamLine:
        return StreamLine(stream, stream_ports(kinesis), telemetry, LIMITS, share, in_flight, keys)

    def route(topic: str, slices: int) -> RoutedTopic:
        assert slices == 4
        return RoutedTopic(topic, f"stream-of-{topic}", 1.0, 0.02, MappingSpec("key", topic, slices=slices))

    async with ReplayLine(open_stream, route, {"orders": 4, "payments": 4}) as line:
        yield line


def sent(kinesis: Kinesis) -> list[bytes]:
    return [data for request in kinesis.requests for data in request.datas]


@pytest.mark.looptime
async def test_letters_are_carried_in_their_order(line, kinesis):
    letters = [letter(offset, b"%d" % offset) for offset in (3, 7, 900)]
    assert await line.carry(letters) == [CARRIED] * 3
    assert sent(kinesis) == [b"3", b"7", b"900"]
    assert await line.carry([letter(1, b"1")]) == [CARRIED]


@pytest.mark.looptime
async def test_what_still_cannot_be_carried_holds_nobody_up(line, kinesis):
    large = b"x" * (2 * MIB)
    letters = [letter(1, None), letter(2, b"2"), letter(3, large), letter(4, None), letter(5, b"5"), letter(6, large)]
    answers = await line.carry(letters)
    assert [(one.fate, one.reason) for one in answers] == [
        (Fate.STILL_DEAD, "tombstone"),
        (Fate.CARRIED, ""),
        (Fate.STILL_DEAD, "oversize"),
        (Fate.STILL_DEAD, "tombstone"),
        (Fate.CARRIED, ""),
        (Fate.STILL_DEAD, "oversize"),
    ]
    assert sent(kinesis) == [b"2", b"5"]


@pytest.mark.looptime
async def test_many_letters_and_many_partitions_go_together(line, kinesis):
    letters = [letter(offset, b"v", number=number, key=b"%d" % offset) for number in range(3) for offset in range(700)]
    letters += [letter(offset, b"v", topic="payments", key=b"%d" % offset) for offset in range(700)]
    letters[5] = letter(5, None)
    answers = await line.carry(letters)
    assert [i for i, answer in enumerate(answers) if answer != CARRIED] == [5]
    assert len(sent(kinesis)) == len(letters) - 1


@pytest.mark.looptime
async def test_a_record_that_kinesis_refuses_is_told_and_the_others_with_it_are_known(line, kinesis):
    kinesis.answers = [PutAnswer(Outcome.REJECTED, code="ValidationException", message="odd")] * 2
    letters = [letter(1, b"bad", key=b"a"), letter(2, b"good", key=b"b")]
    first, second = await line.carry(letters)
    assert (first.fate, first.reason, second) == (Fate.STILL_DEAD, "rejected", CARRIED)
    assert "ValidationException" in first.detail


@pytest.mark.looptime
async def test_a_stream_that_cannot_be_written_fails_the_letters_with_its_reason(line, kinesis, monkeypatch):
    monkeypatch.setattr(replay_line, "STALL_S", 5.0)
    kinesis.descriptions = [RefusedError("stream does not exist")] * 50
    (answer,) = await line.carry([letter(1)])
    assert answer.fate is Fate.FAILED
    assert "stream does not exist" in answer.detail


@pytest.mark.looptime
async def test_a_topic_without_a_route_is_told(line, kinesis):
    answers = await line.carry([letter(1, topic="gone"), letter(2)])
    assert [(one.fate, one.reason) for one in answers] == [(Fate.STILL_DEAD, "no_route"), (Fate.CARRIED, "")]


@pytest.mark.looptime
async def test_an_offset_that_a_topic_had_twice_is_carried_twice(line, kinesis):
    before, after = letter(5, b"before"), letter(5, b"after")
    after = DeadLetter(after.partition, 5, 6_000, b"k", b"after", [], "tombstone", "why")
    assert await line.carry([after, letter(9, b"9"), before]) == [CARRIED] * 3
    assert sorted(sent(kinesis)) == [b"9", b"after", b"before"]


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        (Policies(), Policies("stop", "hash", "stop", "stop")),
        (Policies("skip", "park", "skip", "skip"), Policies("stop", "stop", "stop", "stop")),
        (Policies("stop", "stop", "send_empty", "use_kafka_key"), Policies("stop", "stop", "send_empty", "use_kafka_key")),
    ],
)
def test_a_replay_neither_parks_nor_skips(policies, expected):
    assert strict(policies) == expected
