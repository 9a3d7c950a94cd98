"""What came to the streams, measured where it arrives: so a load tool or a test judges a client without asking it.

Pure: every method takes `now`, seconds since the epoch. Bookkeeping is per request and shard, never per record.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bridge.embedded.put_path import PlacedRequest, PutCall, ShardRun
from bridge.embedded.rate_window import WINDOW_S

SERIES_SECONDS_MAX = 900
"""Seconds of which the figures of each second are kept."""

SERIES_CELLS_MAX = 200_000
"""Shards times clients times seconds that are kept, some 60 MB; of more the oldest seconds go first."""

CLIENTS_MAX = 16
"""Clients that are told apart by name; all later ones are summed up as `OTHER`."""

OTHER = "other"

COUNTS = (
    "records_offered",
    "bytes_offered",
    "records_stored",
    "bytes_stored",
    "records_throttled",
    "bytes_throttled",
    "records_failed",
    "bytes_failed",
)
"""Columns of a `Counts`. Bytes are data and partition key; offered = stored + throttled + failed."""

PEAKS = COUNTS[:4]
"""Of these the largest sum in any sliding second is known."""

Counts = list[int]
Cells = dict[tuple[str, str], dict[str, Counts]]
"""(stream, client) -> shard id -> counts."""


class Requests:
    """Requests to one stream by one client. The largest ones count also where the request was refused."""

    __slots__ = ("largest_record_bytes", "largest_request_bytes", "largest_request_records", "over_limit", "refused", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.refused = 0
        self.over_limit = 0
        self.largest_request_records = 0
        self.largest_request_bytes = 0
        self.largest_record_bytes = 0

    def add(self, records: int, size: int, largest: int) -> None:
        self.requests += 1
        if records > self.largest_request_records:
            self.largest_request_records = records
        if size > self.largest_request_bytes:
            self.largest_request_bytes = size
        if largest > self.largest_record_bytes:
            self.largest_record_bytes = largest


class Peaks:
    """The largest sums of `PEAKS` in any second (t - 1, t], the same window that the limit of a shard has."""

    __slots__ = ("_entries", "_sums", "largest")

    def __init__(self) -> None:
        # Numbers in a row, five for each request, and not in tuples: those would keep the garbage collector busy.
        self._entries: deque[float] = deque()
        self._sums = [0, 0, 0, 0]
        self.largest = [0, 0, 0, 0]

    def add(self, now: float, records: int, size: int, stored: int, stored_size: int) -> None:
        entries, sums, largest = self._entries, self._sums, self.largest
        oldest = now - WINDOW_S
        while entries and entries[0] <= oldest:
            entries.popleft()
            for column in range(len(PEAKS)):
                sums[column] -= int(entries.popleft())
        entries.extend((now, records, size, stored, stored_size))
        sums[0] += records
        sums[1] += size
        sums[2] += stored
        sums[3] += stored_size
        if sums[0] > largest[0] or sums[1] > largest[1] or sums[2] > largest[2] or sums[3] > largest[3]:
            self.largest = list(map(max, sums, largest))


class ClosedSecond(NamedTuple):
    """What came in one whole second of the clock."""

    second: int
    cells: Cells
    size: int


class Traffic:
    """Figures since it was made. `calls` are by operation, `errors` by error code, `faults` by kind."""

    def __init__(self, now: float) -> None:
        self.since = now
        self.calls: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.series_from = int(now)
        self.requests: dict[tuple[str, str], Requests] = {}
        self.peaks: dict[str, dict[str, Peaks]] = {}
        self._clients: set[str] = set()
        self._second = int(now)
        self._current: Cells = {}
        self._closed: deque[ClosedSecond] = deque()
        self._closed_size = 0
        self._totals: Cells = {}

    def add(self, call: PutCall, stream: str, request: PlacedRequest, runs: Iterable[ShardRun], now: float) -> None:
        """Books a request that was taken up, whatever became of its records."""
        second = int(now)
        if second != self._second:
            self._close_second(second)
        key = (stream, self._known(call.client))
        self._requests_of(key).add(len(request.datas), request.size, request.largest)
        cells = self._current.setdefault(key, {})
        peaks = self.peaks.setdefault(stream, {})
        for shard, offered, size, stored, stored_size, failed, failed_size in runs:
            shard_id = shard.shard_id
            counts = cells.get(shard_id)
            if counts is None:
                counts = cells[shard_id] = [0] * len(COUNTS)
                if shard_id not in peaks:
                    peaks[shard_id] = Peaks()
            records, taken = len(offered), len(stored)
            peaks[shard_id].add(now, records, size, taken, stored_size)
            counts[0] += records
            counts[1] += size
            counts[2] += taken
            counts[3] += stored_size
            if taken < records:
                counts[4] += records - taken - failed
                counts[5] += size - stored_size - failed_size
                counts[6] += failed
                counts[7] += failed_size

    def refuse(self, call: PutCall, stream: str, over_limit: bool) -> None:
        """Books a request that was refused as a whole because it is invalid; `over_limit`: it broke a limit of requests."""
        requests = self._requests_of((stream, self._known(call.client)))
        sizes = [len(key.encode()) + len(data) for key, data in zip(call.partition_keys, call.datas, strict=True)]
        requests.add(len(sizes), sum(sizes), max(sizes, default=0))
        requests.refused += 1
        requests.over_limit += over_limit

    def total(self, count: str) -> int:
        """Sum of one of `COUNTS` over everything since the start."""
        column = COUNTS.index(count)
        every = (self._totals, self._current)
        return sum(counts[column] for part in every for cells in part.values() for counts in cells.values())

    def totals(self) -> Cells:
        """Sums since the start."""
        sums: Cells = {}
        _sum_up(sums, self._totals)
        _sum_up(sums, self._current)
        return sums

    def series(self) -> Iterator[tuple[int, Cells]]:
        """Seconds that are kept, oldest first; one second may come more than once, if the clock was set back."""
        for closed in self._closed:
            yield closed.second, closed.cells
        yield self._second, self._current

    def _requests_of(self, key: tuple[str, str]) -> Requests:
        found = self.requests.get(key)
        if found is None:
            found = self.requests[key] = Requests()
        return found

    def _known(self, client: str) -> str:
        if client in self._clients:
            return client
        if len(self._clients) >= CLIENTS_MAX:
            return OTHER
        self._clients.add(client)
        return client

    def _close_second(self, following: int) -> None:
        size = sum(map(len, self._current.values()))
        self._closed.append(ClosedSecond(self._second, self._current, size))
        self._closed_size += size
        _sum_up(self._totals, self._current)
        self._second, self._current = following, {}
        while self._closed and (self._closed[0].second <= following - SERIES_SECONDS_MAX or self._closed_size > SERIES_CELLS_MAX):
            dropped = self._closed.popleft()
            self._closed_size -= dropped.size
            self.series_from = max(self.series_from, dropped.second + 1)


def add_counts(into: Counts, counts: Counts) -> None:
    """Adds column by column."""
    for column, count in enumerate(counts):
        into[column] += count


def _sum_up(into: Cells, cells: Cells) -> None:
    for key, shards in cells.items():
        target = into.setdefault(key, {})
        for shard_id, counts in shards.items():
            add_counts(target.setdefault(shard_id, [0] * len(COUNTS)), counts)
