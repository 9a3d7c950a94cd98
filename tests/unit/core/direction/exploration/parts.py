"""A partition and a slot of the route: what is true of them, what Kafka shows, what each replica believes; and their steps.

Each has one native (foreign) record, which has to be carried once where the direction carries it. What happens outside
`bridge.core.direction` is as DESIGN says: a lease is confirmed before attempts and lapses, recovery ends after the lease, a new
owner of a slot fences off the one before, ledger entries are replayed. Where nobody else can tell two states apart they are one:
unread and read, stored with the answer lost and with the answer not yet in the ledger.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from bridge.core.direction.control_record import ControlRecord, Held
from bridge.core.direction.decisions import (
    PartitionOwner,
    PartitionSays,
    SlotOwner,
    SlotSays,
    Verdict,
    Whose,
    may_attempt,
    may_carry_back,
    partition_shows,
    skips_held,
    slot_shows,
    verdict,
)
from bridge.core.direction.direction import PATHS, Path, Phase

NOW_MS = 0
REPLICAS = (0, 1)
UP, FROZEN, DOWN = "up", "frozen", "down"
NOBODY, GONE = -1, 2
"""Who opened a partition: nobody (it is clean), a replica, or one whose lease is over. A replica that has not recovered it yet is
RECOVERING more."""
RECOVERING = 10


class LawBrokenError(Exception):
    """A law does not hold: the message, which begins with the name of the law, and where it is known the state."""


class Surroundings(NamedTuple):
    """What a part meets: the latest control record, which each replica has seen (None while it is down), how they are."""

    latest: ControlRecord
    seen: tuple[ControlRecord | None, ControlRecord | None]
    replicas: tuple[str, str]


class Step(NamedTuple):
    """`fault`: whether it counts as one."""

    label: str
    part: "PartitionPart | SlotPart"
    fault: bool = False


def may_run(latest: ControlRecord) -> frozenset[Path]:
    """The paths of which something may be under way: said here once more, independent of what is explored."""
    return PATHS[latest.leaving if latest.phase is Phase.DRAINING else latest.direction]


def with_stage(stages: tuple[int, int], replica: int, stage: int) -> tuple[int, int]:
    return (stage, stages[1]) if replica == 0 else (stages[0], stage)


def check_skip(record: ControlRecord, path: Path, says: PartitionSays | SlotSays, untouched: bool) -> None:
    """Held records are left out only by the word, past the point of no return, once."""
    word = record.held is Held.SKIP and path in PATHS[record.direction] - PATHS[record.leaving]
    if not word:
        raise LawBrokenError("L1 no loss: held records are skipped and nobody said so")
    if record.phase is Phase.DRAINING:
        raise LawBrokenError("L1 no loss: held records are skipped by a change that can still be given up")
    if says[:2] != (record.epoch, False):
        raise LawBrokenError("L1 no loss: records are skipped once more")
    if not untouched:
        raise LawBrokenError("L1 no loss: a record under way is skipped")


def check_not_to_be_skipped(record: ControlRecord, path: Path, says: PartitionSays | SlotSays) -> None:
    if record.held is Held.SKIP and path in PATHS[record.direction] - PATHS[record.leaving] and not says.begun:
        raise LawBrokenError("L8 no surprise: a held record is carried that was to be skipped")


_MIRRORED = {0: 1, 1: 0, RECOVERING: RECOVERING + 1, RECOVERING + 1: RECOVERING}


class PartitionPart(NamedTuple):
    """`record`: untouched, wire (sent, not stored), landed (stored, not in the ledger), ledger, done, skipped, lost_track (what
    would settle it has expired). `opened`: whose lease it is. `says`: of the commit metadata; `opener_says`: what the lease's
    owner takes for it, where another has written since. `stages` of each replica: 0 none, 1 assigned, 2 has read the control
    topic, 3 has a lease that lapsed and does not know."""

    record: str
    opened: int
    says: PartitionSays
    opener_says: PartitionSays | None
    owner: int
    stages: tuple[int, int]

    def check(self, around: Surroundings) -> None:
        if Path.FORWARD not in may_run(around.latest) and self.record in ("wire", "landed", "lost_track"):
            what = "both" if Path.REVERSE in may_run(around.latest) else "a path that is off"
            raise LawBrokenError(f"L8 no surprise: {what} by accident: a native record is {self.record}")
        if self.says.clean and self.record in ("wire", "landed", "ledger", "lost_track"):
            raise LawBrokenError(f"L8 no surprise: a partition is said to be clean, and its record is {self.record}")

    def view(self, replica: int) -> PartitionOwner:
        """What this replica knows."""
        stage, mine = self.stages[replica], self.has_lease(replica)
        lapsed = stage == 3
        return PartitionOwner(
            control_read=stage >= 2,
            recovered=lapsed or self.opened in (NOBODY, replica),
            attempts_until_ms=NOW_MS + 5 if mine else NOW_MS - 1 if lapsed else None,
            says=self.opener_says if mine and self.opener_says else self.says,
        )

    def has_lease(self, replica: int) -> bool:
        return self.opened in (replica, RECOVERING + replica)

    def carries(self, around: Surroundings) -> bool:
        """Whether any replica would put a native record now."""
        return any(
            around.replicas[r] == UP and self.stages[r] and may_attempt(around.seen[r], self.view(r), NOW_MS) for r in REPLICAS
        )

    def check_copies(self, around: Surroundings) -> None:
        """Copies of foreign records are in the topic and in the reverse ledger at once."""
        if verdict(Whose.BRIDGED, self.carries(around)) is Verdict.CARRY:
            raise LawBrokenError("L7 no loops: a copy of a foreign record is carried back")

    def steps(self, around: Surroundings) -> Iterator[Step]:
        yield from self._of_surroundings(around)
        for r in REPLICAS:
            record = around.seen[r]
            if around.replicas[r] == UP and self.stages[r] and record is not None:
                yield from self._of_owner(around, r, record)

    def _of_surroundings(self, around: Surroundings) -> Iterator[Step]:
        if self.record == "wire":
            yield Step("a request is stored", self._replace(record="landed"))
            yield Step("a request is not stored", self._replace(record="untouched"))
        if self.record == "landed" and self.opened not in REPLICAS:
            yield Step("evidence expires", self._replace(record="lost_track"), fault=True)

    def _of_owner(self, around: Surroundings, r: int, record: ControlRecord) -> Iterator[Step]:
        stage = self.stages[r]
        if self.opened == r and self.record == "landed":
            yield Step(f"{r} has the answer and writes the ledger", self._replace(record="ledger"))
        if stage in (1, 2) and self.owner == r:
            yield from self._committed(r, record)
        if stage == 2 and self.owner == r and self.opened == GONE:
            yield Step(f"{r} opens a partition that is to be recovered", self._replace(opened=RECOVERING + r))
        if stage == 2 and self.opened == RECOVERING + r and self.record not in ("wire", "lost_track"):
            known = "ledger" if self.record == "landed" else self.record
            yield Step(f"{r} has recovered a partition", self._replace(record=known, opened=r))
        if may_attempt(record, self.view(r), NOW_MS):
            yield from self._attempted(r, record)

    def _attempted(self, r: int, record: ControlRecord) -> Iterator[Step]:
        if self.record in ("landed", "lost_track", "wire") and self.opened != r:
            raise LawBrokenError(f"L3 once: {r} sends a record again that is {self.record}")
        if self.record != "untouched":
            return
        if not self.has_lease(r):
            raise LawBrokenError(f"L3 once: {r} attempts without a lease, and so may another owner")
        check_not_to_be_skipped(record, Path.FORWARD, self.says)
        yield Step(f"{r} attempts", self._replace(record="wire"))

    def _committed(self, r: int, record: ControlRecord) -> Iterator[Step]:
        view = self.view(r)
        unresolved = int(self.record in ("wire", "landed", "lost_track"))
        shown = partition_shows(record, view, unresolved, idle=self.record in ("ledger", "done", "skipped"))
        done = "done" if self.record == "ledger" and self.opened == r else self.record
        if shown is None:
            part = self._replace(record=done)
        else:
            if skips_held(record, Path.FORWARD, view.says):
                check_skip(record, Path.FORWARD, self.says, self.record in ("untouched", "done", "skipped"))
                done = "skipped" if done == "untouched" else done
            part = self._replace(record=done, says=shown, **self._opened_by(r, shown))
        if part != self:
            yield Step(f"{r} commits a partition", part)

    def _opened_by(self, r: int, shown: PartitionSays) -> dict[str, Any]:
        if shown.clean:
            return {"opened": NOBODY, "opener_says": None}
        if self.opened in (NOBODY, r):
            return {"opened": r, "opener_says": None}
        of_another = self.has_lease(1 - r)
        return {"opener_says": (self.opener_says or self.says) if of_another else None}

    def _dropped(self, r: int, stage: int) -> "PartitionPart":
        part = self._replace(stages=with_stage(self.stages, r, stage))
        return part._replace(opened=GONE, opener_says=None) if self.has_lease(r) else part

    def lapsed(self, r: int, frozen: bool) -> "PartitionPart":
        """The lease of a replica that does not renew it is over. Being frozen it does not know, and then for a while."""
        if not self.has_lease(r) or not (frozen or self.owner != r):
            return self
        stage = 3 if self.stages[r] == 2 else self.stages[r]
        return self._replace(opened=GONE, opener_says=None, stages=with_stage(self.stages, r, stage))

    def noticed(self, r: int) -> "PartitionPart":
        """The replica sees what it lost, and begins anew with what is still its own."""
        if not self.stages[r] or (self.stages[r] != 3 and self.owner == r):
            return self
        return self._dropped(r, 1 if self.owner == r else 0)

    def control_read(self, r: int) -> "PartitionPart":
        if self.stages[r] != 1 or self.owner != r:
            return self
        return self._replace(stages=with_stage(self.stages, r, 2))

    def crashed(self, r: int) -> "PartitionPart":
        return self._dropped(r, 0)

    def moved(self, r: int, orderly: bool) -> "PartitionPart":
        """To the other replica. Orderly: the owner before knows, and has not drained."""
        if self.owner != r:
            return self
        part = self._dropped(r, 0) if orderly else self
        return part._replace(owner=1 - r, stages=with_stage(part.stages, 1 - r, 1))

    def restarted(self, r: int) -> "PartitionPart":
        return self._replace(stages=with_stage(self.stages, r, 1)) if self.owner == r else self

    def mirrored(self) -> "PartitionPart":
        opened = _MIRRORED.get(self.opened, self.opened)
        return self._replace(opened=opened, owner=1 - self.owner, stages=self.stages[::-1])

    def settled(self, latest: ControlRecord) -> bool:
        """Whether nothing is left to do for it under this direction."""
        if self.says.epoch != latest.epoch or max(self.stages) != 2 or min(self.stages) or self.stages[self.owner] != 2:
            return False
        return self.record in ("done", "skipped", "lost_track" if Path.FORWARD in PATHS[latest.direction] else "untouched")


class SlotPart(NamedTuple):
    """`record`: untouched, transaction (open), done, skipped. `producer`: who is not fenced off. `stages` of each replica: 0
    none, 1 assigned, 2 has fenced off the one before and read the checkpoint, 3 has read the control topic."""

    record: str
    producer: int
    says: SlotSays
    owner: int
    stages: tuple[int, int]

    def check(self, around: Surroundings) -> None:
        if Path.REVERSE not in may_run(around.latest) and self.record == "transaction":
            what = "both" if Path.FORWARD in may_run(around.latest) else "a path that is off"
            raise LawBrokenError(f"L8 no surprise: {what} by accident: a transaction with a foreign record is open")

    def view(self, replica: int) -> SlotOwner:
        return SlotOwner(self.stages[replica] == 3, self.says)

    def carries(self, around: Surroundings) -> bool:
        """Whether any replica would carry a foreign record now."""
        return any(around.replicas[r] == UP and may_carry_back(around.seen[r], self.view(r)) for r in REPLICAS)

    def steps(self, around: Surroundings) -> Iterator[Step]:
        if self.record == "transaction" and around.replicas[self.producer] == DOWN:
            yield Step("a transaction times out", self._replace(record="untouched"))
        for r in REPLICAS:
            record = around.seen[r]
            if around.replicas[r] == UP and self.stages[r] and record is not None:
                yield from self._of_owner(r, record)

    def _of_owner(self, r: int, record: ControlRecord) -> Iterator[Step]:
        stage, mine = self.stages[r], self.producer == r
        if mine and self.record == "transaction":
            yield Step(f"{r} commits a transaction", self._replace(record="done"))
            yield Step(f"{r} aborts a transaction", self._replace(record="untouched"))
        if self.owner != r:
            return
        if stage == 1:
            open_record = "untouched" if self.record == "transaction" else self.record
            yield Step(
                f"{r} fences the slot", self._replace(record=open_record, producer=r, stages=with_stage(self.stages, r, 2))
            )
        if mine:
            yield from self._written(r, record)

    def _written(self, r: int, record: ControlRecord) -> Iterator[Step]:
        view = self.view(r)
        shown = slot_shows(record, view, int(self.record == "transaction"))
        if shown is not None:
            left = self.record
            if skips_held(record, Path.REVERSE, self.says):
                check_skip(record, Path.REVERSE, self.says, self.record != "transaction")
                left = "skipped" if left == "untouched" else left
            part = self._replace(record=left, says=shown)
            if part != self:
                yield Step(f"{r} writes a checkpoint", part)
        if self.record == "untouched" and may_carry_back(record, view):
            check_not_to_be_skipped(record, Path.REVERSE, self.says)
            yield Step(f"{r} begins a transaction", self._replace(record="transaction"))

    def _dropped(self, r: int) -> "SlotPart":
        part = self._replace(stages=with_stage(self.stages, r, 0))
        return part._replace(record="untouched") if self.record == "transaction" and self.producer == r else part

    def lapsed(self, r: int, frozen: bool) -> "SlotPart":
        return self

    def noticed(self, r: int) -> "SlotPart":
        return self._dropped(r) if self.stages[r] and self.owner != r else self

    def control_read(self, r: int) -> "SlotPart":
        return self._replace(stages=with_stage(self.stages, r, 3)) if self.stages[r] == 2 and self.owner == r else self

    def crashed(self, r: int) -> "SlotPart":
        return self._replace(stages=with_stage(self.stages, r, 0))

    def moved(self, r: int, orderly: bool) -> "SlotPart":
        if self.owner != r:
            return self
        part = self._dropped(r) if orderly else self
        return part._replace(owner=1 - r, stages=with_stage(part.stages, 1 - r, 1))

    def restarted(self, r: int) -> "SlotPart":
        return self._replace(stages=with_stage(self.stages, r, 1)) if self.owner == r else self

    def mirrored(self) -> "SlotPart":
        return self._replace(producer=1 - self.producer, owner=1 - self.owner, stages=self.stages[::-1])

    def settled(self, latest: ControlRecord) -> bool:
        if self.says.epoch != latest.epoch or min(self.stages) or self.stages[self.owner] != 3:
            return False
        return self.record in ("done", "skipped") or (self.record == "untouched" and Path.REVERSE not in PATHS[latest.direction])


def check_bridged(partition: PartitionPart, slot: SlotPart, around: Surroundings) -> None:
    """What the bridge wrote to the stream is not carried back, and before the ledger has it nothing is said of it."""
    if partition.record in ("landed", "lost_track"):
        whose = Whose.UNCLEAR
    elif partition.record in ("ledger", "done"):
        whose = Whose.BRIDGED
    else:
        return
    if verdict(whose, slot.carries(around)) is Verdict.CARRY:
        raise LawBrokenError("L7 no loops: a record that the bridge wrote to the stream is carried back")


@dataclass(slots=True, frozen=True)
class Beginning:
    """Partitions and slots with their owners, before anything has happened."""

    partitions: tuple[PartitionPart, ...]
    slots: tuple[SlotPart, ...]


def beginning(first: ControlRecord, partition_owners: tuple[int, ...], slot_owners: tuple[int, ...], idle: bool) -> Beginning:
    """Everyone has read the first record, and shows it. Nothing was read yet, so every partition is clean."""
    records = ("untouched", "done" if idle else "untouched")
    return Beginning(
        tuple(
            PartitionPart(record, NOBODY, PartitionSays(first.epoch, True, True), None, owner, with_stage((0, 0), owner, 2))
            for owner, record in zip(partition_owners, records, strict=False)
        ),
        tuple(
            SlotPart(record, owner, SlotSays(first.epoch, True), owner, with_stage((0, 0), owner, 3))
            for owner, record in zip(slot_owners, records, strict=False)
        ),
    )
