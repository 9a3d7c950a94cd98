"""The laws of the bridge, watched from outside while a run goes on: what Kinesis stored against what Kafka holds.

L1 no loss, L2 order, L4 limits, L6 bounded; and that the daemon does not end by itself. Nothing here asks the bridge what it
thinks, but for how much memory it says it holds.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
from pybase64 import b64decode

from bridge.core.delivery.aggregation import MAGIC
from bridge.core.delivery.deaggregation import Delivered, decode_aggregate, delivered_by_kcl
from bridge.core.quotas import HASH_KEY_MAX, REQUEST_BYTES_MAX, REQUEST_RECORDS_MAX, SHARD_BYTES_PER_S, SHARD_RECORDS_PER_S
from bridge.embedded.call_timeline import Reply
from bridge.embedded.shard import Shard
from tests.simulation.kinesis import Kinesis
from tests.simulation.odd_records import TOMBSTONE_KEY
from tests.simulation.process import Process

FRESH_SHARD_S = 1.5
"""After a process has seen the shards anew: what it sent by the old map is still in the window."""

LEAD_TO_REPEATS = ("stored_twice", "swapped", "acked_not_stored", "byte_flipped")
"""What the service does of its own accord: it stores a record twice, or other than it was told."""

EQUAL = "="
"""So the origin begins of what several records hold alike."""

NESTED = "a value that looks like an aggregate"
"""Lane of such records: nothing but themselves."""


class Origin(NamedTuple):
    """Where a record comes from."""

    topic: str
    partition: int
    offset: int


def value_of(origin: Origin, lane: str, padding: int) -> bytes:
    """A record's value, which says where it comes from and which lane it is of."""
    return f"{origin.topic}/{origin.partition}/{origin.offset}/{lane}/".encode() + b"x" * padding


def equal_of(key: bytes, kind: int) -> Origin:
    """What stands in place of the origin in records that hold the same."""
    return Origin(f"{EQUAL}{key.decode()}", kind, 0)


def records_of(data: bytes, partition_key: str, shard: Shard) -> list[tuple[Origin, str]]:
    """What a KCL application is given of one Kinesis record: origins and lanes of the records that are of the bridge."""
    if data[:4] != MAGIC and data:
        found = origin_of(data)
        return [found] if found else []
    given = delivered_by_kcl(data, partition_key, shard.start_hash_key, shard.end_hash_key)
    return [found for record in given if (found := _record(record))]


def records_in(data: bytes, partition_key: str) -> list[Origin | None]:
    """Origins of what is in one Kinesis record, whatever its shard; None for one that does not say its own."""
    if data[:4] != MAGIC and data:
        found = origin_of(data)
        return [found[0] if found else None]
    given = delivered_by_kcl(data, partition_key, 0, HASH_KEY_MAX)
    return [found[0] if (found := _record(record)) else None for record in given]


def _record(record: Delivered) -> tuple[Origin, str] | None:
    if not record.data and record.partition_key.startswith(TOMBSTONE_KEY):
        topic, partition, offset = record.partition_key.removeprefix(TOMBSTONE_KEY).split("/")
        return Origin(topic, int(partition), int(offset)), record.partition_key
    if record.data[:4] != MAGIC:
        return origin_of(record.data)
    inside = decode_aggregate(record.data)  # a user's own value, which KCL has left as it is
    found = origin_of(inside.datas[0]) if inside is not None else None
    return (found[0], NESTED) if found else None


def origin_of(value: bytes) -> tuple[Origin, str] | None:
    """The opposite; None for a record that the bridge did not write, or that a fault has damaged."""
    parts = value.split(b"/", 4)
    if len(parts) != 5 or not (parts[1].isdigit() and parts[2].isdigit() and parts[4].strip(b"x") == b""):
        return None
    try:
        return Origin(parts[0].decode(), int(parts[1]), int(parts[2])), parts[3].decode()
    except UnicodeDecodeError:
        return None


@dataclass(slots=True, frozen=True)
class Broken:
    """A law that was broken, when, and by what."""

    law: str
    at: float
    detail: str

    def __str__(self) -> str:
        return f"{self.law} at {self.at:.3f} s: {self.detail}"


@dataclass(slots=True)
class Laws:
    """Collects what breaks a law; the first one ends the run."""

    kinesis: Kinesis
    broken: list[Broken] = field(default_factory=list)
    stored: Counter[Origin] = field(default_factory=Counter)
    acked: set[Origin] = field(default_factory=set)
    """Records of which a process was told that they are stored."""
    _seen: dict[tuple[str, str], int] = field(default_factory=dict)
    _shards: dict[tuple[str, str], Shard] = field(default_factory=dict)
    """Also of streams that are deleted: an answer may still be on its way."""
    _last_of_lane: dict[tuple[str, int, str], int] = field(default_factory=dict)
    _sent: dict[tuple[str, str], deque[tuple[float, int, int]]] = field(default_factory=lambda: defaultdict(deque))
    shares: dict[str, float] = field(default_factory=dict)
    """Part of each stream's shards that the configuration allows."""
    unordered: set[str] = field(default_factory=set)
    """Topics without order."""
    nested: set[Origin] = field(default_factory=set)
    """Values that look like aggregates."""
    equals: dict[Origin, Origin] = field(default_factory=dict)
    """Records that hold the same as others, with what stands in place of their origin."""
    produced: Counter[Origin] = field(default_factory=Counter)
    """By that, how many of them there are,"""
    equals_committed: Counter[Origin] = field(default_factory=Counter)
    """and how many of them stand below what is committed."""
    left_out: set[Origin] = field(default_factory=set)
    """Records that the configuration leaves out, or that nothing tells apart when they have arrived."""
    parked: set[Origin] = field(default_factory=set)
    """Records that the dead-letter topic holds."""
    damaged: bool = False
    """Whether faults are on that make the service itself change the order of what it stores."""

    def breaks(self, law: str, detail: str) -> None:
        self.broken.append(Broken(law, self.kinesis.world.now, detail))

    # -- L2, as things are stored

    def look_at_streams(self) -> None:
        """What was stored since the last look."""
        for stream in self.kinesis.model.streams.all(self.kinesis.world.wall()):
            for shard in stream.shards:
                place = self._seen.get((stream.name, shard.shard_id), 1)
                self._shards[stream.name, shard.shard_id] = shard
                if shard.next_place > place:
                    self._seen[stream.name, shard.shard_id] = shard.next_place
                    for at in range(place, shard.next_place):
                        for origin, lane in records_of(shard.data_at(at), shard.partition_key_at(at), shard):
                            self._stored(origin, lane)

    def forget_stream(self, name: str) -> None:
        """It was deleted: one of its name begins with nothing."""
        self._seen = {place: seen for place, seen in self._seen.items() if place[0] != name}

    def _stored(self, origin: Origin, lane: str) -> None:
        self.stored[origin] += 1
        if origin in self.nested and lane != NESTED:
            self.breaks("L1", f"{origin} is a value that looks like an aggregate, and KCL opens it")
        if self.stored[origin] > 1 or origin.topic in self.unordered or origin.topic.startswith(EQUAL):
            return
        place = (origin.topic, origin.partition, lane)
        last = self._last_of_lane.get(place, -1)
        # Acked before it was ever stored: the service lied, and what it lied about may come again later.
        if last > origin.offset and not self.damaged and origin not in self.acked:
            self.breaks("L2", f"{origin} of lane {lane!r} first stands behind offset {last} of the same lane")
        self._last_of_lane[place] = max(last, origin.offset)

    def shard(self, stream: str, shard_id: str) -> Shard | None:
        """Of a stream, as far as something was stored in it."""
        return self._shards.get((stream, shard_id))

    # -- L4, as things are sent

    def sent(self, process: Process, shards_seen_at: float, members: dict[str, Any]) -> None:
        """A PutRecords call leaves a process."""
        now = self.kinesis.world.now
        stream = self.kinesis.model.streams.get(members["StreamName"], self.kinesis.world.wall())
        sizes = [len(r["Data"]) * 3 // 4 - r["Data"].count("=", -2) + len(r["PartitionKey"].encode()) for r in members["Records"]]
        if not 1 <= len(sizes) <= REQUEST_RECORDS_MAX or sum(sizes) > REQUEST_BYTES_MAX:
            self.breaks("L4", f"a request of {len(sizes)} records and {sum(sizes)} bytes")
        if stream is None:
            return
        by_shard: dict[int, list[int]] = defaultdict(list)
        slots, _ = stream.route([record["PartitionKey"] for record in members["Records"]])
        for slot, size, record in zip(slots, sizes, members["Records"], strict=True):
            explicit = record.get("ExplicitHashKey")
            by_shard[slot if explicit is None else stream.slot_of(int(explicit))].append(size)
        for slot, of_shard in by_shard.items():
            shard = stream.open_shards[slot]
            created = shard.created_at - self.kinesis.world.wall() + now
            if (shard.parents and shards_seen_at + FRESH_SHARD_S > now) or shards_seen_at < created:
                continue
            self._within(process, stream.name, shard.shard_id, of_shard)

    def _within(self, process: Process, stream: str, shard_id: str, sizes: list[int]) -> None:
        now, share = self.kinesis.world.now, self.shares[stream]
        window = self._sent[process.name, f"{stream}/{shard_id}"]
        window.append((now, len(sizes), sum(sizes)))
        while window[0][0] <= now - 1.0 + 1e-6:
            window.popleft()
        records, size = sum(entry[1] for entry in window), sum(entry[2] for entry in window)
        if records > max(1, SHARD_RECORDS_PER_S * share):
            self.breaks("L4", f"{process.name} sent {records} records to {shard_id} within a second, {share:g} of it is allowed")
        alone = len(window) == 1 and len(sizes) == 1
        if size > SHARD_BYTES_PER_S * share and not alone:
            self.breaks("L4", f"{process.name} sent {size} bytes to {shard_id} within a second, {share:g} of it is allowed")

    # -- what a process was told

    def answered(self, members: dict[str, Any], reply: Reply) -> None:
        """The answer to a PutRecords call came to its sender."""
        if reply.status != 200:
            return
        for record, entry in zip(members["Records"], orjson.loads(reply.content)["Records"], strict=True):
            if "SequenceNumber" in entry:
                shard = self._shards[members["StreamName"], entry["ShardId"]]
                records = records_of(b64decode(record["Data"]), record["PartitionKey"], shard)
                self.acked.update(origin for origin, _ in records)

    # -- L1, as offsets are committed

    def committed(self, topic: str, partition: int, offsets: Iterable[int], upto: int, found: Callable[[Origin], bool]) -> None:
        """These offsets, which have records, stand below what is committed now. `found`: it was found where the
        ledger says, though nobody was told."""
        for offset in offsets:
            origin = Origin(topic, partition, offset)
            if equal := self.equals.get(origin):
                self.equals_committed[equal] += 1
                known = self.equals_committed[equal] <= self.stored[equal]
            else:
                known = origin in self.acked or found(origin)
            if not known and origin not in self.left_out and origin not in self.parked:
                what = "Kinesis has it, but nobody was told" if self.stored[origin] else "it is not in Kinesis"
                what = f"{self.stored[equal]} of its kind are in Kinesis" if equal else what
                self.breaks("L1", f"{topic}-{partition} is committed up to {upto}, but offset {offset} is not acked: {what}")
                return

    # -- L3, at the end

    def too_many(self) -> Counter[Origin]:
        """What is there more often than it should be, and by how much."""
        return Counter({o: n - self.produced.get(o, 1) for o, n in self.stored.items() if n > self.produced.get(o, 1)})

    # -- L6

    def bounded(self, process: Process, buffered: float, allowed: float, in_flight: int, in_flight_max: int) -> None:
        """What a process holds, against what its configuration names."""
        if buffered > allowed:
            self.breaks("L6", f"{process.name} holds {buffered:.0f} bytes, {allowed:.0f} are allowed")
        if in_flight > in_flight_max:
            self.breaks("L6", f"{process.name} has {in_flight} requests under way, {in_flight_max} are allowed")
