"""Who owns a partition, until when, and from where on a successor has to look: fields of the commit metadata.

| field | holds |
|---|---|
| `o` | [id of the owner, its counter]: one id for each process, one count for each assignment |
| `st` | `open`: attempts may be under way; `clean`: nothing is unresolved |
| `w` | watermark, Kinesis's clock in ms: every attempt started before has an outcome or a doubt in the ledger |
| `f` | ledger floor as text, see below |
| `e` | end of the lease, Kinesis's clock in ms |
| `a` | nothing at or above this offset was attempted, nor will be within this lease |
| `ep` | epoch of the route's direction |
| `fp` | fingerprint of the route: what decides bytes, keys, lanes and policies |
| `r` | records a second that it carries, observed |
| `d` | what it wants of its equal part of the shards, above 0 and at most 1 (see `demand`); 1 where it is missing |

The floor is the offset from which on each of the ledger topic's partitions (slots) has to be read, of those that matter. As text:
slots ascend, with commas between them; a slot is `number:offset`, or the offset alone where its number is one above that before
(the first would be 0). Numbers are in base 36: `2s,5:rs,rt` is offset 100 of slot 0, 1000 of slot 5, 1001 of slot 6.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OWNERSHIP_FIELDS = ("o", "st", "w", "f", "e", "a", "ep", "fp", "r", "d")
"""All of them or none are there, but for the last."""
FLOOR_SLOTS_MAX = 128
"""Of one partition's floor: 18 characters each at most."""
_TEXT_MAX = 64
_INT64_MAX = 2**63 - 1
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_DIGITS_MAX = 13


@dataclass(slots=True, frozen=True)
class Ownership:
    """See the module. `floors` maps slots to offsets; an empty one says that nothing of the ledger has to be read."""

    owner: str
    counter: int
    is_open: bool
    watermark_ms: int
    lease_end_ms: int
    floors: Mapping[int, int] = field(default_factory=dict)
    epoch: int = 0
    fingerprint: str = ""
    records_per_s: float = 0.0
    attempts_to: int = 0
    demand: float = 1.0


def fields_of(ownership: Ownership) -> dict[str, Any]:
    """The fields, for JSON.

    Raises:
        ValueError: a number is negative or has more than 63 bits, a text more than 64 characters, or the floor too many slots.
    """
    _check(ownership)
    return {
        "o": [ownership.owner, ownership.counter],
        "st": "open" if ownership.is_open else "clean",
        "w": ownership.watermark_ms,
        "f": floors_text(ownership.floors),
        "e": ownership.lease_end_ms,
        "a": ownership.attempts_to,
        "ep": ownership.epoch,
        "fp": ownership.fingerprint,
        "r": round(float(ownership.records_per_s), 1),
        **({"d": ownership.demand} if ownership.demand != 1 else {}),
    }


def _check(ownership: Ownership) -> None:
    """All but the floors. Raises ValueError as `fields_of`."""
    numbers = (ownership.counter, ownership.watermark_ms, ownership.lease_end_ms, ownership.epoch, ownership.attempts_to)
    rates_hold = 0 <= ownership.records_per_s < math.inf and is_demand(ownership.demand)
    if not all(0 <= number <= _INT64_MAX for number in numbers) or not rates_hold:
        raise ValueError("a number of an ownership is out of range")
    if max(len(ownership.owner), len(ownership.fingerprint)) > _TEXT_MAX or not ownership.owner:
        raise ValueError(f"the owner or the fingerprint has more than {_TEXT_MAX} characters, or the owner none")


def ownership_in(fields: Mapping[str, Any]) -> Ownership | None:
    """The inverse of `fields_of`; None where one of the fields is missing or not as it writes it."""
    match fields:
        case {
            "o": [str() as owner, int() as counter],
            "st": "open" | "clean" as state,
            "w": int() as watermark_ms,
            "f": str() as floors,
            "e": int() as lease_end_ms,
            "a": int() as attempts_to,
            "ep": int() as epoch,
            "fp": str() as fingerprint,
            "r": int() | float() as records_per_s,
        } if is_demand(demand := fields.get("d", 1.0)):
            try:
                read = Ownership(
                    owner,
                    counter,
                    state == "open",
                    watermark_ms,
                    lease_end_ms,
                    floors_of(floors),
                    epoch,
                    fingerprint,
                    float(records_per_s),
                    attempts_to,
                    demand,
                )
                _check(read)  # the floors were read as they are written
            except ValueError:
                return None
            return read
        case _:
            return None


def is_demand(value: object) -> bool:
    """Whether this may stand in the field `d`."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1


def floors_text(floors: Mapping[int, int]) -> str:
    """A floor as text. Raises ValueError for a number below 0 or above 63 bits, or more than FLOOR_SLOTS_MAX slots."""
    if len(floors) > FLOOR_SLOTS_MAX:
        raise ValueError(f"a floor of {len(floors)} slots")
    written, expected = [], 0
    for slot in sorted(floors):
        written.append(_base36(floors[slot]) if slot == expected else f"{_base36(slot)}:{_base36(floors[slot])}")
        expected = slot + 1
    return ",".join(written)


def floors_of(text: str) -> dict[int, int]:
    """The inverse of `floors_text`. Raises ValueError for a text that it did not write."""
    floors: dict[int, int] = {}
    slot = -1
    for entry in text.split(",") if text else ():
        named, colon, offset = entry.rpartition(":")
        slot = _number(named) if colon else slot + 1
        floors[slot] = _number(offset)
    if floors_text(floors) != text:
        raise ValueError(f"no ledger floor: {text[:50]!r}")
    return floors


def _base36(number: int) -> str:
    if not 0 <= number <= _INT64_MAX:
        raise ValueError(f"a floor with {number}")
    digits = ""
    while number >= 36:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return _DIGITS[number] + digits


def _number(text: str) -> int:
    if len(text) > _DIGITS_MAX:
        raise ValueError("a number of a floor is too long")
    return int(text, 36)
