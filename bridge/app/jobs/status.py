"""What the whole bridge does, told from Kafka alone: any process that reaches Kafka can say it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bridge.app.routing import route_of
from bridge.app.settings import Settings
from bridge.core.delivery.commit_metadata import CommitPoint, HotLane, decode
from bridge.core.delivery.halts import HALTS, reason_named
from bridge.core.delivery.ownership import Ownership
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.records import GroupMember, Partition
from bridge.ports import Clock, GroupDirectory


@dataclass(slots=True, frozen=True)
class PartitionStatus:
    """One partition: where the group stands, how far behind it is, whether it stands still.

    `committed` is None before the first commit. `lag_seconds` is the age of the record at the committed offset, None
    where it could not be read. `remedy` says what to do about a halt. `hot_lane` holds the partition up. `ownership` is who has
    committed it, and what a successor has to know; None where nothing of a bridge with a ledger stands beside the offset.
    `unreadable` says why what stands there cannot be read by this version. Of an open partition `lease_remaining_s` is how long
    its owner may still write, below 0 once that is over and None where it has no lease, and `watermark_age_s` how far back a
    recovery would have to look. `awaits_recovery` is whether nobody may write it before what its last owner has left is settled.
    """

    topic: str
    partition: int
    committed: int | None
    end: int
    lag_records: int
    lag_seconds: float | None
    halted: str | None
    halted_at: int | None
    remedy: str | None
    member: str | None
    hot_lane: HotLane | None = None
    ownership: Ownership | None = None
    unreadable: str | None = None
    lease_remaining_s: float | None = None
    watermark_age_s: float | None = None
    awaits_recovery: bool = False


@dataclass(slots=True, frozen=True)
class RouteStatus:
    """A route and its partitions; lag in records is their sum, in seconds their worst."""

    route: str
    streams: list[str]
    lag_records: int
    lag_seconds: float | None
    halted: int
    partitions: list[PartitionStatus]


@dataclass(slots=True, frozen=True)
class MemberStatus:
    """One replica of the bridge."""

    client_id: str
    host: str
    partitions: int


@dataclass(slots=True, frozen=True)
class LedgerStatus:
    """The ledger topic: the end offset of each slot, and how many messages of it whoever took over all open partitions now
    would have to read."""

    topic: str
    end_offsets: dict[int, int]
    to_read: int


@dataclass(slots=True, frozen=True)
class Status:
    """The whole bridge. `notes` say what could not be told; `members_told` is false where Kafka did not tell the members.
    `ledger` is None where there is none yet."""

    name: str
    group: str
    members: list[MemberStatus]
    routes: list[RouteStatus]
    notes: list[str] = field(default_factory=list)
    members_told: bool = True
    ledger: LedgerStatus | None = None


async def read_status(settings: Settings, kafka: GroupDirectory, clock: Clock) -> Status:
    """Asks Kafka. Raises UnavailableError when it does not answer, RefusedError where the group may not be read.

    Leases and watermarks are judged by this machine's clock, though they are in Kinesis's.
    """
    ledger = settings.ledger_definition.name
    there = await kafka.partitions_of(lambda topic: topic == ledger or route_of(settings, topic) is not None)
    partitions = [partition for partition in there if partition.topic != ledger]
    group = settings.kafka.group
    committed, ends = await asyncio.gather(kafka.committed(group, partitions), kafka.end_offsets(there))
    behind = {p: point.offset for p, point in committed.items() if ends.get(p, 0) > point.offset}
    timestamps = await kafka.timestamps_at(behind) if behind else {}
    notes = [] if len(there) > len(partitions) else [f"topic {ledger} is not in Kafka: no daemon has run yet, or it was removed"]
    notes += [f"topic {route.topic} is not in Kafka" for route in settings.routes if not _has(partitions, route.topic, settings)]
    members_told = True
    try:
        members = await kafka.members(group)
    except (UnavailableError, RefusedError) as error:
        members, members_told = [], False
        notes.append(str(error))
    rows = _rows(partitions, committed, ends, timestamps, members if members_told else None, clock.wall_ms())
    routes = [_route(settings, route.topic, rows) for route in settings.routes]
    replicas = [MemberStatus(m.client_id, m.host, len(m.partitions)) for m in members]
    return Status(settings.name, group, replicas, routes, notes, members_told, _ledger(ledger, ends, rows))


def _rows(
    partitions: Sequence[Partition],
    committed: Mapping[Partition, CommitPoint],
    ends: Mapping[Partition, int],
    timestamps: Mapping[Partition, int],
    members: Sequence[GroupMember] | None,
    wall_ms: float,
) -> list[PartitionStatus]:
    owner = {partition: member.client_id for member in members or () for partition in member.partitions}
    rows = []
    for partition in partitions:
        point = committed.get(partition)
        end = ends.get(partition, 0)
        lag = max(0, end - (point.offset if point else 0))
        metadata = decode(point.metadata if point else None)
        since = timestamps.get(partition)
        seconds = 0.0 if not lag else max(0.0, (wall_ms - since) / 1000) if since is not None else None
        offset = point.offset if point else None
        where = (partition.topic, partition.number, offset, end, lag, seconds)
        reason = reason_named(metadata.halted)
        remedy = HALTS[reason].remedy if reason else None
        halt = (metadata.halted, metadata.halted_at, remedy)
        beside = (metadata.hot_lane, metadata.ownership, metadata.unreadable)
        lease = _lease(metadata.ownership, members is None or partition in owner, wall_ms)
        rows.append(PartitionStatus(*where, *halt, owner.get(partition), *beside, *lease))
    return rows


def _lease(ownership: Ownership | None, is_owned: bool, wall_ms: float) -> tuple[float | None, float | None, bool]:
    """See `PartitionStatus`. Without a lease an owner attempts nothing, and only its ledger entries matter."""
    if ownership is None or not ownership.is_open:
        return None, None, False
    end_ms = ownership.lease_end_ms
    remaining_s = (end_ms - wall_ms) / 1000 if end_ms else None
    age_s = max(0.0, (wall_ms - ownership.watermark_ms) / 1000) if ownership.watermark_ms else None
    return remaining_s, age_s, not is_owned or (remaining_s is not None and remaining_s < 0)


def _ledger(topic: str, ends: Mapping[Partition, int], rows: Sequence[PartitionStatus]) -> LedgerStatus | None:
    slots = {partition.number: end for partition, end in sorted(ends.items()) if partition.topic == topic}
    floors: dict[int, int] = {}
    for ownership in (row.ownership for row in rows):
        if ownership is not None and ownership.is_open:
            for slot, floor in ownership.floors.items():
                floors[slot] = min(floor, floors.get(slot, floor))
    to_read = sum(max(0, slots.get(slot, floor) - floor) for slot, floor in floors.items())
    return LedgerStatus(topic, slots, to_read) if slots else None


def _route(settings: Settings, name: str, rows: Sequence[PartitionStatus]) -> RouteStatus:
    ours = [row for row in rows if (route := route_of(settings, row.topic)) and route.topic == name]
    route = next(route for route in settings.routes if route.topic == name)
    known = [row.lag_seconds for row in ours if row.lag_seconds is not None]
    return RouteStatus(
        name,
        sorted({route.stream_for(row.topic) for row in ours}),
        sum(row.lag_records for row in ours),
        max(known) if len(known) == len(ours) and ours else None,
        sum(row.halted is not None for row in ours),
        ours,
    )


def _has(partitions: Sequence[Partition], name: str, settings: Settings) -> bool:
    return any((route := route_of(settings, p.topic)) and route.topic == name for p in partitions)
