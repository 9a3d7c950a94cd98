"""Heads of lanes that may have been stored: their lanes wait until somebody tells what became of them."""

from collections.abc import Iterable, Iterator, Sequence

from bridge.core.delivery.lanes import ROW_BATCH, MappedBatch, PartitionLanes, Row


class RowsInDoubt:
    """Rows in the order in which they came into doubt; a collection that follows what happens."""

    def __init__(self) -> None:
        self._rows: dict[tuple[MappedBatch, int], Row] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def __contains__(self, row: object) -> bool:
        return isinstance(row, tuple) and row[:2] in self._rows

    def add(self, rows: Iterable[Row]) -> None:
        """Nobody knows whether these were stored."""
        for row in rows:
            row[ROW_BATCH].attempted_again[row[1]] = 1
            self._rows[row[:2]] = row

    def take(self, rows: Sequence[Row]) -> None:
        """These are not in doubt any more.

        Raises:
            ValueError: some of them are not in doubt, or stand there twice. Nothing is taken.
        """
        places = {row[:2] for row in rows}
        if len(places) < len(rows) or not places <= self._rows.keys():
            raise ValueError("told of rows that are not in doubt, or told twice")
        for place in places:
            del self._rows[place]

    def take_of(self, lanes_of: PartitionLanes) -> list[Row]:
        """Takes all rows of one partition."""
        rows = [row for row in self if row[ROW_BATCH].lanes_of is lanes_of]
        self.take(rows)
        return rows
