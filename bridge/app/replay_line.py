"""Dead letters through the normal mapping and the normal stream lines, from outside the daemon.

What cannot be carried is told and left where it is, whatever the route's policies: nothing is parked twice or skipped.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby

from bridge.app.jobs.replay import Carried, Fate
from bridge.app.partition_line import PartitionLine
from bridge.app.routing import RoutedTopic, RouteTopic
from bridge.app.stream_line import StreamLine
from bridge.core.delivery.ack_tracker import AckTracker
from bridge.core.delivery.halts import Halt
from bridge.core.delivery.lanes import MappedBatch, PartitionLanes
from bridge.core.delivery.policies import Policies
from bridge.core.records import DeadLetter, Partition, SourceBatch

STALL_S = 60.0
"""So long nothing may be confirmed while something is under way."""


def strict(policies: Policies) -> Policies:
    """With `stop` in place of `park` and `skip`: a replay tells what it cannot carry. What makes a record fit stays."""
    return Policies(
        "stop",
        "hash" if policies.on_long_key == "hash" else "stop",
        "send_empty" if policies.on_tombstone == "send_empty" else "stop",
        "use_kafka_key" if policies.on_missing_field == "use_kafka_key" else "stop",
    )


class RememberingTracker(AckTracker):
    """Knows of each row whether it is resolved, also behind one that never will be."""

    __slots__ = ("_admitted",)

    def __init__(self, start_offset: int) -> None:
        super().__init__(start_offset)
        self._admitted: list[MappedBatch] = []

    def admit(self, batch: MappedBatch) -> None:
        """See `AckTracker`."""
        super().admit(batch)
        self._admitted.append(batch)

    def resolved(self) -> set[int]:
        """Offsets."""
        rows = ((offset, done) for batch in self._admitted for offset, done in zip(batch.offsets, batch.resolved, strict=True))
        return {offset for offset, done in rows if done}


@dataclass(slots=True, eq=False)
class _Carrying:
    """The letters of one partition on their way."""

    stream: StreamLine
    line: PartitionLine
    tracker: RememberingTracker
    letters: Sequence[DeadLetter]
    stopped: dict[int, Halt] = field(default_factory=dict)
    offer_from: int | None = 0
    """Offset from which letters are still to be offered; None: all are."""

    @property
    def under_way(self) -> bool:
        return self.offer_from is not None or bool(self.line.held) or self.line.lanes.unresolved > 0

    def push(self) -> None:
        """Offers what may be offered now."""
        if self.offer_from is None:
            self.stream.offer_held(self.line)
            return
        letters = [letter for letter in self.letters if letter.offset >= (self.offer_from or 0)]
        self.offer_from = None
        if letters:
            self.stream.offer(self.line, _batch(letters))

    def halt(self, halt: Halt) -> None:
        """A record that cannot be carried, or that Kinesis refused."""
        self.stopped[halt.offset] = halt
        if halt.offset >= self.tracker.read_to:  # it ended its batch
            self.line.drop_held()
            self.offer_from = halt.offset + 1

    def answers(self) -> list[Carried]:
        """Of all letters, when nothing is under way any more, or nothing has happened for too long."""
        resolved = self.tracker.resolved()
        problem = self.stream.trouble or f"Kinesis has not confirmed it within {STALL_S:g} s; it may have been written"
        return [_answer(letter, self.stopped.get(letter.offset), resolved, problem) for letter in self.letters]


def _answer(letter: DeadLetter, halt: Halt | None, resolved: set[int], problem: str) -> Carried:
    if halt is not None:
        return Carried(Fate.STILL_DEAD, halt.reason, halt.detail)
    return Carried(Fate.CARRIED) if letter.offset in resolved else Carried(Fate.FAILED, detail=problem)


class ReplayLine:
    """`carry` of a replay. Used as a context: its streams work inside."""

    def __init__(
        self,
        open_stream: Callable[[str, float], StreamLine],
        route_topic: RouteTopic,
        slices: Mapping[str, int],
    ) -> None:
        """`slices` of each topic, as its partitions were assigned; topics that no route carries are not in it."""
        self._open_stream = open_stream
        self._route_topic = route_topic
        self._slices = slices
        self._streams: dict[str, StreamLine] = {}
        self._carrying: dict[PartitionLine, _Carrying] = {}
        self._progress = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self._working: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "ReplayLine":
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._working:
            task.cancel()
        await self._tasks.__aexit__(*error)  # type: ignore[arg-type]

    async def carry(self, letters: Sequence[DeadLetter]) -> Sequence[Carried]:
        """See `Carry`."""
        answers: dict[tuple[Partition, int, int], Carried] = {}
        ordered = sorted(letters, key=lambda letter: (letter.partition, letter.timestamp_ms, letter.offset))
        groups = [list(group) for _, group in groupby(ordered, key=lambda letter: letter.partition)]
        rounds = [_ascending(group) for group in groups]
        while any(rounds):
            now = [found.pop(0) for found in rounds if found]
            for group, found in zip(now, await self._carry_together(now), strict=True):
                answers |= dict(zip(map(_identity, group), found, strict=True))
        return [answers[_identity(letter)] for letter in letters]

    async def _carry_together(self, groups: Sequence[Sequence[DeadLetter]]) -> list[list[Carried]]:
        """Each group is of one partition."""
        carrying = [self._begin(group) for group in groups]
        under_way = [one for one in carrying if one is not None]
        while any(one.under_way for one in under_way):
            self._progress.clear()
            for one in under_way:
                one.push()
            if not any(one.under_way for one in under_way):
                break
            if not await self._progressed():
                break
        answers = [_unrouted(group) if one is None else one.answers() for group, one in zip(groups, carrying, strict=True)]
        for one in under_way:
            one.stream.detach(one.line)
            del self._carrying[one.line]
        return answers

    async def _progressed(self) -> bool:
        """Whether something happened in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STALL_S):
                await self._progress.wait()
                return True
        return False

    def _begin(self, letters: Sequence[DeadLetter]) -> _Carrying | None:
        partition = letters[0].partition
        slices = self._slices.get(partition.topic)
        if slices is None:
            return None
        if (routed := self._route_topic(partition.topic, slices)) is None:
            return None
        lanes = PartitionLanes(partition, routed.linger_s, aggregates=routed.aggregates)
        tracker = RememberingTracker(letters[0].offset)
        line = PartitionLine(partition, routed.route, routed.stream, tracker, lanes, slices)
        stream = self._stream(routed)
        carrying = self._carrying[line] = _Carrying(stream, line, tracker, letters)
        stream.attach(line, replace(routed.mapping, policies=strict(routed.mapping.policies)))
        return carrying

    def _stream(self, routed: RoutedTopic) -> StreamLine:
        if (stream := self._streams.get(routed.stream)) is None:
            stream = self._streams[routed.stream] = self._open_stream(routed.stream, routed.shard_share)
            stream.on_halt = self._halt
            stream.on_progress = self._progress.set
            self._working.append(self._tasks.create_task(stream.run()))
        return stream

    def _halt(self, line: PartitionLine, halt: Halt) -> None:
        if carrying := self._carrying.get(line):
            carrying.halt(halt)
            self._progress.set()


def _identity(letter: DeadLetter) -> tuple[Partition, int, int]:
    return letter.partition, letter.offset, letter.timestamp_ms


def _ascending(letters: Sequence[DeadLetter]) -> list[list[DeadLetter]]:
    """Runs whose offsets ascend: a topic that was created anew has each offset again."""
    runs: list[list[DeadLetter]] = []
    for letter in letters:
        if runs and letter.offset > runs[-1][-1].offset:
            runs[-1].append(letter)
        else:
            runs.append([letter])
    return runs


def _unrouted(letters: Sequence[DeadLetter]) -> list[Carried]:
    detail = f"no route of this configuration carries topic {letters[0].partition.topic}, or it is not in Kafka any more"
    return [Carried(Fate.STILL_DEAD, "no_route", detail)] * len(letters)


def _batch(letters: Sequence[DeadLetter]) -> SourceBatch:
    return SourceBatch(
        letters[0].partition,
        letters[-1].offset + 1,
        [letter.offset for letter in letters],
        [letter.timestamp_ms for letter in letters],
        [letter.key for letter in letters],
        [letter.value for letter in letters],
        [letter.headers for letter in letters],
    )
