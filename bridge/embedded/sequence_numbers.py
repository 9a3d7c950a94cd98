"""Sequence numbers that look and sort like those of the real service: 56 decimal digits, beginning with 49.

Layout, most significant first (observed on numbers of the real service, which documents only that they are unique
in a stream and increase over time for a partition key):

| bits | content |
|---|---|
| 4 | 2 |
| 36 | second in which the shard was created |
| 4 | 0 |
| 64 | place of the record in its shard: 0 is the shard's starting number, records count from 1 |
| 8 | 0 |
| 36 | second in which the record arrived |
| 32 | index of the shard in its stream |
| 4 | 2 |

A child is created in a later second than its parents, so all its numbers are above theirs.
"""

PLACE_STEP = 1 << 80
"""Distance between the numbers of two neighbouring places."""

_LAST_PLACE = (1 << 63) - 1
_SECOND_SHIFT = 36
_CREATED_SHIFT = 148
_CREATED_MAX = (1 << 36) - 1


def shard_base(created_s: int, shard_index: int) -> int:
    """The number of place 0 without a second of arrival; raises ValueError outside the layout."""
    if not 0 <= created_s <= _CREATED_MAX or not 0 <= shard_index < 1 << 32:
        raise ValueError(f"no sequence numbers for a shard created at {created_s} with index {shard_index}")
    return (2 << 184) | (created_s << _CREATED_SHIFT) | (shard_index << 4) | 2


def at_place(base: int, place: int, arrival_s: int) -> int:
    """The number of the record at `place` (1, 2, ...) that arrived in second `arrival_s`."""
    return base + place * PLACE_STEP + (arrival_s << _SECOND_SHIFT)


def starting(base: int, created_s: int) -> int:
    """StartingSequenceNumber: below every record of the shard."""
    return base + (created_s << _SECOND_SHIFT)


def ending(base: int, closed_s: int) -> int:
    """EndingSequenceNumber of a closed shard: above every record of it, below its children."""
    return at_place(base, _LAST_PLACE, closed_s)


def upper_bound(base: int) -> int:
    """Above every number of the shard."""
    return at_place(base, _LAST_PLACE + 1, 0)


def place_of(base: int, number: int) -> int:
    """The place a number falls on, rounded down; negative for numbers of shards created before."""
    return (number - base) // PLACE_STEP


def shard_index(number: int) -> int:
    """Index of the shard that gave a number."""
    return (number >> 4) & 0xFFFFFFFF
