"""One shard: its range of hash keys, its lineage, its records in columns."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import NamedTuple

from bridge.core.quotas import (
    GET_RECORDS_BYTES_MAX,
    GET_RECORDS_BYTES_PER_S,
    GET_RECORDS_CALLS_PER_S,
    SHARD_BYTES_PER_S,
    SHARD_RECORDS_PER_S,
)
from bridge.embedded import sequence_numbers
from bridge.embedded.rate_window import RateWindow

_TRIM_RECORDS = 4096
_SHORT_COLUMN = 65_536
_NEVER_FULL = 1 << 62


def milliseconds(seconds: float) -> int:
    """Whole milliseconds of a moment; a moment that was whole milliseconds keeps them in spite of binary fractions."""
    return int(seconds * 1000 + 0.01)


class RecordColumns(NamedTuple):
    """Records side by side: sequence numbers (decimal text), partition keys, data, arrival in ms since the epoch."""

    sequence_numbers: list[str]
    partition_keys: list[str]
    datas: list[bytes]
    arrivals_ms: list[int]


class Shard:
    """A shard that is open until `close`. Places count its records from 1; `first_place` is the oldest one kept."""

    __slots__ = (
        "_arrivals_ms",
        "_base",
        "_datas",
        "_first_place",
        "_lost",
        "_partition_keys",
        "children",
        "closed_at",
        "created_at",
        "created_s",
        "end_hash_key",
        "index",
        "iterator_calls",
        "parents",
        "reads",
        "shard_id",
        "start_hash_key",
        "writes",
    )

    def __init__(self, index: int, hash_keys: tuple[int, int], created_at: float, parents: Sequence["Shard"] = ()) -> None:
        self.index = index
        self.shard_id = f"shardId-{index:012d}"
        self.start_hash_key, self.end_hash_key = hash_keys
        self.created_at = created_at
        self.created_s: int = max([int(created_at), *(parent.created_s + 1 for parent in parents)])
        self.closed_at: float | None = None
        self.parents = tuple(parents)
        self.children: list[Shard] = []
        self.writes = RateWindow(SHARD_RECORDS_PER_S, SHARD_BYTES_PER_S)
        self.reads = RateWindow(GET_RECORDS_CALLS_PER_S, GET_RECORDS_BYTES_PER_S)
        self.iterator_calls = RateWindow(GET_RECORDS_CALLS_PER_S, _NEVER_FULL)
        self._base = sequence_numbers.shard_base(self.created_s, index)
        self._first_place = 1
        self._partition_keys: list[str] = []
        self._datas: list[bytes] = []
        self._arrivals_ms = array("q")
        self._lost: set[int] = set()
        for parent in parents:
            parent.children.append(self)

    @property
    def first_place(self) -> int:
        """Place of the oldest record that is kept."""
        return self._first_place

    @property
    def next_place(self) -> int:
        """Place of the next record to be stored."""
        return self._first_place + len(self._datas)

    @property
    def starting_sequence_number(self) -> str:
        return str(sequence_numbers.starting(self._base, self.created_s))

    @property
    def ending_sequence_number(self) -> str | None:
        """None while the shard is open."""
        return None if self.closed_at is None else str(sequence_numbers.ending(self._base, int(self.closed_at)))

    def close(self, at: float) -> None:
        self.closed_at = at

    def append(self, partition_keys: Iterable[str], datas: Sequence[bytes], now: float) -> list[str]:
        """Stores records in the given order and returns their sequence numbers. Charges no limit."""
        arrival_ms = milliseconds(now)
        if self._arrivals_ms and self._arrivals_ms[-1] > arrival_ms:
            # A clock that was set back must not put arrivals out of order: AT_TIMESTAMP searches them.
            arrival_ms = self._arrivals_ms[-1]
        step = sequence_numbers.PLACE_STEP
        count = len(datas)
        first = sequence_numbers.at_place(self._base, self.next_place, arrival_ms // 1000)
        self._partition_keys.extend(partition_keys)
        self._datas.extend(datas)
        self._arrivals_ms.extend(repeat(arrival_ms, count))
        return list(map(str, range(first, first + count * step, step)))

    def place_at_or_after(self, number: int) -> int:
        """Place of the first record whose sequence number is `number` or above (the next place when none is)."""
        place = sequence_numbers.place_of(self._base, number)
        if place < self._first_place:
            return self._first_place
        if place >= self.next_place:
            return self.next_place
        return place if self._number(place) >= number else place + 1

    def is_within(self, number: int) -> bool:
        """True for a number of this shard: its starting or ending one, a record's, or one between them."""
        first = sequence_numbers.starting(self._base, self.created_s)
        return first <= number < sequence_numbers.upper_bound(self._base) and sequence_numbers.shard_index(number) == self.index

    def place_at_time(self, timestamp_ms: int) -> int:
        """Place of the first record that arrived at `timestamp_ms` or later."""
        return self._first_place + bisect_left(self._arrivals_ms, timestamp_ms)

    def arrival_ms(self, place: int) -> int:
        """Arrival of the record at a place that is kept; raises IndexError for others."""
        if place < self._first_place:
            raise IndexError(place)
        return self._arrivals_ms[place - self._first_place]

    def read(self, place: int, limit: int) -> tuple[RecordColumns, int, int]:
        """Up to `limit` records and 10 MiB (data and keys) from a place on, at least one if there is one; their bytes; and the
        place behind them."""
        start = max(place, self._first_place) - self._first_place
        datas, keys = self._datas, self._partition_keys
        end, size = start, 0
        for index in range(start, min(start + limit, len(datas))):
            size_with = size + len(datas[index]) + len(keys[index].encode())
            if size_with > GET_RECORDS_BYTES_MAX and index > start:
                break
            end, size = index + 1, size_with
        arrivals = self._arrivals_ms[start:end].tolist()
        first = start + self._first_place
        numbers = [str(sequence_numbers.at_place(self._base, first + i, ms // 1000)) for i, ms in enumerate(arrivals)]
        columns = RecordColumns(numbers, keys[start:end], datas[start:end], arrivals)
        return self._without_lost(columns, first) if self._lost else columns, size, end + self._first_place

    def trim(self, horizon_ms: int) -> None:
        """Drops records that arrived before the trim horizon; from long columns in blocks, as what remains is moved."""
        arrivals = self._arrivals_ms
        if not arrivals or arrivals[0] >= horizon_ms:
            return
        old = bisect_left(arrivals, horizon_ms)
        if old < _TRIM_RECORDS and len(arrivals) > _SHORT_COLUMN:
            return
        del self._partition_keys[:old], self._datas[:old], arrivals[:old]
        self._first_place += old
        self._lost = {place for place in self._lost if place >= self._first_place}

    # What injected faults do to a record that is kept

    def partition_key_at(self, place: int) -> str:
        return self._partition_keys[place - self._first_place]

    def data_at(self, place: int) -> bytes:
        return self._datas[place - self._first_place]

    def sequence_number_at(self, place: int) -> str:
        return str(self._number(place))

    def replace_data(self, place: int, data: bytes) -> None:
        self._datas[place - self._first_place] = data

    def is_lost(self, place: int) -> bool:
        return place in self._lost

    def lose(self, place: int) -> None:
        """The record keeps its number and is never given to a reader."""
        self._lost.add(place)
        self.replace_data(place, b"")

    def _without_lost(self, columns: RecordColumns, first: int) -> RecordColumns:
        kept = [index for index in range(len(columns.datas)) if first + index not in self._lost]
        numbers, keys, datas, arrivals = columns
        return RecordColumns(
            [numbers[index] for index in kept],
            [keys[index] for index in kept],
            [datas[index] for index in kept],
            [arrivals[index] for index in kept],
        )

    def _number(self, place: int) -> int:
        return sequence_numbers.at_place(self._base, place, self.arrival_ms(place) // 1000)
