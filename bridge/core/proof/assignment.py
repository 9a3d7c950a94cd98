"""Which of several lanes wrote which of the records that are alike: lanes whose rows have the same partition key.

In a lane no row is attempted before the one below it is stored. So the records of a key are what its lanes wrote, each from its
first row on, in order, shuffled; records that nobody wrote aside. Everyone who works this out from the same lanes and records
comes to the same result, and to the same for what is left when a part of it is taken away: of all assignments that use the most
records, the first in the order of lanes.
"""

from collections.abc import Sequence
from typing import NamedTuple

STATES_MAX = 256
"""Ways of assigning that are followed at once; beyond that the best of them."""
LANES_MAX = 16
"""Of one key; where there are more, one way is followed."""
NOBODY = -1


class LaneRow(NamedTuple):
    """A row: digest of its record; the window in which the record arrived if it was written (milliseconds, inclusive); the
    position behind which it stands then."""

    digest: int
    first_ms: float
    last_ms: float
    after: int = -1


class AlikeRecord(NamedTuple):
    """A record of the key: its position in the order of the records, arrival, digest."""

    position: int
    arrival_ms: int
    digest: int


class Assigned(NamedTuple):
    """For each record, in their order, the index of its lane, or NOBODY. `is_exact`: every way was followed."""

    lanes: list[int]
    is_exact: bool = True


LaneRows = Sequence[LaneRow]
"""Rows of one lane, in order."""

_Path = tuple["_Path | None", int]
"""The assignments before, and the lane of the last record."""


def assign(lanes: Sequence[LaneRows], records: Sequence[AlikeRecord]) -> Assigned:
    """The records of one lane are its first row's, its second row's, and so on."""
    if all(len(lane) == 1 for lane in lanes):
        return Assigned(_assign_single_rows(lanes, records))
    states_max, is_exact = STATES_MAX if 1 < len(lanes) <= LANES_MAX else 1, True
    states: dict[tuple[int, ...], _Path | None] = {(0,) * len(lanes): None}
    for record in records:
        following: dict[tuple[int, ...], _Path | None] = {}
        for heads, path in states.items():
            taken = False
            for lane, head in enumerate(heads):
                if _may_have_written(lanes[lane], head, record):
                    taken = True
                    following.setdefault((*heads[:lane], head + 1, *heads[lane + 1 :]), (path, lane))
            if not taken:
                following.setdefault(heads, (path, NOBODY))
        if len(following) > states_max:  # sorting is stable: of equally good ones the first
            is_exact = False
            best = sorted(following, key=sum, reverse=True)[:states_max]
            following = {heads: following[heads] for heads in following if heads in set(best)}
        states = following
    best_path = states[max(states, key=sum)]
    assigned = []
    while best_path is not None:
        best_path, lane = best_path
        assigned.append(lane)
    return Assigned(assigned[::-1], is_exact)


def _may_have_written(lane: LaneRows, head: int, record: AlikeRecord) -> bool:
    if head >= len(lane):
        return False
    row = lane[head]
    return row.digest == record.digest and row.first_ms <= record.arrival_ms <= row.last_ms and record.position > row.after


def _assign_single_rows(lanes: Sequence[LaneRows], records: Sequence[AlikeRecord]) -> list[int]:
    """Each record to that of the rows it may be of whose window ends first: no other way uses more of them."""
    waiting: dict[int, list[int]] = {}
    for lane in sorted(range(len(lanes)), key=lambda lane: (lanes[lane][0].last_ms, lane)):
        waiting.setdefault(lanes[lane][0].digest, []).append(lane)
    assigned = []
    for record in records:
        alike = waiting.get(record.digest, [])
        found = next((lane for lane in alike if _may_have_written(lanes[lane], 0, record)), NOBODY)
        if found != NOBODY:
            alike.remove(found)
        assigned.append(found)
    return assigned
