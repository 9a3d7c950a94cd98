"""Attempts of one stream that had no answer: what becomes of their rows, once it was found out what became of the attempts."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Protocol

from bridge.app.partition_line import PartitionLine
from bridge.app.telemetry import Telemetry
from bridge.core.delivery.aggregates import aggregate_of, is_aggregate
from bridge.core.delivery.key_strategies import MappingSpec
from bridge.core.delivery.lanes import ROW_BATCH, ROW_DATA, ROW_PARTITION_KEY, PartitionLanes, Row, offset_of
from bridge.core.delivery.mapping import Mapper
from bridge.core.proof.digests import digests, key_hash
from bridge.core.proof.verdicts import Expected, Settled, Verdict

Landed = tuple[Row, str, str]
"""A row, its shard and its sequence number (decimal)."""


class AsksBack(Protocol):
    """See `ReadBack`."""

    def ask(self, expected: Expected, on_settled: Callable[[Sequence[int], Sequence[Verdict]], None]) -> None:
        """See `ReadBack.ask`."""


@dataclass(slots=True, eq=False)
class _Doubt:
    """Rows of one partition that went with one request. Each stands for `left` records that nothing is known of."""

    line: PartitionLine
    rows: Sequence[Row]
    row_of: Sequence[int]
    """Of each record, by its place among those asked about, its row."""
    holds_back_ms: float
    """Where no doubts are in the ledger, the watermark may not pass this."""
    left: list[int]
    verdicts: dict[int, Verdict] = field(default_factory=dict)


class LostAnswers:
    """`on_settled` is given rows that were stored, and rows to try again."""

    def __init__(
        self,
        stream: str,
        asks: AsksBack,
        settle_ms: float,
        telemetry: Telemetry,
        on_settled: Callable[[Sequence[Landed], Sequence[Row]], None],
    ) -> None:
        self._stream = stream
        self._asks = asks
        self._settle_ms = settle_ms
        self._telemetry = telemetry
        self._on_settled = on_settled
        self._doubts: set[_Doubt] = set()

    def ask(
        self, rows: Iterable[Row], window: tuple[float, float], lines: Mapping[PartitionLanes, tuple[PartitionLine, Mapper]]
    ) -> None:
        """`window` is when the attempt began at the earliest and was given up at the latest (Kinesis's clock, ms)."""
        by_lanes: dict[PartitionLanes, list[Row]] = defaultdict(list)
        for row in rows:
            by_lanes[row[ROW_BATCH].lanes_of].append(row)
        for lanes, of_lanes in by_lanes.items():
            if lanes in lines:
                line, mapper = lines[lanes]
                self._ask(line, mapper.spec, sorted(of_lanes, key=offset_of), window)

    def _ask(self, line: PartitionLine, spec: MappingSpec, rows: Sequence[Row], window: tuple[float, float]) -> None:
        began_ms, ended_ms = window
        offsets = [_offsets(row) for row in rows]
        records = sorted((offset, row) for row, of_row in enumerate(offsets) for offset in of_row)
        row_of = [row for _, row in records]
        doubt = _Doubt(line, rows, row_of, began_ms if spec.is_marked else inf, left=list(map(len, offsets)))
        self._doubts.add(doubt)
        keys = [row[ROW_PARTITION_KEY] for row in rows]
        known_by: dict[str, Any] = {"is_marked": True}
        if not spec.is_marked:
            known_by = {
                "key_hashes": list(map(key_hash, keys)),
                "digests": digests(keys, [row[ROW_DATA] for row in rows]),
                "is_ordered": spec.ordering != "none",
            }
        expected = Expected(
            self._stream,
            line.partition,
            [offset for offset, _ in records],
            [int(began_ms)] * len(records),
            [int(ended_ms + self._settle_ms) + 1] * len(records),
            **known_by,
        )
        self._asks.ask(expected, lambda found, verdicts: self._settled(doubt, found, verdicts))

    def _settled(self, doubt: _Doubt, found: Sequence[int], verdicts: Sequence[Verdict]) -> None:
        """A row is settled when all of its records are. Stored is what has all of them there."""
        if doubt not in self._doubts:
            return
        landed: list[Landed] = []
        again: list[Row] = []
        for at, verdict in zip(found, verdicts, strict=True):
            row = doubt.row_of[at]
            doubt.left[row] -= 1
            first = doubt.verdicts.setdefault(row, verdict)
            if first.settled is Settled.LANDED and verdict.settled is not Settled.LANDED:
                doubt.verdicts[row] = verdict
            if not doubt.left[row]:
                settled, place = doubt.verdicts[row]
                if settled is Settled.LANDED and place is not None:
                    landed.append((doubt.rows[row], place.shard.shard_id, str(place.sequence_number)))
                else:
                    again.append(doubt.rows[row])
                if settled is Settled.UNSETTLED:
                    self._telemetry.count("bridge_possible_duplicates_total", 1, doubt.line.route)
        if not any(doubt.left):
            self._doubts.discard(doubt)
        if landed or again:
            self._on_settled(landed, again)

    def forget(self, line: PartitionLine) -> None:
        """It is not ours any more."""
        self._doubts = {doubt for doubt in self._doubts if doubt.line is not line}

    def watermark_ms(self) -> float:
        """Every attempt that began before has its outcome, or a doubt in the ledger."""
        return min((doubt.holds_back_ms for doubt in self._doubts), default=inf)


def _offsets(row: Row) -> Sequence[int]:
    return aggregate_of(row).record_offsets() if is_aggregate(row) else [offset_of(row)]
