"""A PutRecords request and what its answer meant, as columns."""

from dataclasses import dataclass, field

from bridge.core.delivery.budgets import Taken
from bridge.core.delivery.lanes import ROW_DATA, Row


@dataclass(slots=True, frozen=True)
class RequestLimits:
    """Limits of one PutRecords request; `bytes_max` counts data and partition keys."""

    records_max: int
    bytes_max: int


@dataclass(slots=True, eq=False)
class Request:
    """One PutRecords request; `runs` says which rows were meant for which shard: (shard id, first row, end).

    `run_sizes` are the bytes of each run, data and partition keys; `size` is their sum; `taken` is what each run took of
    its shard's budget. `sent_at` is when the scheduler gave it out, in its clock.
    """

    rows: list[Row] = field(default_factory=list)
    runs: list[tuple[str, int, int]] = field(default_factory=list)
    run_sizes: list[int] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    size: int = 0
    sent_at: float = 0.0
    aggregates: bool = False
    """Whether some rows stand for aggregates."""

    def __len__(self) -> int:
        return len(self.rows)

    def add_run(self, shard_id: str, rows: list[Row], size: int, taken: Taken) -> None:
        """Rows for one shard, their bytes, and what they took of its budget."""
        first = len(self.rows)
        self.rows += rows
        self.runs.append((shard_id, first, len(self.rows)))
        self.run_sizes.append(size)
        self.taken.append(taken)
        self.size += size

    @property
    def datas(self) -> list[bytes]:
        """Data of each row."""
        return [row[ROW_DATA] for row in self.rows]


@dataclass(slots=True)
class Resolution:
    """What an answer meant.

    `stored` rows are done; `shard_ids` and `sequence_numbers` say where each is. `rejected` (row, error code) end their
    partition there: the scheduler has let go of them and of what stands behind them. `unknown` may have been stored: they
    are in doubt, and wait at the heads of their lanes for `Scheduler.settled`. Everything else is sent again by the
    scheduler; of that, `throttled` counts records per shard.
    `stale_shard_map`: a record landed on another shard than predicted; `dropped` are aggregates that did, and that KCL drops
    there.
    """

    stored: list[Row] = field(default_factory=list)
    shard_ids: list[str] = field(default_factory=list)
    sequence_numbers: list[str] = field(default_factory=list)
    rejected: list[tuple[Row, str]] = field(default_factory=list)
    throttled: dict[str, int] = field(default_factory=dict)
    unknown: list[Row] = field(default_factory=list)
    dropped: list[Row] = field(default_factory=list)
    stale_shard_map: bool = False

    def add_stored(self, row: Row, shard_id: str, sequence_number: str) -> None:
        """One more row that is done."""
        self.stored.append(row)
        self.shard_ids.append(shard_id)
        self.sequence_numbers.append(sequence_number)
