"""The direction of each route, from the control topic: nothing of an assignment is attempted before it was read to its end.

This version carries forward only. A route with any other direction, or in the middle of a change, is held and says so: to carry
it half would be worse than to let it wait. Held partitions are paused, and begin anew at their committed offset when they carry.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress

from bridge.app.partition_line import PartitionLine, Phase
from bridge.app.telemetry import Sample, Telemetry
from bridge.core.delivery.policies import Decided
from bridge.core.direction.control_record import ControlRecord
from bridge.core.direction.control_state import ControlState, control_state, messages_of
from bridge.core.direction.decisions import PartitionOwner, PartitionSays, carried, partition_shows
from bridge.core.direction.direction import Direction, Path
from bridge.core.direction.direction import Phase as ChangePhase
from bridge.core.direction.resume import AT_ONE_RECORD, Resume, Way
from bridge.core.direction.transitions import first_record
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.records import Partition
from bridge.ports import Clock, ControlStore

LOOK_S = 2.0
"""How often the control topic is asked for something new."""
RETRY_S = 1.0
FIRST_DIRECTION = Direction.FORWARD
"""Of a route that the control topic does not know yet."""
CAN_CARRY = frozenset({Direction.FORWARD, Direction.PAUSED})


class RouteControl:
    """Tells each partition whether it carries, under which epoch, and the operator's word for the record at which it stands."""

    def __init__(
        self,
        store: ControlStore,
        lines: Mapping[Partition, PartitionLine],
        clock: Clock,
        telemetry: Telemetry,
        owner: str,
    ) -> None:
        """`lines` are the partitions that are ours now, `owner` is this process."""
        self._store = store
        self._lines = lines
        self._clock = clock
        self._telemetry = telemetry
        self._owner = owner
        self.on_carry: Callable[[PartitionLine], None] = lambda line: None
        """It may be offered from now on."""
        self.on_hold: Callable[[Collection[Partition]], None] = lambda partitions: None
        """Nothing of them is to be read."""
        self.on_anew: Callable[[PartitionLine], None] = lambda line: None
        """It is to drain and to begin anew at what is committed then."""
        self._latest: Mapping[str, bytes] = {}
        self._state = ControlState()
        self._open = False
        self._wake = asyncio.Event()
        self._trouble: str | None = None
        self._told: dict[str, tuple[str | None, int]] = {}
        self._done: dict[Partition, Resume] = {}

    def assigned(self, line: PartitionLine) -> None:
        """A partition came: it waits for the next reading."""
        line.carries = None
        self._wake.set()

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._look([line for line in self._lines.values() if line.unreadable is None])
                self._note(None)
            except (UnavailableError, RefusedError) as error:
                self._note(str(error))
                await asyncio.sleep(RETRY_S)
                self._wake.set()

    def problems(self) -> list[str]:
        """Why routes are held that should not be, in sentences. One that was paused on purpose is none."""
        trouble = [f"control: {self._trouble}"] if self._trouble else []
        routes = sorted({line.partition.topic for line in self._lines.values()})
        return trouble + [f"route {route}: {why}" for route in routes if (why := self._told.get(route, (None, 0))[0])]

    def samples(self) -> Iterator[Sample]:
        """Gauges of the routes of which this process has a partition."""
        for route in {line.partition.topic for line in self._lines.values()}:
            if record := self._state.records.get(route):
                for direction in Direction:
                    yield "bridge_direction", (route, direction), float(record.direction is direction)
                yield "bridge_direction_epoch", (route,), record.epoch

    # -- the work

    async def _look(self, lines: Sequence[PartitionLine]) -> None:
        """What it finds holds for these lines: they were ours before the reading began."""
        if not lines:
            return
        if not self._open:
            await self._store.open()
            self._open = True
        latest = await self._store.read()
        state = self._state if latest == self._latest else control_state(latest)
        if missing := {line.partition.topic: line for line in lines if _begins(line, state)}:
            latest = await self._store.change(lambda now: self._first(now, missing))
            state = control_state(latest)
        before, self._state, self._latest = self._state, state, latest
        same = {route for route, record in state.records.items() if before is state or before.records.get(route) == record}
        for line in lines:
            route = line.partition.topic
            # Nothing new to thousands of partitions is the rule.
            is_settled = line.carries and line.halt is None and route in same and line.epoch == state.records[route].epoch
            if self._lines.get(line.partition) is line and not line.draining and not is_settled:
                self._apply(line)

    def _first(self, latest: Mapping[str, bytes], missing: Mapping[str, PartitionLine]) -> dict[str, bytes]:
        """Of those that are missing still: another replica may have come first."""
        state, now_ms = control_state(latest), round(self._clock.wall_ms())
        written: dict[str, bytes] = {}
        for route, line in sorted(missing.items()):
            if _begins(line, state):
                written |= messages_of(first_record(route, FIRST_DIRECTION, self._owner, now_ms, line.slices))
        return written

    def _apply(self, line: PartitionLine) -> None:
        record = self._state.records.get(line.partition.topic)
        says = None if record is None else _shows(record, line)
        why = self._held_because(line, record, says)
        carries = why is None and Path.FORWARD in carried(record)
        if says is not None and why is None:
            line.epoch = says.epoch
        self._tell(line.partition.topic, record, why)
        if line.carries is None:
            line.carries = carries
            self._decide(line)
            if carries:
                self.on_carry(line)
            else:
                line.drop_held()  # nothing more of it is read, so nothing waits in memory
                self.on_hold([line.partition])
        elif line.carries != carries or self._goes_on(line):
            self.on_anew(line)

    def _held_because(self, line: PartitionLine, record: ControlRecord | None, says: PartitionSays | None) -> str | None:
        """Why the route is held although nobody paused it, with what to do; None where it carries, or is paused."""
        route = line.partition.topic
        if problem := self._state.unreadable.get(route):
            return problem
        if record is None or says is None:
            found = "no record" if record is None else f"epoch {record.epoch}"
            return (
                f"its commits show epoch {line.epoch}, the control topic has {found}: what it held was lost; bring it back, or "
                "stop all replicas, set the group's offset to where it is with kafka-consumer-groups.sh, and start them: "
                f"then it begins anew as {FIRST_DIRECTION}"
            )
        if record.phase is not ChangePhase.ACTIVE:
            return f"a change to {record.direction} is {record.phase}, which this version cannot carry out: run one that can"
        if record.direction not in CAN_CARRY:
            return f"its direction is {record.direction}, and this version carries forward only: run one that can"
        return None

    def _tell(self, route: str, record: ControlRecord | None, why: str | None) -> None:
        said = why, 0 if record is None else record.epoch
        if self._told.get(route) == said:
            return
        self._told[route] = said
        if why is not None:
            self._telemetry.log("error", "route_held", route=route, problem=why)
        elif record is not None:
            self._telemetry.log("info", "direction_taken_up", route=route, direction=record.direction, epoch=record.epoch)

    def _note(self, problem: str | None) -> None:
        if problem != self._trouble:
            if problem is None:
                self._telemetry.log("info", "control_recovered")
            else:
                self._telemetry.log("error", "control_trouble", problem=problem)
        self._trouble = problem

    # -- the operator's word for a halted partition

    def _resume_for(self, line: PartitionLine) -> Resume | None:
        resume = self._state.resumes.get(line.partition)
        return resume if resume is not None and resume.topic_id == line.topic_id else None

    def _decide(self, line: PartitionLine) -> None:
        """A new owner heeds it too, until the record is passed."""
        resume = self._resume_for(line)
        if resume is not None and resume.way is not Way.RESEND and resume.offset >= line.committable():
            detail = f"{resume.reason}, by the word of {resume.who}: {resume.why}"
            line.lanes.decided = Decided(resume.offset, "skip" if resume.way is Way.SKIP else "park", resume.reason, detail)

    def _goes_on(self, line: PartitionLine) -> bool:
        """Whether the operator has said something about this very halt that was not heeded yet."""
        resume, halt = self._resume_for(line), line.halt
        if resume is None or halt is None or halt.reason not in AT_ONE_RECORD or resume.offset != halt.offset:
            return False
        if self._done.get(line.partition) == resume:
            return False
        self._done[line.partition] = resume
        self._telemetry.log(
            "info",
            "partition_resumed",
            topic=line.partition.topic,
            partition=line.partition.number,
            offset=resume.offset,
            way=resume.way,
            who=resume.who,
            why=resume.why,
        )
        return True


def _begins(line: PartitionLine, state: ControlState) -> bool:
    """Whether the route was never under control: then its configured direction is its first."""
    route = line.partition.topic
    return line.epoch == 0 and route not in state.records and route not in state.unreadable


def _shows(record: ControlRecord, line: PartitionLine) -> PartitionSays | None:
    """What the next commit may say; None where the record is older than what the last one said."""
    says = PartitionSays(line.epoch, True, clean=False)
    owner = PartitionOwner(True, line.phase is not Phase.READING, None, says)
    return partition_shows(record, owner, line.unsettled, idle=line.phase is Phase.CLEAN)
