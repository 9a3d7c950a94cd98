"""What each owner may do, and when a change is through: functions of the control record and of what Kafka shows.

An owner *shows* the epoch that it acts by, and whether the change to it has begun, which is so from its point of no return: in
the commit metadata of a partition, in the checkpoint of a slot. It acts by it only once that is confirmed. So whoever reads all
of these knows what nobody does any more, however late a replica reads the control topic, and whoever takes over finds in the
same place whether held records were skipped.

What a partition or slot shows holds as long as the control record stands: an owner reads the control topic to its end after each
assignment, before it shows or attempts anything, so no later owner falls back behind it.
"""

from enum import StrEnum
from typing import NamedTuple

from bridge.core.direction.control_record import ControlRecord, Held
from bridge.core.direction.direction import PATHS, Event, Path, Phase


class PartitionSays(NamedTuple):
    """Of a partition's commit metadata. `clean`: no attempt is unresolved, all that is stored is in the ledger and committed."""

    epoch: int
    begun: bool
    clean: bool


class SlotSays(NamedTuple):
    """Of a slot's checkpoint, of this route. It is written in a transaction, so nothing before it is unresolved."""

    epoch: int
    begun: bool


class RouteSays(NamedTuple):
    """All partitions and slots of a route, listed after the control record was read; None for one that says nothing yet."""

    partitions: tuple[PartitionSays | None, ...]
    slots: tuple[SlotSays | None, ...]


class PartitionOwner(NamedTuple):
    """What an owner has of one assignment.

    `control_read`: after the assignment the commit metadata were read, then the control topic to its end. `recovered`: what the
    owner before left unresolved is settled. `attempts_until_ms`: the last moment at which an attempt may start within the lease
    of a confirmed `open` commit of this assignment, None before there is one. `says`: of the last commit that is confirmed.
    """

    control_read: bool
    recovered: bool
    attempts_until_ms: int | None
    says: PartitionSays | None


class SlotOwner(NamedTuple):
    """What an owner has of one assignment of a slot.

    `control_read`: the owner before was fenced off, then the checkpoint was read, then the control topic to its end. `says`: of
    the last transaction that is committed.
    """

    control_read: bool
    says: SlotSays | None


class Whose(StrEnum):
    """Where a record came from. `unclear`: the ledger does not yet hold what would tell."""

    TO_CARRY = "to_carry"
    BRIDGED = "bridged"
    UNCLEAR = "unclear"


class Verdict(StrEnum):
    """What a path does with the record at its position: go past it, stop there, or ask again later."""

    CARRY = "carry"
    HOLD = "hold"
    PASS = "pass"
    WAIT = "wait"


# -- what an owner may do


def carried(record: ControlRecord | None) -> frozenset[Path]:
    """The paths that carry. While a change drains only those that carried before and shall carry on. None without a record."""
    if record is None:
        return frozenset()
    if record.phase is Phase.DRAINING:
        return PATHS[record.leaving] & PATHS[record.direction]
    return PATHS[record.direction]


def verdict(whose: Whose, carries: bool) -> Verdict:
    """What becomes of a record on a path that carries, or holds."""
    if whose is Whose.BRIDGED:
        return Verdict.PASS
    if whose is Whose.UNCLEAR:
        return Verdict.WAIT
    return Verdict.CARRY if carries else Verdict.HOLD


def may_attempt(record: ControlRecord | None, owner: PartitionOwner, now_ms: int) -> bool:
    """Whether the owner of a partition may start an attempt to put native records."""
    return (
        owner.control_read
        and owner.recovered
        and owner.attempts_until_ms is not None
        and now_ms <= owner.attempts_until_ms
        and Path.FORWARD in carried(record)
        and _acts_by(record, owner.says)
    )


def may_carry_back(record: ControlRecord | None, owner: SlotOwner) -> bool:
    """Whether the owner of a slot may begin a transaction with foreign records of this route."""
    return owner.control_read and Path.REVERSE in carried(record) and _acts_by(record, owner.says)


def begun(record: ControlRecord) -> bool:
    """Whether the direction of the record rules: the change to it cannot be given up any more, or is over."""
    return record.phase is not Phase.DRAINING


def _acts_by(record: ControlRecord | None, says: PartitionSays | SlotSays | None) -> bool:
    """Whether what is shown allows to act by this record."""
    return record is not None and says is not None and says[:2] == (record.epoch, begun(record))


# -- what an owner shows


def partition_shows(record: ControlRecord | None, owner: PartitionOwner, unresolved: int, idle: bool) -> PartitionSays | None:
    """What the next commit of a partition says; None while it must repeat what it says now.

    `unresolved` counts rows that are attempted or stored and will not be committed by this very commit. A partition is clean
    with none, where its path does not carry or has nothing to do (`idle`).
    """
    if record is None or not owner.control_read or _falls_back(record, owner.says):
        return None
    settled = owner.recovered and unresolved == 0
    return PartitionSays(record.epoch, begun(record), settled and (idle or Path.FORWARD not in carried(record)))


def slot_shows(record: ControlRecord | None, owner: SlotOwner, open_records: int) -> SlotSays | None:
    """What the next checkpoint of a slot says; None while it must repeat what it says now.

    `open_records` counts those of a transaction that is not part of this checkpoint.
    """
    if record is None or not owner.control_read or open_records or _falls_back(record, owner.says):
        return None
    return SlotSays(record.epoch, begun(record))


def _falls_back(record: ControlRecord, says: PartitionSays | SlotSays | None) -> bool:
    """Whether the record is older than what is shown: then it was not read to its end."""
    return says is not None and (record.epoch, begun(record)) < says[:2]


def skips_held(record: ControlRecord, path: Path, says: PartitionSays | SlotSays | None) -> bool:
    """Whether the commit or checkpoint that shows this record for the first time also moves past the records held by then.

    Only past the point of no return of a change that turns the path on, and only where it is shown that the change had not
    begun: once, however often the owner changes, and not for partitions that came later.
    """
    return (
        record.held is Held.SKIP
        and begun(record)
        and path in PATHS[record.direction] - PATHS[record.leaving]
        and says is not None
        and says[:2] == (record.epoch, False)
    )


# -- how far a change is


def drained(record: ControlRecord, route: RouteSays) -> bool:
    """Whether nothing of the paths that are turned off is under way any more, whoever owned it.

    A partition whose path carries on need not be clean: it shows the epoch. One whose path does not must be clean, so one that
    was left open is recovered first.
    """
    carries_on = Path.FORWARD in carried(record)
    return all(
        says is not None and says.epoch == record.epoch and (says.clean or carries_on) for says in route.partitions
    ) and all(says is not None and says.epoch == record.epoch for says in route.slots)


def taken_up(record: ControlRecord, route: RouteSays) -> bool:
    """Whether every owner acts by this record; held records are skipped by then, where that was the word."""
    return all(_acts_by(record, says) for says in (*route.partitions, *route.slots))


def overdue(record: ControlRecord, now_ms: int) -> bool:
    """Whether a change has drained for too long, also where it is drained by now: what was asked for one hour of the night is not
    done at another."""
    return record.phase is Phase.DRAINING and record.deadline_ms is not None and now_ms > record.deadline_ms


def due(record: ControlRecord, route: RouteSays, now_ms: int) -> Event | None:
    """What moves the route on by now; any replica may write it. None: nothing yet."""
    if record.phase is Phase.DRAINING:
        if overdue(record, now_ms):
            return Event.DEADLINE
        return Event.DRAINED if drained(record, route) else None
    if record.phase is Phase.STARTING:
        return Event.STARTED if taken_up(record, route) else None
    if record.phase is Phase.ABORTING:
        return Event.RESUMED if taken_up(record, route) else None
    return None
