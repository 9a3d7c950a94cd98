"""What the answers of one stream mean for people: metrics, log lines, and the trouble that readiness shows."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Literal

from bridge.app.partition_line import PartitionLine
from bridge.app.telemetry import Telemetry
from bridge.core.delivery.aggregates import Aggregate, aggregate_of, is_aggregate
from bridge.core.delivery.lanes import ROW_BATCH, ROW_TIMESTAMP_MS, MappedBatch, PartitionLanes, Row
from bridge.core.delivery.requests import Request, Resolution
from bridge.core.records import Outcome, PutAnswer

MESSAGE_CHARACTERS_MAX = 300

_BATCH = itemgetter(ROW_BATCH)
_TIMESTAMP_MS = itemgetter(ROW_TIMESTAMP_MS)


class PutReport:
    """Counts by request, never by record. A failure is logged when it begins and when it ends, not each time."""

    def __init__(self, stream: str, telemetry: Telemetry) -> None:
        self._stream = stream
        self._telemetry = telemetry
        self._in_doubt: set[tuple[MappedBatch, int]] = set()
        self._failing: str | None = None
        self._is_lost = False
        """Whether it is answers that fail, of requests that may well be stored."""
        self.trouble: str | None = None

    def answered(self, request: Request, answer: PutAnswer, resolution: Resolution, seconds: float) -> None:
        """One request and its answer."""
        telemetry, stream = self._telemetry, self._stream
        outcome = (
            "stored" if not any(answer.outcomes) else "partly_stored" if Outcome.STORED in answer.outcomes else "none_stored"
        )
        if answer.whole is not None:
            outcome = answer.whole.name.lower()
        telemetry.count("bridge_put_requests_total", 1, stream, outcome)
        telemetry.observe("bridge_put_seconds", {seconds: 1}, stream)
        for (shard_id, first, end), size in zip(request.runs, request.run_sizes, strict=True):
            telemetry.count("bridge_put_records_total", end - first, stream, shard_id)
            telemetry.count("bridge_put_bytes_total", size, stream, shard_id)
        for shard_id, throttled in resolution.throttled.items():
            telemetry.count("bridge_throttled_records_total", throttled, stream, shard_id)
        for code, records in answer.codes.items():
            if "Throughput" not in code:
                telemetry.count("bridge_record_errors_total", records, stream, code)
        if resolution.unknown:
            telemetry.count("bridge_unknown_attempts_total", len(resolution.unknown), stream)
            self._in_doubt.update(chain.from_iterable(map(_records, resolution.unknown)))
        self._note(answer)

    def resolved(self, resolution: Resolution, lines: Mapping[PartitionLanes, tuple[PartitionLine, Any]], wall_ms: float) -> None:
        """What is done now, and what was dropped."""
        self.delivered(resolution.stored, lines, wall_ms)
        self.dropped(resolution.dropped, lines)

    def delivered(self, stored: Sequence[Row], lines: Mapping[PartitionLanes, tuple[PartitionLine, Any]], wall_ms: float) -> None:
        """Records that were confirmed; counted by the route of their partition."""
        batches = set(map(_BATCH, stored))
        routes = {batch: lines[batch.lanes_of][0].route for batch in batches if batch.lanes_of in lines}
        for route in set(routes.values()):
            all_of_it = len(routes) == len(batches) and len(set(routes.values())) == 1
            rows = stored if all_of_it else [row for row in stored if routes.get(row[ROW_BATCH]) == route]
            records_of_ms = Counter(_timestamps_ms(rows))  # far fewer than records
            self._telemetry.count("bridge_records_acked_total", records_of_ms.total(), route)
            ages_s = {(wall_ms - ms) / 1000: records for ms, records in records_of_ms.items()}
            self._telemetry.observe("bridge_delivery_seconds", ages_s, route)
        self._settle_doubts(stored, lines)

    def dropped(self, rows: Iterable[Row], lines: Mapping[PartitionLanes, tuple[PartitionLine, Any]]) -> None:
        """Aggregates that KCL drops on the shard where they landed: readers that do not look at ranges see them twice."""
        for row in rows:
            lanes = row[ROW_BATCH].lanes_of
            if lanes in lines:
                records = len(aggregate_of(row))
                self._telemetry.count("bridge_duplicates_total", records, lines[lanes][0].route, "wrong_shard")

    def found(self, landed: Sequence[Row], again: Sequence[Row]) -> None:
        """What became of the attempts at these was found out: they are not written twice for want of an answer.

        Where all that had no answer has landed, nothing is left to send that could tell that the trouble is over.
        """
        self._in_doubt.difference_update(chain.from_iterable(map(_records, [*landed, *again])))
        if landed and not again and not self._in_doubt and self._is_lost:
            self._recovered()

    def forget(self, lanes: PartitionLanes) -> None:
        """A partition left: its doubts are not ours any more."""
        self._in_doubt = {place for place in self._in_doubt if place[0].lanes_of is not lanes}

    def _settle_doubts(self, stored: Sequence[Row], lines: Mapping[PartitionLanes, tuple[PartitionLine, Any]]) -> None:
        if not self._in_doubt:
            return
        for place in self._in_doubt.intersection(chain.from_iterable(map(_records, stored))):
            self._in_doubt.discard(place)
            lanes = place[0].lanes_of
            if lanes in lines:
                self._telemetry.count("bridge_duplicates_total", 1, lines[lanes][0].route, "unknown_attempt")

    def _note(self, answer: PutAnswer) -> None:
        """Keeps `trouble` and logs its beginning, each change, and its end."""
        if answer.codes:
            self._telemetry.log("debug", "record_errors", stream=self._stream, codes=answer.codes)
        if answer.whole in (None, Outcome.REJECTED):
            self._recovered()
            return
        self._is_lost = answer.whole is Outcome.UNKNOWN
        if answer.code != self._failing:
            message = answer.message[:MESSAGE_CHARACTERS_MAX]
            self._failing = answer.code
            self.trouble = f"PutRecords: {answer.code}: {message}"
            level: Literal["error", "warning"] = "error" if answer.whole == Outcome.FATAL else "warning"
            self._telemetry.log(level, "stream_trouble", stream=self._stream, problem=self.trouble)

    def _recovered(self) -> None:
        if self._failing is not None:
            self._telemetry.log("info", "stream_recovered", stream=self._stream)
        self._failing, self._is_lost, self.trouble = None, False, None


def _records(row: Row) -> Iterator[tuple[MappedBatch, int]]:
    """Batch and row of each record that a row stands for."""
    if not is_aggregate(row):
        yield row[ROW_BATCH], row[1]
        return
    for part in aggregate_of(row).parts:
        for i in part.rows:
            yield part.batch, i


def _timestamps_ms(rows: Sequence[Row]) -> Iterable[int]:
    if not any(isinstance(batch, Aggregate) for batch in set(map(_BATCH, rows))):
        return map(_TIMESTAMP_MS, rows)
    return chain.from_iterable(
        aggregate_of(row).record_timestamps_ms() if is_aggregate(row) else (row[ROW_TIMESTAMP_MS],) for row in rows
    )
