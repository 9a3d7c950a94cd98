"""One stream: its shards, which of them takes a record, and how they are split and merged."""

from bisect import bisect_right
from collections.abc import Callable
from hashlib import md5
from itertools import pairwise
from math import inf

from bridge.core.quotas import (
    HASH_KEY_MAX,
    KIB,
    PARTITION_KEY_CHARACTERS_MAX,
    RECORD_BYTES_MAX_CEILING,
    RECORD_BYTES_MAX_DEFAULT,
)
from bridge.embedded.kinesis_errors import constraint_broken, over_limit
from bridge.embedded.shard import Shard

ROUTES_MAX = 131_072
"""Partition keys whose shard is remembered per stream; some 20 MB when full."""

_SIZE_BITS = 11  # a partition key has at most 1024 bytes of UTF-8

RETENTION_HOURS_DEFAULT = 24
HASH_KEYS = HASH_KEY_MAX + 1


def hash_key(partition_key: str) -> int:
    """The 128-bit hash key that Kinesis gives a partition key: MD5 of its UTF-8 bytes, big-endian."""
    return int.from_bytes(md5(partition_key.encode(), usedforsecurity=False).digest(), "big")


def uniform_starts(shards: int) -> list[int]:
    """Starting hash keys of `shards` equal ranges over the 128-bit space."""
    return [HASH_KEYS * index // shards for index in range(shards)]


class Stream:
    """Shards by index, the open ones sorted by hash key, and what the control plane may change.

    `active_at` is when it becomes active, None from then on; `change` is a reshard under way: when it takes effect and
    what it does then. `shown_status` is what an injected fault makes its status.
    """

    def __init__(self, name: str, arn: str, shard_count: int, now: float, kept_s: float = inf) -> None:
        """Records are gone after `kept_s`, although the retention promises more."""
        self.name = name
        self.arn = arn
        self.created_at = now
        self.active_at: float | None = None
        self.deleted_at: float | None = None
        self.change: tuple[float, Callable[[float], None]] | None = None
        self.mode = "PROVISIONED"
        self.distribution = "USER_PARTITION_KEY"
        self.max_record_bytes = RECORD_BYTES_MAX_DEFAULT
        self.retention_hours = RETENTION_HOURS_DEFAULT
        self.shard_level_metrics: list[str] = []
        self.tags: dict[str, str] = {}
        self.scalings: list[float] = []
        self.shown_status: str | None = None
        self._horizon_floor = now
        self._kept_s = kept_s
        starts = uniform_starts(shard_count)
        ranges = [(start, following - 1) for start, following in pairwise([*starts, HASH_KEYS])]
        self.shards = [Shard(index, hash_keys, now) for index, hash_keys in enumerate(ranges)]
        self.open_shards: list[Shard] = []
        self._starts: list[int] = []
        self._routes: dict[str, int] = {}
        self._turn = 0
        self._refresh()

    @property
    def is_changing(self) -> bool:
        """True while a moment is set at which its state changes."""
        return self.active_at is not None or self.change is not None or self.deleted_at is not None

    def status(self, now: float) -> str:
        """StreamStatus in AWS's words."""
        if self.shown_status is not None:
            return self.shown_status
        if self.deleted_at is not None:
            return "DELETING"
        if self.active_at is not None and now < self.active_at:
            return "CREATING"
        return "ACTIVE" if self.change is None else "UPDATING"

    @property
    def max_record_kib(self) -> int:
        return self.max_record_bytes // KIB

    def trim_horizon(self, now: float) -> float:
        """Records that arrived before this moment are gone; never before the stream's creation."""
        return max(self._horizon_floor, now - min(self._kept_s, self.retention_hours * 3600))

    def keep_for(self, hours: int, now: float) -> None:
        """Changes the retention; what is gone stays gone."""
        self._horizon_floor = self.trim_horizon(now)
        self.retention_hours = hours

    def route(self, partition_keys: list[str]) -> tuple[list[int], list[int]]:
        """For each key the index into `open_shards` and its bytes of UTF-8; raises ValidationException."""
        known, learn = self._routes.get, self._learn
        found = [known(key) or learn(key) for key in partition_keys]
        slots = [route >> _SIZE_BITS for route in found]
        if self.distribution == "AUTO":
            slots = [(self._turn + index) % len(self.open_shards) for index in range(len(slots))]
            self._turn += len(slots)
        return slots, [route & (1 << _SIZE_BITS) - 1 for route in found]

    def slot_of(self, hash_key: int) -> int:
        """Index into `open_shards` of the shard that holds a hash key."""
        return bisect_right(self._starts, hash_key) - 1

    def _learn(self, key: str) -> int:
        size = partition_key_bytes(key)
        if len(self._routes) >= ROUTES_MAX:
            self._routes.clear()
        route = self.slot_of(hash_key(key)) << _SIZE_BITS | size
        self._routes[key] = route
        return route

    def split(self, shard: Shard, new_starting_hash_key: int, at: float) -> None:
        """Closes an open shard; its children meet at the given hash key, which lies inside its range above the start."""
        below = (shard.start_hash_key, new_starting_hash_key - 1)
        above = (new_starting_hash_key, shard.end_hash_key)
        self._replace([shard], [below, above], at)

    def merge(self, shard: Shard, adjacent: Shard, at: float) -> None:
        """Closes two open neighbours, in either order; their child covers both ranges."""
        start = min(shard.start_hash_key, adjacent.start_hash_key)
        end = max(shard.end_hash_key, adjacent.end_hash_key)
        self._replace([shard, adjacent], [(start, end)], at)

    def scale(self, target: int, at: float) -> None:
        """Splits and merges one by one until `target` equal ranges are open, as UpdateShardCount does."""
        starts = uniform_starts(target)
        for start in starts:
            holder = self.open_shards[self.slot_of(start)]
            if holder.start_hash_key != start:
                self.split(holder, start, at)
        for start, following in pairwise([*starts, HASH_KEYS]):
            while (holder := self.open_shards[self.slot_of(start)]).end_hash_key < following - 1:
                self.merge(holder, self.open_shards[self.slot_of(holder.end_hash_key + 1)], at)

    def _replace(self, parents: list[Shard], ranges: list[tuple[int, int]], at: float) -> None:
        for parent in parents:
            parent.close(at)
        for hash_keys in ranges:
            self.shards.append(Shard(len(self.shards), hash_keys, at, parents))
        self._refresh()

    def _refresh(self) -> None:
        self.open_shards = sorted(
            (shard for shard in self.shards if shard.closed_at is None), key=lambda shard: shard.start_hash_key
        )
        self._starts = [shard.start_hash_key for shard in self.open_shards]
        self._routes.clear()


def partition_key_bytes(key: str) -> int:
    """Bytes of a partition key in UTF-8; raises ValidationException unless it has 1..256 characters (UTF-16 units)."""
    characters = len(key)
    if characters and key.isascii() and characters <= PARTITION_KEY_CHARACTERS_MAX:
        return characters
    if not 1 <= len(key.encode("utf-16-le", "surrogatepass")) // 2 <= PARTITION_KEY_CHARACTERS_MAX:
        if not key:
            raise constraint_broken(key, "partitionKey", "have length greater than or equal to 1")
        must = f"have length less than or equal to {PARTITION_KEY_CHARACTERS_MAX}"
        raise over_limit(constraint_broken(key, "partitionKey", must))
    return len(key.encode())


def max_record_bytes(max_record_size_kib: int) -> int:
    """MaxRecordSizeInKiB in bytes; raises ValidationException outside 1024..10240 KiB."""
    size = max_record_size_kib * KIB
    if not RECORD_BYTES_MAX_DEFAULT <= size <= RECORD_BYTES_MAX_CEILING:
        raise constraint_broken(max_record_size_kib, "maxRecordSizeInKiB", "have value between 1024 and 10240")
    return size
