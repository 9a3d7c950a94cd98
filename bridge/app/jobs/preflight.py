"""`bridge direction preflight`: whether routes could change their direction now. Everything is looked at, nothing is changed.

What cannot be measured by this version stays None, and its guard refuses: parity, the reverse path, rates, versions of replicas.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from bridge.app.jobs.status import PartitionStatus, Status, read_status
from bridge.app.routing import route_of
from bridge.app.settings import Settings
from bridge.app.settings.topics import topic_matches
from bridge.core.direction.control_record import ControlRecord, Held
from bridge.core.direction.control_state import ControlState, control_state
from bridge.core.direction.direction import Direction, Path
from bridge.core.direction.gathered import Gathered
from bridge.core.direction.guards import Refused, allowed, refusals, turned_on
from bridge.core.errors import KeysIgnoredError, RefusedError, UnavailableError
from bridge.core.records import Partition
from bridge.core.topics import FOREVER
from bridge.ports import Clock, ControlStore, GroupDirectory, ShardDirectory, TopicDirectory

RETENTION_NEEDED_S = 24 * 3600.0
"""A night for the change, and the day after it to look at its outcome and to go back."""


class Kafka(GroupDirectory, TopicDirectory, Protocol):
    """What is asked of Kafka."""


@dataclass(slots=True, frozen=True)
class Asked:
    """Where to, what would become of held records, and which routes are meant: a topic or a pattern; None for all."""

    to: Direction
    held: Held | None = None
    routes: str | None = None


@dataclass(slots=True, frozen=True)
class RoutePreflight:
    """Of one route. `control` is its record now, `refused` every guard that does not hold, `notes` what could not be asked."""

    route: str
    stream: str
    control: ControlRecord | None
    refused: list[Refused]
    notes: list[str]

    @property
    def is_allowed(self) -> bool:
        """Whether the change could be asked for now."""
        return allowed(self.refused)


@dataclass(slots=True, frozen=True)
class _Stream:
    """What Kinesis says of one. None: it was not told."""

    retention_s: float | None = None
    keys_ignored: bool | None = None
    problem: str | None = None
    refused: bool = False


class Preflight:
    """Asks both platforms for what the guards judge by."""

    def __init__(
        self, settings: Settings, kafka: Kafka, kinesis: ShardDirectory, store: ControlStore, clock: Clock, asked: Asked
    ) -> None:
        self._settings = settings
        self._kafka = kafka
        self._kinesis = kinesis
        self._store = store
        self._clock = clock
        self._asked = asked
        self._streams: dict[str, _Stream] = {}

    async def run(self) -> list[RoutePreflight]:
        """Route by route. Raises UnavailableError where Kafka does not answer, RefusedError where it may not be asked."""
        status = await read_status(self._settings, self._kafka, self._clock)
        rows = rows_by_topic(status, self._asked.routes)
        if not rows:
            raise RefusedError(f"--routes {self._asked.routes}: no route of the configuration carries such a topic of Kafka")
        state = control_state(await self._store.read())
        troubles = await self._internal_topics()
        kept = await self._kafka.settings_of(rows.keys())
        return [
            await self._route(topic, of_topic, state, troubles, (status, kept.get(topic, {}))) for topic, of_topic in rows.items()
        ]

    async def _route(
        self,
        topic: str,
        rows: Sequence[PartitionStatus],
        state: ControlState,
        troubles: tuple[str, ...],
        known: tuple[Status, Mapping[str, str]],
    ) -> RoutePreflight:
        status, kept = known
        route = route_of(self._settings, topic)
        name = route.stream_for(topic) if route else topic
        stream = await self._stream(name)
        lags = [row.lag_seconds for row in rows]
        gathered = Gathered(
            to=self._asked.to,
            held=self._asked.held,
            control=state.records.get(topic),
            forward_lag_s=max((lag for lag in lags if lag is not None), default=0.0) if None not in lags else None,
            unclean_partitions=unclean(rows, status),
            topic_retention_s=_retention_s(kept),
            stream_retention_s=stream.retention_s,
            internal_topics_in_trouble=troubles,
            keys_ignored=stream.keys_ignored,
            lag_max_s=self._settings.switchover.lag_max,
            retention_needed_s=RETENTION_NEEDED_S,
        )
        gathered = replace(
            gathered,
            held_records=_held_records(gathered, rows),
            permissions_missing=await self._missing(gathered, Partition(topic, rows[0].partition), name, stream),
        )
        notes = [text for text in (stream.problem, state.unreadable.get(topic)) if text]
        if gathered.control is not None and gathered.control.direction is self._asked.to:
            notes.append(f"the route has the direction {self._asked.to} already, or is on its way there")
        return RoutePreflight(topic, name, gathered.control, refusals(gathered), notes)

    async def _internal_topics(self) -> tuple[str, ...]:
        """Ledger and control have to be there; dead letters only once a record was parked."""
        found: list[str] = []
        for definition in (self._settings.ledger_definition, self._settings.control_definition):
            found += await self._kafka.troubles_of(definition)
        return tuple(found)

    async def _stream(self, name: str) -> _Stream:
        if name not in self._streams:
            self._streams[name] = await self._described(name)
        return self._streams[name]

    async def _described(self, name: str) -> _Stream:
        try:
            described = await self._kinesis.describe(name)
        except KeysIgnoredError as error:
            return _Stream(keys_ignored=True, problem=str(error))
        except RefusedError as error:
            return _Stream(problem=str(error), refused=True)
        except UnavailableError as error:
            return _Stream(problem=str(error))
        return _Stream(None if described.retention_ms is None else described.retention_ms / 1000, keys_ignored=False)

    async def _missing(self, gathered: Gathered, partition: Partition, stream: str, described: _Stream) -> tuple[str, ...] | None:
        """Rights that the paths lack which would be turned on; those of the reverse path cannot be tried yet."""
        if turned_on(gathered, Path.REVERSE):
            return None
        if not turned_on(gathered, Path.FORWARD):
            return ()
        missing = [f"describe stream {stream} ({described.problem})"] if described.refused else []
        for what, trying in (
            (f"read {partition}", self._kafka.try_to_read(partition)),
            (f"put records into stream {stream}", self._kinesis.try_to_write(stream)),
            (f"read records of stream {stream} back", self._kinesis.try_to_read(stream)),
            ("read and write the ledger", self._kafka.try_topic(self._settings.ledger_definition)),
            ("read and write the control topic", self._kafka.try_topic(self._settings.control_definition)),
        ):
            try:
                await trying
            except (RefusedError, UnavailableError) as error:
                missing.append(f"{what} ({error})")
        return tuple(missing)


def rows_by_topic(status: Status, routes: str | None) -> dict[str, list[PartitionStatus]]:
    """The partitions of each route that is meant; a pattern of the configuration stands for a route of each topic."""
    rows: dict[str, list[PartitionStatus]] = {}
    for row in sorted((row for route in status.routes for row in route.partitions), key=lambda row: (row.topic, row.partition)):
        if routes is None or topic_matches(routes, row.topic):
            rows.setdefault(row.topic, []).append(row)
    return rows


def unclean(rows: Sequence[PartitionStatus], status: Status) -> tuple[str, ...] | None:
    """Halted, left open by an owner that is gone, or not to be read. Where the group's members are not told, open ones cannot
    be judged."""
    unclean = []
    for row in rows:
        is_open = row.ownership is not None and row.ownership.is_open
        if row.unreadable:
            unclean.append(f"{row.topic}-{row.partition} (what stands beside its committed offset: {row.unreadable})")
        elif row.halted:
            unclean.append(f"{row.topic}-{row.partition} (halted at {row.halted_at}: {row.halted})")
        elif is_open and not status.members_told:
            return None
        elif row.awaits_recovery:
            unclean.append(f"{row.topic}-{row.partition} (open, without an owner)")
    return tuple(unclean)


def _held_records(gathered: Gathered, rows: Sequence[PartitionStatus]) -> int | None:
    """On the paths that would be turned on. Native ones are what Kafka has above the committed offsets; foreign ones are not
    counted yet."""
    if turned_on(gathered, Path.REVERSE):
        return None
    return sum(row.lag_records for row in rows) if turned_on(gathered, Path.FORWARD) else 0


def _retention_s(kept: Mapping[str, str]) -> float | None:
    """Infinite where nothing expires. What a limit in bytes leaves is a matter of the rate, so it cannot be told."""
    if "cleanup.policy" not in kept or "retention.ms" not in kept:
        return None
    if "delete" not in kept["cleanup.policy"]:
        return math.inf
    if kept.get("retention.bytes", FOREVER) != FOREVER:
        return None
    return math.inf if kept["retention.ms"] == FOREVER else int(kept["retention.ms"]) / 1000
