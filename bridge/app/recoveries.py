"""Recoveries under way, and what the log says of them."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bridge.app.asked_rows import OnSettled
from bridge.app.partition_line import PartitionLine
from bridge.app.recovered_rows import AttemptedRows
from bridge.app.telemetry import Telemetry
from bridge.core.proof.verdicts import Expected, Settled, Verdict


@dataclass(slots=True, eq=False)
class Recovery:
    """Of one partition: what was asked, and what is known."""

    rows: AttemptedRows
    is_marked: bool
    ordering: str
    expected: Expected = field(init=False)
    landed: frozenset[int] = frozenset()
    """Offsets that were found in the stream."""
    absent: int = 0
    unsettled: int = 0
    open_rows: int = field(init=False)

    def __post_init__(self) -> None:
        is_ordered = self.ordering != "none"
        self.expected = self.rows.marked(is_ordered) if self.is_marked else self.rows.unmarked(is_ordered)
        self.open_rows = len(set(self.expected.offsets) - self.rows.done)

    @property
    def is_over(self) -> bool:
        return self.open_rows == 0

    def listen(self, on_over: Callable[[], None]) -> OnSettled:
        """What `ReadBack` tells."""

        def settled(rows: Sequence[int], verdicts: Sequence[Verdict]) -> None:
            offsets = self.expected.offsets
            self.landed |= {offsets[row] for row, v in zip(rows, verdicts, strict=True) if v.settled == Settled.LANDED}
            self.absent += sum(verdict.settled == Settled.ABSENT for verdict in verdicts)
            self.unsettled += sum(verdict.settled == Settled.UNSETTLED for verdict in verdicts)
            self.open_rows -= len(rows)
            if self.is_over:
                on_over()

        return settled


@dataclass(slots=True)
class _Batch:
    """Partitions that are recovered together."""

    lease_wait_s: float
    began_at: float
    left: set[PartitionLine]
    done: list[Recovery] = field(default_factory=list)


class RecoveryLog:
    """One line where recoveries begin, one where the last of them has ended. Seconds are those of the event loop."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._came: dict[PartitionLine, float] = {}
        self._batches: list[_Batch] = []

    def came(self, line: PartitionLine) -> None:
        """It was just assigned, and found open."""
        self._came[line] = _now()

    def started(self, recoveries: Sequence[Recovery]) -> None:
        """The leases are over, and the ledger is read."""
        lines = [recovery.rows.line for recovery in recoveries]
        waited_s = _now() - min((self._came.pop(line, _now()) for line in lines), default=_now())
        self._batches.append(_Batch(waited_s, _now(), set(lines)))
        rows = sum(recovery.open_rows for recovery in recoveries)
        self._telemetry.log("info", "recovery_started", partitions=_names(lines), rows=rows, lease_wait_s=round(waited_s, 2))

    def finished(self, recovery: Recovery) -> None:
        """Of one partition."""
        for batch in self._batches:
            if recovery.rows.line in batch.left:
                batch.done.append(recovery)
        self.gone(recovery.rows.line)

    def gone(self, line: PartitionLine) -> None:
        """It is recovered, or not ours any more."""
        self._came.pop(line, None)
        for batch in [batch for batch in self._batches if line in batch.left]:
            batch.left.remove(line)
            if not batch.left:
                self._batches.remove(batch)
                self._tell(batch)

    def _tell(self, batch: _Batch) -> None:
        self._telemetry.log(
            "info",
            "recovery_finished",
            partitions=_names([recovery.rows.line for recovery in batch.done]),
            landed=sum(len(recovery.landed) for recovery in batch.done),
            resent=sum(recovery.absent + recovery.unsettled for recovery in batch.done),
            unsettled=sum(recovery.unsettled for recovery in batch.done),
            lease_wait_s=round(batch.lease_wait_s, 2),
            read_back_s=round(_now() - batch.began_at, 2),
        )


def _names(lines: Sequence[PartitionLine]) -> list[str]:
    return sorted(str(line.partition) for line in lines)


def _now() -> float:
    return asyncio.get_running_loop().time()
