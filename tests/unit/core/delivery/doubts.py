"""What a server knows of the rows that a scheduler has in doubt."""

import pytest
from hypothesis import strategies as st

from bridge.core.delivery.aggregates import aggregate_of, is_aggregate
from bridge.core.delivery.lanes import PartitionLanes, Row
from bridge.core.delivery.requests import Request, Resolution
from bridge.core.delivery.scheduler import Scheduler
from bridge.core.records import Partition


class Doubts:
    """Rows in doubt; `stored_on` says of each on which shard it was stored, empty where it was not."""

    def __init__(self) -> None:
        self.stored_on: dict[Row, str] = {}

    def draw(self, data: st.DataObject) -> list[Row]:
        """Some of them, in any order."""
        rows = data.draw(st.permutations(list(self.stored_on)))
        return rows[: data.draw(st.integers(1, len(rows)))]

    def settle(self, scheduler: Scheduler, rows: list[Row], now: float, mistaken: bool = False) -> Resolution:
        """Tells what became of these; `mistaken`: that none was stored."""
        found = {row: self.stored_on.pop(row) for row in rows}
        landed = [(row, shard, "1") for row, shard in found.items() if shard and not mistaken]
        resolution = scheduler.settled(landed, [row for row, shard in found.items() if mistaken or not shard], now)
        with pytest.raises(ValueError, match="not in doubt"):
            scheduler.settled([], [*self.stored_on, *rows[:1]], now)
        self.check(scheduler)
        return resolution

    def forget(self, lanes_of: PartitionLanes) -> None:
        """Nobody asks about the rows of this partition any more."""
        self.stored_on = {row: shard for row, shard in self.stored_on.items() if row[0].lanes_of is not lanes_of}

    def check(self, scheduler: Scheduler) -> None:
        """The scheduler has the same rows in doubt, and counts them as heads."""
        assert set(scheduler.in_doubt()) == self.stored_on.keys()
        assert all(row in scheduler.in_doubt() for row in self.stored_on)
        assert set(scheduler.in_doubt()) <= {row for _, row in scheduler.heads()}

    def check_request(self, request: Request) -> None:
        """Nothing in doubt is sent, nor anything of its lane."""
        lanes = {(row[0].lanes_of, row[7]) for row in self.stored_on}
        assert not lanes & {(row[0].lanes_of, row[7]) for row in request.rows}


Place = tuple[Partition, int]


def records_of(whole: Row) -> list[Place]:
    """Of the one record, or of those in the aggregate, that a row stands for."""
    batch, row, *_ = whole
    partition = batch.lanes_of.partition
    if not is_aggregate(whole):
        return [(partition, batch.offsets[row])]
    return [(partition, offset) for offset in aggregate_of(whole).record_offsets()]


def check_counts(lanes_of: PartitionLanes, sizes: list[int]) -> None:
    """What a partition counts as unresolved is these."""
    assert lanes_of.unresolved == len(sizes)
    assert lanes_of.unresolved_bytes == sum(sizes)
