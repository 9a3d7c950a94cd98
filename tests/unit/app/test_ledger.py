"""Nothing is committed that the ledger does not have, and a new owner does not send what the one before has written there."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping

import pytest

from bridge.app.forward import ForwardLine
from bridge.app.ledger import UNWRITTEN_RECORDS_MAX
from bridge.app.partition_line import IDLE_S
from bridge.core.delivery.commit_metadata import CommitPoint, decode
from bridge.core.delivery.lanes import offset_of
from bridge.core.delivery.ownership import Ownership
from bridge.core.delivery.policies import Policies
from bridge.core.delivery.requests import Request
from bridge.core.proof.ledger_entries import Resolved, Stored
from bridge.core.records import Outcome, Partition, PutAnswer
from bridge.ports import Assigned, AssignedPartition, Lost, Revoking
from tests.unit.app.control_topics import ControlTopic
from tests.unit.app.forward_lines import Behind, Kafka, forward_line
from tests.unit.app.ledger_topics import LedgerTopic
from tests.unit.app.lines import LoggingTelemetry
from tests.unit.app.streams import Kinesis
from tests.unit.core.delivery.columns import source_batch

ORDERS = Partition("orders", 0)
LEASE_S = 12.0
RECOVERED_S = LEASE_S + 8.0
"""With what may be stored after it, and some reads."""


def request_offsets(request: Request) -> list[int]:
    return [offset_of(row) for row in request.rows]


class Commitless(Kafka):
    """Refuses commits, when told to."""

    refuses = False

    async def commit(self, points: Mapping[Partition, CommitPoint]) -> Mapping[Partition, str]:
        return dict.fromkeys(points, "away") if self.refuses else await super().commit(points)


class Partly(Kinesis):
    """Throttles these offsets."""

    throttled: Collection[int] = ()

    async def put(self, stream: str, request: Request, deadline: float) -> PutAnswer:
        answer = await super().put(stream, request, deadline)
        outcomes = [Outcome.THROTTLED if o in self.throttled else Outcome.STORED for o in request_offsets(request)]
        return PutAnswer(None, outcomes, answer.shard_ids, answer.sequence_numbers)


class Topics(LedgerTopic):
    """All that outlives a process: the ledger, and the control topic."""

    def __init__(self) -> None:
        super().__init__()
        self.control = ControlTopic()


class Process:
    """A bridge over topics that outlive it."""

    def __init__(
        self, ledger: Topics, kafka: Kafka | None = None, kinesis: Kinesis | None = None, behind: Behind | None = None
    ) -> None:
        policies = Policies(on_tombstone="skip")
        self.kafka, self.kinesis, self.ledger = kafka or Kafka(), kinesis or Kinesis(), ledger
        self.behind = behind or Behind(lease_ms=LEASE_S * 1000, control=ledger.control)
        self.line: ForwardLine = forward_line(
            self.kafka,
            self.kinesis,
            LoggingTelemetry(),
            ledger=ledger,
            policies=policies,
            behind=self.behind,
        )
        self._task = asyncio.ensure_future(self.line.run())

    def assign(self, offset: int = 0, metadata: str = "") -> None:
        self.kafka.hand_over(Assigned([AssignedPartition(ORDERS, offset, metadata, 1)]))

    def read(self, first: int, *values: bytes | None) -> None:
        rows = [(b"key-%d" % i, value) for i, value in enumerate(values)]
        self.behind.group.rows.setdefault(ORDERS, [])[first:] = rows
        self.kafka.hand_over(source_batch([(first + i, *row) for i, row in enumerate(rows)], ORDERS))

    @property
    def sent(self) -> set[int]:
        return {offset for request in self.kinesis.requests for offset in request_offsets(request)}

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
async def ledger() -> Topics:
    return Topics()


@pytest.fixture
async def process(ledger: Topics) -> AsyncIterator[Process]:
    process = Process(ledger, Commitless(), Partly())
    yield process
    await process.end()


def ownership(point: CommitPoint) -> Ownership:
    found = decode(point.metadata).ownership
    assert found is not None
    return found


def offsets_in(ledger: LedgerTopic) -> list[int]:
    return sorted(o for group in ledger.groups() if isinstance(group, Stored | Resolved) for o in group.offsets)


@pytest.mark.looptime
async def test_nothing_is_committed_before_the_ledger_has_it(process, ledger):
    process.assign()
    await asyncio.sleep(0.1)
    ledger.away = True
    process.read(0, b"a", b"b", None)
    await asyncio.sleep(5)
    assert process.sent == {0, 1}
    assert process.kafka.committed.get(ORDERS, CommitPoint(0, "")).offset == 0
    assert process.line.problems() == ["ledger: no answer"]
    ledger.away = False
    await asyncio.sleep(5)
    assert process.kafka.committed[ORDERS].offset == 3
    assert offsets_in(ledger) == [0, 1, 2], "one of them was skipped"
    assert process.line.problems() == []


@pytest.mark.looptime
async def test_a_partition_leaves_without_commit_where_the_ledger_does_not_answer(process, ledger):
    process.assign()
    await asyncio.sleep(0.1)
    ledger.away = True
    process.read(0, b"a")
    await asyncio.sleep(0.1)
    done: asyncio.Future[Mapping[Partition, CommitPoint]] = asyncio.get_running_loop().create_future()
    process.kafka.hand_over(Revoking([ORDERS], done.set_result))
    assert await asyncio.wait_for(done, 30) == {}


@pytest.mark.looptime
@pytest.mark.parametrize("lost", [False, True], ids=["another process", "the same process again"])
async def test_a_new_owner_sends_only_what_the_ledger_does_not_have(process, ledger, lost):
    process.kinesis.throttled = {1}
    process.assign()
    process.read(0, *[b"x"] * 5)
    await asyncio.sleep(3)
    point = process.kafka.committed[ORDERS]
    assert point.offset == 1
    assert ownership(point).is_open
    assert offsets_in(ledger) == [0, 2, 3, 4]
    process.kafka.refuses = True
    process.read(5, b"key-5", None, b"key-7")
    await asyncio.sleep(3)
    if lost:
        process.kafka.hand_over(Lost([ORDERS]))
        after = process
        after.kafka.refuses, after.kinesis.throttled = False, ()
        after.kinesis.requests.clear()
    else:
        await process.end()
        after = Process(ledger, behind=process.behind)
    after.assign(point.offset, point.metadata)
    after.read(1, *[b"x"] * 4, b"key-5", None, b"key-7", b"new")
    await asyncio.sleep(RECOVERED_S)
    assert after.sent == {1, 9 - 1}
    assert after.kafka.committed[ORDERS].offset == 9
    assert sorted(set(offsets_in(ledger))) == list(range(9))
    assert ownership(after.kafka.committed[ORDERS]).is_open
    await asyncio.sleep(IDLE_S + 2)
    assert (after.kafka.committed[ORDERS].offset, ownership(after.kafka.committed[ORDERS]).is_open) == (9, False)
    assert not ownership(after.kafka.committed[ORDERS]).floors, "nothing above it"
    await after.end()


@pytest.mark.looptime
async def test_what_an_owner_has_left_unread_of_the_one_before_is_told_on(process, ledger):
    process.kinesis.throttled = {1}
    process.assign()
    process.read(0, *[b"x"] * 5)
    await asyncio.sleep(3)
    point = process.kafka.committed[ORDERS]
    await process.end()
    between, done = Process(ledger, behind=process.behind), asyncio.get_running_loop().create_future()
    between.assign(point.offset, point.metadata)
    await asyncio.sleep(RECOVERED_S)
    between.kafka.hand_over(Revoking([ORDERS], done.set_result))
    point = (await asyncio.wait_for(done, 30))[ORDERS]
    assert ownership(point).is_open, "others have to look above it, though nothing came yet"
    await between.end()
    last = Process(ledger, behind=process.behind)
    last.assign(point.offset, point.metadata)
    last.read(1, *[b"x"] * 5)
    await asyncio.sleep(RECOVERED_S)
    assert last.sent == {1, 5}
    await last.end()


@pytest.mark.looptime
async def test_nothing_is_attempted_before_kafka_was_told_that_attempts_may_follow(process):
    process.kafka.refuses = True
    process.assign()
    process.read(0, b"a")
    await asyncio.sleep(5)
    assert process.sent == set()
    process.kafka.refuses = False
    await asyncio.sleep(2)
    assert process.sent == {0}
    await asyncio.sleep(IDLE_S + 2)
    clean = process.kafka.committed[ORDERS]
    process.kafka.refuses = True
    process.read(1, b"b")
    await asyncio.sleep(5)
    assert process.sent == {0}, "it rests, and has to be opened again"
    process.kafka.refuses = False
    await asyncio.sleep(2)
    assert process.sent == {0, 1}
    assert (ownership(clean).is_open, ownership(process.kafka.committed[ORDERS]).is_open) == (False, True)


@pytest.mark.looptime
async def test_what_is_not_written_stops_the_sending(ledger):
    process = Process(ledger, Commitless(), Partly(), Behind())
    process.assign()
    await asyncio.sleep(0.1)
    ledger.away = True
    step, sent = 5000, 0
    while sent < 2 * UNWRITTEN_RECORDS_MAX:
        process.read(sent, *[b"x"] * step)
        sent += step
        await asyncio.sleep(1)
    assert len(process.sent) <= UNWRITTEN_RECORDS_MAX + step
    ledger.away = False
    await asyncio.sleep(600)
    assert len(process.sent) == sent
    await process.end()
