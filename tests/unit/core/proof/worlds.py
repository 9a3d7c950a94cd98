"""Small worlds in which owners write, lose answers, crash and take over, with a clock, a stream and a ledger of their own.

What really happened is known here, so what the owners conclude from evidence can be judged. A world is one seed.
"""

import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from bridge.app.asked_rows import rows_of
from bridge.core.proof.ledger_entries import Group, Resolved, ResolvedAs, Stored, StreamShard
from bridge.core.proof.ledger_index import LedgerIndex, Origin, Place
from bridge.core.proof.matching import Evidence, Mark
from bridge.core.proof.recovery import digests_to_watch, needed_since_ms, settle
from bridge.core.proof.verdicts import Expected, Known, Settled, Verdict
from bridge.core.records import Partition

STREAM = "orders"
REQUEST_MS, LEASE_MS, SETTLE_MS, MARGIN_MS = 300, 1500, 400, 150
FLUSH_MS = 120
CHAOS_MS = 4000
"""Until then answers are lost and processes crash."""
END_MS = 60_000


@dataclass
class Record:
    number: int
    arrival_ms: int
    key: int
    digest: int
    mark: Mark | None
    dropped: bool
    """KCL drops it: an aggregate that holds a record outside the range of its shard."""


@dataclass
class SimShard:
    shard_id: str
    base: int
    parents: list["SimShard"] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    closed: bool = False

    @property
    def name(self) -> StreamShard:
        return StreamShard(STREAM, self.shard_id)


class Stream:
    """One shard, which may be split: keys below 2 go to the first child."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.skew_ms = chance.randint(-MARGIN_MS // 2, MARGIN_MS // 2)
        self.shards = [SimShard("0", 0)]

    def split(self) -> None:
        parent = self.shards[0]
        parent.closed = True
        self.shards += [SimShard(str(child), 1000 * child, [parent]) for child in (1, 2)]

    def put(self, now: int, key: int, digest: int, mark: Mark | None) -> tuple[SimShard, Record]:
        shard = self.shards[0] if len(self.shards) == 1 else self.shards[1 if key < 2 else 2]
        arrival = max(shard.records[-1].arrival_ms if shard.records else 0, now + self.skew_ms)
        dropped = mark is not None and len(mark.offsets) > 1 and shard.base > 0 and self.chance.random() < 0.3
        record = Record(shard.base + len(shard.records) + 1, arrival, key, digest, mark, dropped)
        shard.records.append(record)
        return shard, record


@dataclass
class Metadata:
    """What the last commit of a partition says."""

    watermark_ms: float = 0
    lease_end_ms: float = 0


@dataclass
class SimPartition:
    name: Partition
    keys: list[int]
    digests: list[int]
    marked: bool
    ordered: bool
    metadata: Metadata = field(default_factory=Metadata)

    def lane_of(self, row: int) -> int:
        return self.keys[row] if self.ordered else -1 - row

    def lanes(self) -> dict[int, list[int]]:
        lanes: dict[int, list[int]] = {}
        for row in range(len(self.keys)):
            lanes.setdefault(self.lane_of(row), []).append(row)
        return lanes


@dataclass
class Attempt:
    rows: list[int]
    begin_ms: float
    answer_at: int
    gives_up_at: int
    place: Place | None = None
    """Where it was stored, if it was."""
    answered: bool = True


@dataclass
class Holding:
    """What an owner knows of one of its partitions."""

    partition: SimPartition
    lanes: dict[int, list[int]]
    done: set[int] = field(default_factory=set)
    under_way: list[Attempt] = field(default_factory=list)
    unknown: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Row -> window of the attempt."""
    published: set[int] = field(default_factory=set)
    """Rows whose doubt this owner has said."""
    noted: set[int] = field(default_factory=set)
    """Rows whose doubt is in the ledger, whoever said it. After a takeover all are said again, so that who reads the later part
    of the ledger finds all of a lane."""
    acked: list[tuple[list[int], Place]] = field(default_factory=list)
    """Not in the ledger yet."""
    claimed: set[Place] = field(default_factory=set)

    def row_of(self, offset: int) -> int:
        return offset

    def next_rows(self) -> Iterator[list[int]]:
        """What may be attempted now: of each lane that is free, the first row, of a marked one up to three."""
        busy = {self.partition.lane_of(row) for attempt in self.under_way for row in attempt.rows}
        for lane, rows in self.lanes.items():
            left = [row for row in rows if row not in self.done]
            if lane not in busy and left and not any(row in self.unknown for row in left):
                yield left[: 3 if self.partition.marked else 1]


class Owner:
    """A process that owns partitions, from a takeover to a crash."""

    def __init__(self, world: "World", partitions: list[SimPartition]) -> None:
        self.world = world
        self.chance = world.chance
        self.waiting = list(partitions)
        self.holdings: list[Holding] = []
        self.flush_at = world.now
        self.settle_at = world.now
        self.early, self.late = self.chance.randint(0, 60), self.chance.randint(0, 60)

    # Kinesis's clock as this process knows it.

    @property
    def earliest(self) -> int:
        return self.world.now - self.early

    @property
    def latest(self) -> int:
        return self.world.now + self.late

    def step(self) -> None:
        self.take_over()
        for holding in self.holdings:
            self.answers(holding)
        if self.world.now >= self.flush_at:
            self.flush_at = self.world.now + self.chance.randint(FLUSH_MS // 2, FLUSH_MS * 2)
            self.flush()
        if self.world.now >= self.settle_at and any(holding.unknown for holding in self.holdings):
            self.settle_at = self.world.now + self.chance.randint(20, 300)
            self.settle()
        for holding in self.holdings:
            for rows in holding.next_rows():
                if self.chance.random() < 0.5 and self.latest + REQUEST_MS <= holding.partition.metadata.lease_end_ms:
                    holding.under_way.append(self.world.attempt(holding.partition, rows, self.earliest))

    def take_over(self) -> None:
        ready = [partition for partition in self.waiting if self.earliest > partition.metadata.lease_end_ms]
        for partition in ready:
            self.waiting.remove(partition)
            index = self.index([partition], None, None)
            before = partition.metadata
            holding = Holding(partition, partition.lanes(), set(index.offsets_of(partition.name)))
            doubts = {doubt.origin.offset: doubt for doubt in index.doubts_of(STREAM) if doubt.origin.partition == partition.name}
            for row in range(len(partition.keys)):
                if row not in holding.done and before.lease_end_ms:
                    holding.unknown[row] = before.watermark_ms, before.lease_end_ms + SETTLE_MS
                    if row in doubts:
                        holding.unknown[row] = doubts[row].not_before_ms, doubts[row].until_ms
                        holding.noted.add(row)
            holding.partition.metadata = Metadata(before.watermark_ms, self.latest + LEASE_MS)
            self.holdings.append(holding)

    def answers(self, holding: Holding) -> None:
        for attempt in list(holding.under_way):
            if attempt.answered and self.world.now >= attempt.answer_at:
                holding.under_way.remove(attempt)
                if attempt.place is not None:
                    self.ack(holding, attempt.rows, attempt.place)
            elif not attempt.answered and self.world.now >= attempt.gives_up_at:
                holding.under_way.remove(attempt)
                for row in attempt.rows:
                    holding.unknown[row] = (attempt.begin_ms, self.latest + SETTLE_MS)
                    holding.published.discard(row)

    def ack(self, holding: Holding, rows: list[int], place: Place) -> None:
        holding.done.update(rows)
        holding.acked.append((rows, place))

    def flush(self) -> None:
        """Ledger, then commit."""
        snapshot = self.earliest
        marks = {}
        for holding in self.holdings:
            partition = holding.partition
            open_from = [attempt.begin_ms for attempt in holding.under_way]
            if partition.marked:
                open_from += [window[0] for window in holding.unknown.values()]
            marks[partition.name] = min(open_from, default=snapshot)
            for rows, place in holding.acked:
                self.world.write(self.world.entry(partition, rows, place))
            holding.acked.clear()
            fresh = [row for row in sorted(holding.unknown) if row not in holding.published]
            if fresh and not partition.marked:
                self.world.write(self.expected(holding).doubts(fresh))
                holding.published.update(fresh)
                holding.noted.update(fresh)
        for holding in self.holdings:
            if self.chance.random() < 0.9 and self.latest <= holding.partition.metadata.lease_end_ms:
                holding.partition.metadata = Metadata(marks[holding.partition.name], self.latest + LEASE_MS)

    def expected(self, holding: Holding) -> Expected:
        """All rows of the partition; those that are not in doubt have no place yet, or one in the ledger."""
        partition = holding.partition
        windows = [holding.unknown.get(row, (self.world.now, self.world.now)) for row in range(len(partition.keys))]
        return Expected(
            STREAM,
            partition.name,
            range(len(partition.keys)),
            [math.floor(first) for first, _ in windows],
            [math.ceil(last) for _, last in windows],
            partition.keys,
            partition.digests,
            partition.marked,
            partition.ordered,
        )

    def index(
        self, partitions: list[SimPartition], digests: set[int] | None, keys: set[int] | None, since_ms: float = -math.inf
    ) -> LedgerIndex:
        """The ledger from its floor on: what is said of these partitions, and all that was written since then."""
        index = LedgerIndex(10_000)
        names = {partition.name for partition in partitions}
        for partition in partitions:
            index.follow(partition.name, 0)
        index.watch(STREAM, digests, keys)
        for written_ms, group in self.world.ledger:
            if written_ms >= since_ms or group.partition in names:
                index.add([group])
        return index

    def settle(self) -> None:
        asked = [holding for holding in self.holdings if holding.unknown]
        expected = [only_open(self.expected(holding), holding) for holding in asked]
        names = {holding.partition.name for holding in asked}
        under_way = [attempt.begin_ms for holding in self.holdings for attempt in holding.under_way]
        others = [p.metadata.watermark_ms for p in self.world.partitions if p.name not in names and not self.world.is_idle(p)]
        known_to = min([self.earliest, *under_way, *others])
        digests: set[int] = set()
        keys = {key for rows in expected for key in rows.key_hashes}
        partitions = [holding.partition for holding in asked]
        since_ms = needed_since_ms(expected, LedgerIndex(0)) - 2 * MARGIN_MS - SETTLE_MS
        index = self.index(partitions, digests, keys, since_ms)
        evidence, read_to = self.read()
        while True:
            earlier_ms = needed_since_ms(expected, index) - 2 * MARGIN_MS - SETTLE_MS
            wanted = digests_to_watch(expected, evidence, index)
            if wanted <= digests and earlier_ms >= since_ms:
                break
            digests, since_ms = digests | wanted, min(since_ms, earlier_ms)
            index = self.index(partitions, digests, keys, since_ms)
        for holding in self.holdings:
            for rows, place in holding.acked:
                index.add([self.world.entry(holding.partition, rows, place)])
        known = Known(index, known_to, read_to, self.world.deadline_ms, MARGIN_MS)
        for holding, asked_rows, verdicts in zip(asked, expected, settle(expected, evidence, known), strict=True):
            for offset, verdict in zip(asked_rows.offsets, verdicts, strict=True):
                if offset in holding.unknown:
                    self.act(holding, offset, verdict)

    def act(self, holding: Holding, row: int, verdict: Verdict) -> None:
        if verdict.settled == Settled.WAIT:
            return
        if verdict.settled == Settled.CLAIM:
            assert verdict.place is not None
            if verdict.place not in holding.claimed:
                holding.claimed.add(verdict.place)
                self.world.write(self.world.entry(holding.partition, [row], verdict.place, is_claim=True))
            return
        del holding.unknown[row]
        if verdict.settled == Settled.LANDED:
            assert verdict.place is not None
            self.world.landed += 1
            self.ack(holding, [row], verdict.place)
            return
        self.world.unsettled += verdict.settled == Settled.UNSETTLED
        if row in holding.noted:
            holding.noted.remove(row)
            self.world.write(Resolved(holding.partition.name, ResolvedAs.NOT_WRITTEN, "", [row]))

    def read(self) -> tuple[list[Evidence], float]:
        """All shards, perhaps not to their tips; a child after its parent."""
        evidence = []
        to_tip = True
        for shard in self.world.stream.shards:
            if any(parent.records and not to_tip for parent in shard.parents):
                break
            read = Evidence(shard.name, (0, 0))
            count = len(shard.records)
            if self.chance.random() < 0.15:
                count, to_tip = self.chance.randint(0, count), False
            for record in islice(shard.records, count):
                if not record.dropped:
                    read.sequence_numbers.append(record.number)
                    read.arrivals_ms.append(record.arrival_ms)
                    read.key_hashes.append(record.key)
                    read.digests.append(record.digest)
                    read.marks.append(record.mark)
            evidence.append(read)
        return evidence, self.earliest if to_tip else -math.inf


def only_open(rows: Expected, holding: Holding) -> Expected:
    """Without rows that were not attempted: those are known to be neither in doubt nor done."""
    kept = [row for row in rows.offsets if row in holding.unknown or row in holding.done]
    return rows_of(rows, kept)


class World:
    """See the module."""

    def __init__(self, seed: int, deadline_ms: float = math.inf) -> None:
        self.chance = chance = random.Random(seed)
        self.now = 1000
        self.deadline_ms = deadline_ms
        self.stream = Stream(chance)
        self.ledger: list[tuple[int, Group]] = []
        """When it was written, and what."""
        self.late: list[tuple[int, SimPartition, Attempt]] = []
        self.landed = self.unsettled = self.crashes = self.lost = 0
        self.keys, self.contents = chance.randint(1, 3), chance.randint(1, 3)
        self.loss, self.crash = chance.choice([0.1, 0.3, 0.6]), chance.choice([0.0, 0.01, 0.04])
        self.partitions = [self._partition(number) for number in range(chance.randint(1, 4))]
        self.split_at = chance.choice([math.inf, chance.randint(1000, CHAOS_MS)])
        self.dead: list[tuple[int, list[SimPartition]]] = []
        self.owners = [Owner(self, group) for group in self._groups(self.partitions)]

    def _partition(self, number: int) -> SimPartition:
        chance = self.chance
        rows = chance.randint(1, 7)
        keys = [chance.randrange(1, self.keys + 1) for _ in range(rows)]
        digests = [10 * key + chance.randrange(self.contents) for key in keys]
        marked = chance.random() < 0.2
        return SimPartition(Partition("t", number), keys, digests, marked, marked or chance.random() < 0.8)

    def _groups(self, partitions: list[SimPartition]) -> list[list[SimPartition]]:
        groups: list[list[SimPartition]] = []
        for partition in partitions:
            if groups and self.chance.random() < 0.4:
                groups[-1].append(partition)
            else:
                groups.append([partition])
        return groups

    def write(self, group: Group) -> None:
        self.ledger.append((self.now, group))

    def entry(self, partition: SimPartition, rows: list[int], place: Place, is_claim: bool = False) -> Stored:
        """Of an aggregate all its records, whichever of them were asked about."""
        record = self.record_at(place)
        if record.mark is not None:
            return Stored(place.shard, partition.name, [record.number], [0], record.mark.offsets, [len(record.mark.offsets)])
        return Stored(place.shard, partition.name, [record.number], [record.digest], rows, None, is_claim)

    def record_at(self, place: Place) -> Record:
        shard = next(shard for shard in self.stream.shards if shard.shard_id == place.shard.shard_id)
        return shard.records[place.sequence_number - shard.base - 1]

    def attempt(self, partition: SimPartition, rows: list[int], begin_ms: float) -> Attempt:
        chance = self.chance
        attempt = Attempt(rows, begin_ms, self.now + chance.randint(5, REQUEST_MS), self.now + REQUEST_MS)
        if self.now < CHAOS_MS and chance.random() < self.loss:
            self.lost += 1
            attempt.answered = False
            if chance.random() < 0.6:
                self.late.append((self.now + chance.randint(5, REQUEST_MS + SETTLE_MS), partition, attempt))
        elif self.now >= CHAOS_MS or chance.random() < 0.9:
            self.late.append((chance.randint(self.now, attempt.answer_at), partition, attempt))
        return attempt

    def is_idle(self, partition: SimPartition) -> bool:
        """Its owner has shown it as clean: everything is in the ledger."""
        return any(
            holding.partition is partition and len(holding.done) == len(partition.keys) and not holding.acked
            for owner in self.owners
            for holding in owner.holdings
        )

    def run(self) -> None:
        """Until everything is in the ledger. Raises AssertionError where that does not come to pass."""
        while not all(map(self.is_idle, self.partitions)):
            assert self.now < END_MS, "it waits for ever"
            self.now += self.chance.randint(5, 40)
            if self.now >= self.split_at:
                self.split_at = math.inf
                self.stream.split()
            for due in [due for due in self.late if due[0] <= self.now]:
                self.late.remove(due)
                self._store(due[1], due[2])
            for owner in self.chance.sample(self.owners, len(self.owners)):
                owner.step()
            self._crash_and_take_over()
        assert not self.late or all(due[2].answered for due in self.late)

    def _store(self, partition: SimPartition, attempt: Attempt) -> None:
        row = attempt.rows[0]
        mark = Mark(partition.name, tuple(attempt.rows)) if partition.marked else None
        shard, record = self.stream.put(self.now, partition.keys[row], 0 if mark else partition.digests[row], mark)
        if not (record.dropped and attempt.answered):
            attempt.place = Place(shard.name, record.number, 0)

    def _crash_and_take_over(self) -> None:
        chance = self.chance
        for owner in list(self.owners):
            if self.now < CHAOS_MS and chance.random() < self.crash:
                self.crashes += 1
                self.owners.remove(owner)
                held = [*owner.waiting, *(holding.partition for holding in owner.holdings)]
                self.dead += [(self.now + chance.randint(0, 800), group) for group in self._groups(held)]
        for back in [back for back in self.dead if back[0] <= self.now]:
            self.dead.remove(back)
            self.owners.append(Owner(self, back[1]))

    # What the truth is, and what the ledger says

    def check(self) -> None:
        """Raises AssertionError."""
        index = LedgerIndex(10_000)
        for partition in self.partitions:
            index.follow(partition.name, 0)
        index.watch(STREAM)
        for _, group in self.ledger:
            index.add([group])
        assert index.disputes == 0
        places: dict[Origin, Place] = {}
        for partition in self.partitions:
            for row, digest in enumerate(partition.digests):
                place = index.place_of(Origin(partition.name, row))
                assert place is not None, f"{partition.name} {row} is not in the ledger"
                record = self.record_at(place)
                assert not record.dropped
                assert record.mark is not None or record.digest == digest, f"{partition.name} {row} is something else"
                places[Origin(partition.name, row)] = place
        assert len(set(places.values())) == len(places), "a record belongs to two rows"
        self._check_copies()
        for partition in self.partitions:
            for rows in partition.lanes().values():
                numbers = [
                    (p.sequence_number, p.sub_sequence_number) for p in (places[Origin(partition.name, row)] for row in rows)
                ]
                assert self.unsettled or numbers == sorted(numbers), f"{partition.name} {rows}: {numbers} is out of order"

    def _check_copies(self) -> None:
        wanted: Counter[object] = Counter()
        stored: Counter[object] = Counter()
        for partition in self.partitions:
            for row, digest in enumerate(partition.digests):
                wanted[(partition.name, row) if partition.marked else digest] += 1
        for shard in self.stream.shards:
            for record in shard.records:
                if record.mark is None:
                    stored[record.digest] += 1
                elif not record.dropped:
                    stored.update((record.mark.partition, offset) for offset in record.mark.offsets)
        for content in wanted:
            assert stored[content] >= wanted[content], f"{content} was lost"
        assert stored.total() - wanted.total() <= self.unsettled, f"written twice: {stored - wanted}"
