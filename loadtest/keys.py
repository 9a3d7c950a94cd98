"""Kafka keys by Zipf's law, and values that say when they were produced. Pure: chance is a seed, time an argument."""

import hashlib
import random
from collections.abc import Mapping, Sequence
from itertools import accumulate

STAMP_BYTES = 16
"""At the beginning of every value: microseconds since the epoch, and the number of the record; 8 bytes each, big-endian."""

KEY_BYTES = 12

POOL = 256
"""Values that differ behind the stamp. Random bytes: compression must not make the load smaller."""

_HASH_KEYS = 1 << 128


def make_keys(count: int, balanced_over: int | None = None) -> list[bytes]:
    """`count` different keys of 12 bytes. With `balanced_over` = n, key i has its MD5 in slice i mod n of n equal slices of the
    hash-key space, as Kinesis places partition keys (API reference of PutRecords)."""
    if balanced_over is None:
        return [_key(number) for number in range(count)]
    waiting = [(count - place + balanced_over - 1) // balanced_over for place in range(balanced_over)]
    found: list[list[bytes]] = [[] for _ in range(balanced_over)]
    number = 0
    while any(len(keys) < wanted for keys, wanted in zip(found, waiting, strict=True)):
        key = _key(number)
        place = slice_of(key, balanced_over)
        if len(found[place]) < waiting[place]:
            found[place].append(key)
        number += 1
    return [found[number % balanced_over][number // balanced_over] for number in range(count)]


def slice_of(key: bytes, slices: int) -> int:
    """Which of so many equal slices of the hash-key space holds this key."""
    return int.from_bytes(hashlib.md5(key, usedforsecurity=False).digest(), "big") * slices // _HASH_KEYS


def _key(number: int) -> bytes:
    return b"key-%08d" % number


def is_own_key(partition_key: str) -> bool:
    """Whether the generator made it."""
    return len(partition_key) == KEY_BYTES and partition_key.startswith("key-")


def zipf_weights(count: int, exponent: float) -> list[float]:
    """Weight of each rank, 1 / rank^exponent: Zipf's law; exponent 0 is uniform."""
    return [(rank + 1) ** -exponent for rank in range(count)]


def make_fillers(value_bytes: int | Mapping[int, float], generator: random.Random) -> list[bytes]:
    """`POOL` values without their stamps. Of a mapping size -> weight each size has its part of the pool."""
    weights = {value_bytes: 1.0} if isinstance(value_bytes, int) else dict(value_bytes)
    total = sum(weights.values())
    edges = list(accumulate(weight / total for weight in weights.values()))
    sizes = list(weights)
    chosen = [
        next((size for size, edge in zip(sizes, edges, strict=True) if (i + 0.5) / POOL < edge), sizes[-1]) for i in range(POOL)
    ]
    return [generator.randbytes(size - STAMP_BYTES) for size in chosen]


class RecordMaker:
    """Draws records in chunks; the same seed gives the same keys and values."""

    def __init__(self, keys: Sequence[bytes], exponent: float, value_bytes: int | Mapping[int, float], seed: int) -> None:
        self._random = random.Random(seed)
        self._keys = keys
        self._cumulated = list(accumulate(zipf_weights(len(keys), exponent))) if exponent else None
        self._fillers = make_fillers(value_bytes, self._random)
        self._made = 0

    def chunk(self, count: int, now_us: int) -> tuple[list[bytes], list[bytes]]:
        """Keys and values of `count` records that are produced now."""
        first, self._made = self._made, self._made + count
        stamp = now_us.to_bytes(8, "big")
        keys = self._random.choices(self._keys, cum_weights=self._cumulated, k=count)
        fillers = self._random.choices(self._fillers, k=count)
        return keys, [stamp + number.to_bytes(8, "big") + filler for number, filler in enumerate(fillers, first)]


def produced_at_s(value: bytes) -> float:
    """When a value was produced, in seconds since the epoch."""
    return int.from_bytes(value[:8], "big") / 1e6


def number_of(value: bytes) -> int:
    """Which of its generator's records a value is, counted from 0."""
    return int.from_bytes(value[8:STAMP_BYTES], "big")
