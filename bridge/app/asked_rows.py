"""Rows of one partition whose outcome somebody wants to know, while it is found out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from bridge.core.proof.ledger_entries import Doubts
from bridge.core.proof.verdicts import Expected, Settled, Verdict

GROUP_ROWS_MAX = 8000
"""Of one group in the ledger."""

OnSettled = Callable[[Sequence[int], Sequence[Verdict]], None]
"""Rows, by their index, and what became of each: LANDED, ABSENT or UNSETTLED."""


@dataclass(slots=True, eq=False)
class Asked:
    """`landed` are offsets of rows that the ledger has: they tell where their lanes stand, and are not told."""

    expected: Expected
    on_settled: OnSettled
    landed: frozenset[int] = frozenset()
    is_forgotten: bool = False
    _verdicts: dict[int, Verdict] = field(default_factory=dict)
    _untold: dict[int, Verdict] = field(default_factory=dict)

    @property
    def open_rows(self) -> list[int]:
        """Those without a verdict."""
        offsets, landed = self.expected.offsets, self.landed
        rows = range(len(offsets)) if not self.is_forgotten else ()
        return [row for row in rows if row not in self._verdicts and offsets[row] not in landed]

    @property
    def is_over(self) -> bool:
        """Whether everything is told, or nobody wants to know it."""
        return self.is_forgotten or not (self._untold or self.open_rows)

    def doubts(self) -> list[Doubts]:
        """What the ledger says of the open rows, while they are open."""
        rows = [] if self.expected.is_marked else self.open_rows
        return [self.expected.doubts(rows[first : first + GROUP_ROWS_MAX]) for first in range(0, len(rows), GROUP_ROWS_MAX)]

    def left(self) -> list[int]:
        """Rows to judge: those that are open, and, without marks, those that landed."""
        if self.expected.is_marked:
            return self.open_rows
        settled = self._verdicts
        rows = range(len(self.expected.offsets))
        return [row for row in rows if row not in settled or settled[row].settled == Settled.LANDED]

    def judged(self, rows: Sequence[int], verdicts: Sequence[Verdict]) -> list[tuple[int, Verdict]]:
        """Takes what is final; of that, returns what is new."""
        still_open, new = set(self.open_rows), []
        for row, verdict in zip(rows, verdicts, strict=True):
            if row in still_open and verdict.settled not in (Settled.WAIT, Settled.CLAIM):
                self._verdicts[row] = self._untold[row] = verdict
                new.append((row, verdict))
        return new

    def tell(self) -> None:
        """Says what was not said yet."""
        told, self._untold = self._untold, {}
        if told and not self.is_forgotten:
            self.on_settled(list(told), list(told.values()))


def rows_of(expected: Expected, rows: Sequence[int]) -> Expected:
    """These rows of it."""
    if len(rows) == len(expected):
        return expected
    columns = (expected.offsets, expected.not_before_ms, expected.until_ms, expected.key_hashes, expected.digests)
    offsets, not_before_ms, until_ms, key_hashes, digests = (
        [column[row] for row in rows] if column else () for column in columns
    )
    return replace(
        expected, offsets=offsets, not_before_ms=not_before_ms, until_ms=until_ms, key_hashes=key_hashes, digests=digests
    )
