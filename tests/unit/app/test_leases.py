"""What a commit says of an open partition, and how far that lets it go."""

import asyncio

import pytest

from bridge.app.owners import LeaseTerms, Owners, Renewal
from bridge.app.partition_line import RESERVED_ROWS_MIN, PartitionLine, Phase
from bridge.core.delivery.commit_metadata import decode
from bridge.core.delivery.service_clock import UNKNOWN, Interval
from bridge.core.proof.ledger_floors import LedgerFloors
from tests.unit.app.lines import new_line
from tests.unit.app.streams import Kinesis, Stream
from tests.unit.core.delivery.columns import source_batch

LEASE_MS, TIMEOUT_MS = 12_000.0, 6_000.0
NOW = Interval(1_000_000.0, 1_000_500.0)


def owned_line() -> PartitionLine:
    """Something has come for it, and it is opening."""
    line = new_line()
    line.owner = Owners("me", LedgerFloors(), LeaseTerms(LEASE_MS, TIMEOUT_MS)).next("print")
    line.phase, line.attempts_to = Phase.CLEAN, 0
    line.hold(source_batch([(0, b"k", b"x")], line.partition))
    assert line.wants_to_open()
    return line


def test_a_commit_says_the_latest_end_of_the_lease_and_how_far_attempts_may_go():
    line = owned_line()
    renewal = line.renewal(900_000, NOW)
    assert renewal == Renewal(900_000, 1_012_500, RESERVED_ROWS_MIN)
    owned = decode(line.commit_point(renewal).metadata).ownership
    assert owned is not None
    assert (owned.owner, owned.counter, owned.is_open, owned.fingerprint) == ("me", 1, True, "print")
    assert (owned.watermark_ms, owned.lease_end_ms, owned.attempts_to) == renewal


def test_nothing_is_said_while_the_time_is_not_known_or_after_the_lease_has_lapsed():
    line = owned_line()
    assert line.renewal(0, UNKNOWN) is None
    renewal = line.renewal(900_000, NOW)
    assert renewal is not None
    line.renewed(renewal, NOW)
    assert line.attempts_to == RESERVED_ROWS_MIN
    late = Interval(1_012_000.0, 1_012_501.0)
    assert line.renewal(900_000, late) is None
    assert line.renewal(900_000, NOW) is None, "it stays lapsed"


def test_what_is_confirmed_too_late_allows_nothing():
    line = owned_line()
    renewal = line.renewal(900_000, NOW)
    assert renewal is not None
    line.renewed(renewal, Interval(1_012_000.0, 1_012_501.0))
    assert line.attempts_to == 0


def test_a_clean_partition_with_entries_of_the_owner_before_asks_for_no_lease():
    line = owned_line()
    line.phase, line.lease, line.done_to = Phase.CLEAN, None, 9
    assert line.renewal(900_000, NOW) == Renewal(900_000, 0, 9)
    assert line.renewal(0, NOW) is None


@pytest.mark.looptime
async def test_nothing_is_offered_above_what_a_commit_has_allowed():
    kinesis = Kinesis()
    stream = Stream(kinesis)
    task = asyncio.ensure_future(stream.stream.run())
    asked: list[int] = []
    stream.stream.on_opening = lambda: asked.append(stream.line.attempts_to)
    stream.line.attempts_to = 3
    stream.offer(0, *[b"x"] * 5)
    await asyncio.sleep(1)
    assert kinesis.requests == []
    assert 3 in asked, "the next commit is to allow more"
    stream.line.attempts_to = 5
    stream.stream.offer_held(stream.line)
    await asyncio.sleep(1)
    assert [len(request) for request in kinesis.requests] == [5]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
