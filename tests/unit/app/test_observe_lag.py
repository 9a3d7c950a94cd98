"""Which ends are asked for: thousands of idle partitions cost next to nothing, and none is forgotten."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

import pytest

from bridge.app.lag import OBSERVE_S, TURNS, observe_lag
from bridge.app.partition_line import PartitionLine
from bridge.core.delivery.halts import Halt
from bridge.core.errors import UnavailableError
from bridge.core.records import Partition
from bridge.ports import SourceTrouble
from tests.unit.app.lines import FIRST_MS, admit, new_line

IDLE = 3 * TURNS


class Ends:
    """Partitions end where they were read to, or `behind` has another end; keeps what each call asked for."""

    def __init__(self, lines: Mapping[Partition, PartitionLine]) -> None:
        self._lines = lines
        self.asked: list[list[Partition]] = []
        self.behind: dict[Partition, int] = {}
        self.silent = False

    async def end_offsets(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        self.asked.append(list(partitions))
        if self.silent:
            raise UnavailableError("no answer")
        return {p: self.behind.get(p, self._lines[p].tracker.read_to) for p in partitions}

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        raise AssertionError("not asked here")

    async def partitions_of(self, wanted: Callable[[str], bool]) -> Sequence[Partition]:
        raise AssertionError("not asked here")


class Clock:
    def monotonic(self) -> float:
        raise AssertionError("not asked here")

    def wall_ms(self) -> float:
        return FIRST_MS


class Watch:
    """`observe_lag` for so many rounds at a time; counts what it tells."""

    def __init__(self, count: int) -> None:
        self.lines = {line.partition: line for line in map(new_line, range(count))}
        self.ends = Ends(self.lines)
        self.answers = 0
        self.troubles: list[SourceTrouble] = []

    async def __aenter__(self) -> "Watch":
        self._task = asyncio.create_task(
            observe_lag(self.ends, self.lines, Clock(), self._answered, self.troubles.append), name="watch"
        )
        await asyncio.sleep(OBSERVE_S / 2)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _answered(self) -> None:
        self.answers += 1

    async def rounds(self, count: int) -> list[list[Partition]]:
        """What each of them asked for."""
        self.ends.asked.clear()
        await asyncio.sleep(count * OBSERVE_S)
        return list(self.ends.asked)


@pytest.mark.looptime
async def test_idle_partitions_are_asked_about_in_turn_and_all_of_them():
    async with Watch(IDLE) as watch:
        assert await watch.rounds(1) == [list(watch.lines)]
        asked = await watch.rounds(TURNS)
        assert {len(each) for each in asked} == {IDLE // TURNS}
        assert sorted(partition for each in asked for partition in each) == sorted(watch.lines)
        assert watch.answers == 1 + TURNS


@pytest.mark.looptime
async def test_what_reading_does_not_tell_is_asked_about_each_time():
    async with Watch(IDLE) as watch:
        await watch.rounds(1)
        paused, halted, draining, behind, reading = list(watch.lines.values())[:5]
        paused.paused, halted.halt, draining.draining = True, Halt("tombstone", 0, "null"), True
        watch.ends.behind[behind.partition] = 9
        await watch.rounds(TURNS)  # its turn came, and showed that it has more
        for number in range(3):
            admit(reading, [number], next_offset=number + 1)
            (asked,) = await watch.rounds(1)
            assert {line.partition for line in (paused, halted, draining, behind, reading)} <= {*asked}
        assert behind.lag(FIRST_MS)[0] == 9
        admit(behind, [], next_offset=9)
        paused.paused, halted.halt, draining.draining = False, None, False
        await watch.rounds(1)
        assert sum(map(len, await watch.rounds(TURNS))) == IDLE


@pytest.mark.looptime
async def test_a_new_assignment_of_a_partition_is_asked_about_at_once():
    async with Watch(IDLE) as watch:
        await watch.rounds(1)
        again = list(watch.lines.values())[7]
        watch.lines[again.partition] = new_line(again.partition.number)
        assert again.partition in (await watch.rounds(1))[0]
        assert sum(map(len, await watch.rounds(TURNS))) == IDLE


@pytest.mark.looptime
async def test_whether_kafka_works_is_told_each_time_also_where_nothing_is_to_be_asked_about():
    async with Watch(0) as watch:
        assert await watch.rounds(2) == [[], []]
        assert watch.answers == 2
    async with Watch(1) as watch:
        await watch.rounds(2)
        assert watch.answers == 2
        watch.ends.silent = True
        await watch.rounds(2)
        assert (watch.answers, [trouble.code for trouble in watch.troubles]) == (2, ["end_offsets"] * 2)
