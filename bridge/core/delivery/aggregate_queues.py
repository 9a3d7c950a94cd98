"""Records that wait to travel in aggregates: a queue for each partition and shard.

An aggregate is stored whole or not at all, so the unit of order may be coarse here: all records of a partition for one shard
are one lane, of which one aggregate is under way.
"""

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from operator import itemgetter
from typing import Any, Final

from bridge.core.delivery.lanes import MappedBatch, PartitionLanes
from bridge.core.delivery.shard_map import Shard

ROW_OVERHEAD: Final = 12
"""Bytes beside data and key that a record usually takes in an aggregate, its part of the tag among them."""


@dataclass(slots=True)
class Part:
    """Rows of one batch, in ascending order, the bytes of each (data and partition key), and their data, which the batch does
    not hold any more. The data of an aggregate is in the aggregate alone."""

    batch: MappedBatch
    rows: Sequence[int]
    sizes: Sequence[int]
    datas: Sequence[bytes]
    size: int = field(init=False)
    """Bytes of all its rows."""

    def __post_init__(self) -> None:
        self.size = sum(self.sizes)

    def __len__(self) -> int:
        return len(self.rows)

    def split(self, rows: int) -> "tuple[Part, Part]":
        """The first rows, and the rest."""
        return self._only(slice(rows)), self._only(slice(rows, None))

    def select(self, places: Sequence[int]) -> "Part":
        """Those at these places among its rows."""
        rows, sizes, datas = pick(places, self.rows, self.sizes, self.datas)
        return Part(self.batch, rows, sizes, datas)

    def hash_keys(self) -> Sequence[int]:
        """Of its rows."""
        hash_keys = self.batch.hash_keys
        return hash_keys if len(self) == len(hash_keys) else pick(self.rows, hash_keys)[0]

    def _only(self, rows: slice) -> "Part":
        return Part(self.batch, self.rows[rows], self.sizes[rows], self.datas[rows])


def pick(places: Sequence[int], *columns: Sequence[Any]) -> list[Sequence[Any]]:
    """The entries at these places, of each column."""
    if len(places) < 2:
        return [tuple(column[place] for place in places) for column in columns]
    picked = itemgetter(*places)  # a loop would cost twice as much
    return [picked(column) for column in columns]


@dataclass(slots=True, eq=False)
class WaitingRecords:
    """Records of one partition for one shard, in order. `busy` while an aggregate of them is ready, under way, or to be tried
    again."""

    lanes_of: PartitionLanes
    shard_id: str
    parts: deque[Part] = field(default_factory=deque)
    records: int = 0
    size: int = 0
    busy: bool = False

    @property
    def is_full(self) -> bool:
        """Whether waiting longer would not make the next aggregate larger."""
        limits = self.lanes_of.aggregates
        bytes_max = self.lanes_of.aggregate_bytes_max
        return limits is None or self.records >= limits.records_max or self.size + ROW_OVERHEAD * self.records >= bytes_max

    def add(self, part: Part) -> None:
        """Behind what waits."""
        self.parts.append(part)
        self._count(part, 1)

    def put_first(self, parts: Sequence[Part]) -> None:
        """Before what waits."""
        for part in reversed(parts):
            self.parts.appendleft(part)
            self._count(part, 1)

    def take_all(self) -> list[Part]:
        """Everything that waits."""
        parts, self.parts, self.records, self.size = list(self.parts), deque(), 0, 0
        return parts

    def take(self, bytes_max: int, records_max: int) -> list[Part]:
        """What fits into one aggregate, at least one record."""
        if self.records <= records_max and self.size + ROW_OVERHEAD * self.records <= bytes_max:
            return self.take_all()
        taken: list[Part] = []
        while self.parts and records_max > 0 and (bytes_max > 0 or not taken):
            part = self.parts[0]
            fits = len(part)
            if fits > records_max or part.size + ROW_OVERHEAD * fits > bytes_max:
                sizes_to = list(accumulate([size + ROW_OVERHEAD for size in part.sizes]))
                fits = min(records_max, bisect_right(sizes_to, bytes_max))
            if fits == 0 and taken:
                break
            whole = fits == len(part)
            part = self._take_from_first(max(1, fits))
            taken.append(part)
            if not whole:
                break
            records_max -= len(part)
            bytes_max -= part.size + ROW_OVERHEAD * len(part)
        return taken

    def cut(self, offset: int) -> list[Part]:
        """Takes out the records at or above `offset`."""
        kept, out = _cut(self.take_all(), offset)
        self.put_first(kept)
        return out

    def _take_from_first(self, rows: int) -> Part:
        part = self.parts.popleft()
        if rows < len(part):
            part, rest = part.split(rows)
            self.parts.appendleft(rest)
        self._count(part, -1)
        return part

    def _count(self, part: Part, sign: int) -> None:
        self.records += sign * len(part)
        self.size += sign * part.size


def _cut(parts: Iterable[Part], offset: int) -> tuple[list[Part], list[Part]]:
    """What is below an offset, and what is not."""
    below, above = [], []
    for part in parts:
        head, tail = part.split(bisect_right(part.rows, offset - 1, key=part.batch.offsets.__getitem__))
        below += [head] if len(head) else []
        above += [tail] if len(tail) else []
    return below, above


@dataclass(slots=True, eq=False)
class Aggregating:
    """The aggregated side of one partition's lanes."""

    queues: dict[str, WaitingRecords] = field(default_factory=dict)
    gone: list[WaitingRecords] = field(default_factory=list)
    """Of shards that are closed: their records move when no aggregate of them is on its way any more."""
    moving: deque[Part] = field(default_factory=deque)
    """Records that may stand behind those of a closed shard in their lanes."""

    def take_in(self, lanes_of: PartitionLanes, parts: Iterable[tuple[Shard, Part]]) -> list[WaitingRecords]:
        """Rows of the shards that they go to now. Returns the queues that need a head."""
        idle = []
        for shard, part in parts:
            queue = self.queues.get(shard.shard_id)
            if queue is None:
                if self.gone:
                    self.moving.append(part)
                    continue
                queue = self.queues[shard.shard_id] = WaitingRecords(lanes_of, shard.shard_id)
            queue.add(part)
            if not queue.busy:
                idle.append(queue)
        return idle

    def close_shards(self, open_ids: set[str]) -> None:
        """The shards that are open from now on."""
        for shard_id in [shard_id for shard_id in self.queues if shard_id not in open_ids]:
            self.gone.append(self.queues.pop(shard_id))

    def take_moved(self) -> list[Part]:
        """What goes to new shards, once nothing of the old ones is on its way."""
        if not self.gone or any(queue.busy for queue in self.gone):
            return []
        parts = [part for queue in self.gone for part in queue.take_all()]
        parts += self.moving
        self.gone, self.moving = [], deque()
        return parts

    def cut(self, offset: int) -> list[Part]:
        """Takes out the waiting records at or above `offset`."""
        out = [part for queue in chain(self.queues.values(), self.gone) for part in queue.cut(offset)]
        kept, above = _cut(self.moving, offset)
        self.moving = deque(kept)
        return out + above


def rows_to_send(batch: MappedBatch) -> Part:
    """All rows of a batch but the diverted ones. The part alone holds their data from now on."""
    left_out = {diverted.row for diverted in batch.diverted}
    whole, batch.values = Part(batch, range(len(batch)), batch.sizes, batch.values), ()
    return whole.select([row for row in whole.rows if row not in left_out]) if left_out else whole


def by_shard(part: Part, places: Sequence[int], shards: Sequence[Shard]) -> list[tuple[Shard, Part]]:
    """Its rows by the shards in which they have their places."""
    if not places:
        return []
    if places.count(places[0]) == len(places):
        return [(shards[places[0]], part)]
    of_place: dict[int, list[int]] = defaultdict(list)
    for i, place in enumerate(places):
        of_place[place].append(i)
    return [(shards[place], part.select(of_it)) for place, of_it in of_place.items()]
