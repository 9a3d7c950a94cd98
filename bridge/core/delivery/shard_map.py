"""Which open shard a record goes to: the shards' ranges of the 128-bit hash-key space."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bridge.core.errors import AnswerError
from bridge.core.quotas import HASH_KEY_MAX


class Shard(NamedTuple):
    """A shard and its range of hash keys, both ends inclusive."""

    shard_id: str
    starting_hash_key: int
    ending_hash_key: int


class ShardMap:
    """The open shards of one stream, in the order of their ranges; and by their ids those closed ones that the stream still has.

    Raises:
        AnswerError: the ranges overlap or leave a gap. ListShards answers so in the middle of a reshard: ask again.
    """

    __slots__ = ("_starts", "closed", "shards")

    def __init__(self, shards: Iterable[Shard], closed: Iterable[Shard] = ()) -> None:
        self.closed = {shard.shard_id: shard for shard in closed}
        self.shards = tuple(sorted(shards, key=lambda shard: shard.starting_hash_key))
        expected = 0
        for shard in self.shards:
            if shard.starting_hash_key != expected:
                raise AnswerError(f"hash-key ranges do not join at {shard.shard_id}: {shard.starting_hash_key} != {expected}")
            expected = shard.ending_hash_key + 1
        if expected != HASH_KEY_MAX + 1:
            raise AnswerError(f"hash-key ranges end at {expected - 1}")
        self._starts = [shard.starting_hash_key for shard in self.shards]

    def locate(self, hash_key: int) -> int:
        """Index in `shards` of the shard that holds this hash key."""
        return bisect_right(self._starts, hash_key) - 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShardMap) and (self.shards, self.closed) == (other.shards, other.closed)

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self.shards)


PLACED_MAX = 65_536


class Places:
    """Where hash keys go in one shard map, remembered: a look-up costs a third of a search."""

    __slots__ = ("_known", "_shard_map")

    def __init__(self, shard_map: ShardMap) -> None:
        self._shard_map = shard_map
        self._known: dict[int, int] = {}

    def of(self, hash_keys: Sequence[int]) -> list[int]:
        """Index of the shard of each hash key."""
        try:
            return list(map(self._known.__getitem__, hash_keys))
        except KeyError:
            return [self._learn(key) if (place := self._known.get(key)) is None else place for key in hash_keys]

    def _learn(self, hash_key: int) -> int:
        if len(self._known) >= PLACED_MAX:
            self._known.clear()
        place = self._known[hash_key] = self._shard_map.locate(hash_key)
        return place
