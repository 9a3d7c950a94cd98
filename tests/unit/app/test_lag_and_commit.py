"""What a partition lacks and what may be committed of it: true also when it is idle, paused, halted, or not read yet."""

import asyncio
from collections.abc import Mapping
from typing import cast

import pytest

from bridge.app.commit import Commits
from bridge.app.lag import lag_samples
from bridge.app.ledger import LedgerLine
from bridge.app.partition_line import PartitionLine, Phase
from bridge.core.delivery.commit_metadata import CommitMetadata, CommitPoint, decode, encode
from bridge.core.delivery.halts import Halt
from bridge.core.errors import UnavailableError
from bridge.core.records import Partition, SourceBatch
from bridge.ports import Source
from tests.unit.app.ledger_topics import SLOTS, LedgerTopic
from tests.unit.app.lines import FIRST_MS, LoggingTelemetry, admit, new_line, resolve
from tests.unit.core.delivery.columns import source_batch

NOW_MS = FIRST_MS + 60_000.0


def test_an_idle_partition_has_no_lag():
    line = new_line(start=7)
    assert line.lag(NOW_MS) == (0, 0.0)
    line.saw_end(7, NOW_MS)
    assert line.lag(NOW_MS + 3_600_000) == (0, 0.0)


def test_the_age_of_the_oldest_unconfirmed_record():
    line = new_line()
    batch = admit(line, [0, 1, 5])
    assert line.lag(NOW_MS) == (6, 60.0)
    resolve(line, batch, 1)
    assert line.lag(NOW_MS) == (6, 60.0)
    resolve(line, batch, 0)
    assert line.lag(NOW_MS) == pytest.approx((1, 59.995))
    line.saw_end(100, NOW_MS)
    assert line.lag(NOW_MS) == pytest.approx((95, 59.995))
    resolve(line, batch, 2)
    assert line.lag(NOW_MS)[0] == 94


def test_a_clock_behind_kafkas_gives_no_negative_lag():
    line = new_line()
    admit(line, [0])
    assert line.lag(FIRST_MS - 5000.0) == (1, 0.0)


def test_records_that_are_not_read_count_from_when_they_were_first_seen():
    line = new_line(start=10)
    line.saw_end(13, NOW_MS)
    assert line.lag(NOW_MS) == (3, 0.0)
    line.saw_end(20, NOW_MS + 4000)
    assert line.lag(NOW_MS + 5000) == (10, 5.0)
    line.tracker.admit(admit(line, [], next_offset=20))
    line.saw_end(20, NOW_MS + 6000)
    assert line.lag(NOW_MS + 7000) == (0, 0.0)
    line.saw_end(21, NOW_MS + 8000)
    assert line.lag(NOW_MS + 9000) == (1, 1.0)


def test_records_that_wait_for_their_stream_count_by_their_age():
    line = new_line()
    line.hold(SourceBatch(line.partition, 0))
    assert not line.held, "nothing new"
    line.hold(SourceBatch(line.partition, 1))
    line.hold(source_batch([(1, b"k", b"xx"), (2, None, None)], line.partition))
    line.saw_end(3, NOW_MS)
    assert line.lag(NOW_MS) == pytest.approx((3, 59.999))
    line.saw_end(4, NOW_MS)
    assert line.lag(NOW_MS + 1000) == pytest.approx((4, 60.999)), "the record that waits is older than the unread one"
    assert line.buffered_bytes > 2
    assert [len(batch) for batch in (line.take_held(5), line.take_held(5)) if batch is not None] == [0, 2]
    assert line.take_held(5) is None
    assert line.buffered_bytes == 0


def test_held_records_are_behind_those_that_were_offered():
    line = new_line()
    batch = admit(line, [0, 1])
    line.hold(source_batch([(2, b"k", b"x"), (3, b"k", b"x")], line.partition))
    assert line.lag(NOW_MS) == (4, 60.0)
    for row in range(2):
        resolve(line, batch, row)
    assert line.lag(NOW_MS) == pytest.approx((2, 59.998))
    line.halt = Halt("offset_out_of_range", 4, "gone")
    assert line.lag(NOW_MS) == pytest.approx((2, 59.998)), "what is held below a halt still goes"


def test_a_halted_partition_ages_with_the_record_it_stands_at():
    line = new_line()
    batch = admit(line, [0], next_offset=1)
    resolve(line, batch, 0)
    line.halt = Halt("tombstone", 1, "null", FIRST_MS + 1)
    line.saw_end(4, NOW_MS)
    assert line.lag(NOW_MS) == pytest.approx((3, 59.999))
    assert not line.takes_records


def test_a_halt_without_a_record_ages_from_when_it_was_seen():
    line = new_line(start=3)
    line.halt = Halt("offset_out_of_range", 3, "gone")
    line.saw_end(9, NOW_MS)
    line.saw_end(9, NOW_MS + 1000)
    assert line.lag(NOW_MS + 2000) == (6, 2.0)


def test_samples_name_route_and_partition():
    line = new_line(2)
    admit(line, [0])
    assert list(lag_samples([line], NOW_MS)) == [
        ("bridge_kafka_lag_records", ("orders", "orders-2"), 1),
        ("bridge_kafka_lag_seconds", ("orders", "orders-2"), 60.0),
    ]


def test_the_commit_point_says_where_and_why_it_stands():
    line = new_line()
    batch = admit(line, [0, 1])
    resolve(line, batch, 0)
    assert line.commit_point() == CommitPoint(1, encode(CommitMetadata(slices=4)))
    line.halt = Halt("rejected", 1, "refused", FIRST_MS)
    assert decode(line.commit_point().metadata) == CommitMetadata(slices=4, halted="rejected", halted_at=1)


class FakeSource:
    def __init__(self, refused: Mapping[Partition, str] | None = None, error: Exception | None = None) -> None:
        self.commits: list[dict[Partition, CommitPoint]] = []
        self.refused = refused or {}
        self.error = error

    async def commit(self, points: Mapping[Partition, CommitPoint]) -> Mapping[Partition, str]:
        self.commits.append(dict(points))
        if self.error:
            raise self.error
        return self.refused


def commits_of(source: FakeSource, lines: list[PartitionLine], telemetry: LoggingTelemetry | None = None) -> Commits:
    by_partition = {line.partition: line for line in lines}
    told = telemetry or LoggingTelemetry()
    return Commits(lambda: cast(Source, source), by_partition, no_ledger(), 0.0, told)


def run(source: FakeSource, lines: list[PartitionLine], telemetry: LoggingTelemetry | None = None) -> bool:
    return asyncio.run(commits_of(source, lines, telemetry).commit())


def no_ledger() -> LedgerLine:
    """Nothing is to be written."""
    return LedgerLine(LedgerTopic(), SLOTS, LoggingTelemetry())


def test_only_what_moved_is_committed_and_only_once():
    moved, still = new_line(0), new_line(1, start=5)
    still.committed = still.commit_point()
    resolve(moved, admit(moved, [0]), 0)
    source = FakeSource()
    assert run(source, [moved, still])
    assert source.commits == [{moved.partition: CommitPoint(1, encode(CommitMetadata(slices=4)))}]
    assert run(source, [moved, still])
    assert len(source.commits) == 1
    still.halt = Halt("tombstone", 5, "null")
    assert run(source, [moved, still])
    assert list(source.commits[1]) == [still.partition]


def test_what_kafka_refuses_is_tried_again_and_logged():
    good, bad = new_line(0), new_line(1)
    source, telemetry = FakeSource(refused={bad.partition: "fenced"}), LoggingTelemetry()
    assert not run(source, [good, bad], telemetry)
    assert (good.committed, bad.committed) == (good.commit_point(), None)
    ((level, event, fields),) = telemetry.lines
    assert (level, event, fields["first"], fields["problem"]) == ("warning", "commit_refused", "orders-1", "fenced")
    source.refused = {}
    assert run(source, [good, bad])
    assert list(source.commits[1]) == [bad.partition]


def test_what_becomes_unknown_while_a_commit_is_under_way_stays_unknown():
    line = new_line(0)

    class Late(FakeSource):
        async def commit(self, points: Mapping[Partition, CommitPoint]) -> Mapping[Partition, str]:
            commits.late([line.partition])
            return await super().commit(points)

    async def at_last() -> bool:
        return await commits.at_last()

    commits = commits_of(Late(), [line])
    line.committed = None
    assert asyncio.run(at_last())
    assert line.committed is None


def test_there_is_one_commit_at_a_time():
    line = new_line(0)
    line.committed = None

    class Slow(FakeSource):
        async def commit(self, points: Mapping[Partition, CommitPoint]) -> Mapping[Partition, str]:
            self.commits.append(dict(points))
            await asyncio.sleep(0)
            return dict.fromkeys(points, "in the middle of a rebalance") if len(self.commits) == 1 else {}

    async def twice() -> tuple[bool, bool]:
        first, second = await asyncio.gather(commits.at_last(), commits.at_last())
        return first, second

    source = Slow()
    commits = commits_of(source, [line])
    assert asyncio.run(twice()) == (True, True)
    assert len(source.commits) == 2
    assert line.committed == line.commit_point()


def test_an_unanswered_commit_confirms_nothing():
    line = new_line()
    assert not run(FakeSource(error=UnavailableError("late")), [line])
    assert line.committed is None
    assert not run(FakeSource(error=UnavailableError("late")), [line])


def test_a_partition_is_not_opened_while_an_earlier_commit_may_still_come_behind():
    async def phases() -> list[Phase]:
        seen = []
        source.error = UnavailableError("late")
        await commits.commit()
        source.error = None
        line.phase = Phase.OPENING
        for answered in (False, True):
            if answered:
                commits.late([line.partition])
            await commits.commit()
            seen.append(line.phase)
        return seen

    line, source = new_line(), FakeSource()
    line.phase = Phase.CLEAN
    commits = commits_of(source, [line])
    assert asyncio.run(phases()) == [Phase.OPENING, Phase.OPEN]
