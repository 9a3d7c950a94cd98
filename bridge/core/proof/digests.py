"""The 64-bit digest by which a Kinesis record is known again.

xxh3_64 (xxhash, without a seed) of the partition key's UTF-8 bytes and the data behind them, both as they stand in the stream:
of an aggregate the whole, with the partition key outside. Not made to withstand somebody who looks for collisions.
"""

from collections.abc import Iterable

from xxhash import xxh3_64_intdigest


def digest(partition_key: str, data: bytes) -> int:
    """Of one Kinesis record; 0 to 2**64 - 1."""
    return xxh3_64_intdigest(partition_key.encode() + data)


def digests(partition_keys: Iterable[str], datas: Iterable[bytes]) -> list[int]:
    """Of each record; both have the same length, else ValueError."""
    return [xxh3_64_intdigest(key.encode() + data) for key, data in zip(partition_keys, datas, strict=True)]


def key_hash(partition_key: str) -> int:
    """xxh3_64 of a partition key alone; 0 to 2**64 - 1."""
    return xxh3_64_intdigest(partition_key.encode())
