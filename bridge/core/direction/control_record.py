"""What the control topic holds of a route: its direction, and how far a change of it is.

Format: JSON in UTF-8, `v` its version. One that cannot be read whole is refused, never read in part: who does not know what the
record says holds all records.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn, TypeGuard, TypeVar

import orjson

from bridge.core.direction.direction import Direction, Phase
from bridge.core.errors import BridgeError

VERSION = 1

Choice = TypeVar("Choice", bound=StrEnum)


class ControlRecordError(BridgeError):
    """The control topic holds something that this version cannot read; nothing is carried on the strength of it."""


class Held(StrEnum):
    """What is done with the records that were held when their path is turned on."""

    CARRY = "carry"
    SKIP = "skip"


@dataclass(slots=True, frozen=True)
class ControlRecord:
    """The state of one route from this record on.

    `direction` is where the epoch leads, `leaving` the one before it: while the change drains its records may still be under way;
    of a change that was given up it is the direction that was not reached. `epoch` counts from 1 and grows with each change and
    each abort. `since_ms` and `deadline_ms` (until when a change may drain) are milliseconds since 1970. `who` asked and `why`;
    `overridden` names the guards that were passed over by their word. `slices` is the frozen N of `partition_key: partition`,
    `fingerprint` stands for everything of the route that decides bytes, keys and lanes.
    """

    route: str
    epoch: int
    phase: Phase
    direction: Direction
    leaving: Direction
    since_ms: int
    deadline_ms: int | None = None
    who: str = ""
    why: str = ""
    held: Held | None = None
    overridden: tuple[str, ...] = ()
    slices: int | None = None
    fingerprint: str | None = None


def encode(record: ControlRecord) -> bytes:
    """The value of the record's message; fields that are empty are left out."""
    fields: dict[str, Any] = {
        "v": VERSION,
        "route": record.route,
        "epoch": record.epoch,
        "phase": record.phase,
        "direction": record.direction,
        "leaving": record.leaving,
        "since": record.since_ms,
        "deadline": record.deadline_ms,
        "who": record.who or None,
        "why": record.why or None,
        "held": record.held,
        "overridden": record.overridden or None,
        "n": record.slices,
        "fingerprint": record.fingerprint,
    }
    try:
        return orjson.dumps({name: value for name, value in fields.items() if value is not None})
    except orjson.JSONEncodeError as error:  # a text that is no Unicode, or a number beyond 64 bits
        raise ControlRecordError(f"the control record of {record.route!r} cannot be written: {error}") from error


def decode(value: bytes) -> ControlRecord:
    """The record of a message's value. Raises ControlRecordError, with the field that is wrong and what to do."""
    try:
        fields = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise ControlRecordError(f"a control record is not JSON ({error}): another program wrote to the control topic") from error
    version = fields.get("v") if isinstance(fields, dict) else None
    if not _is_number(version) or version < 1:
        raise ControlRecordError("a control record has no version: another program wrote to the control topic")
    if version > VERSION:
        raise ControlRecordError(
            f"a control record has version {version}, this bridge reads up to {VERSION}: a newer bridge wrote it; "
            "run that version on every replica"
        )
    return _read(_Fields(fields))


def _read(fields: "_Fields") -> ControlRecord:
    return ControlRecord(
        route=fields.text("route"),
        epoch=fields.number("epoch", 1),
        phase=fields.choice("phase", Phase),
        direction=fields.choice("direction", Direction),
        leaving=fields.choice("leaving", Direction),
        since_ms=fields.number("since", 0),
        deadline_ms=fields.number("deadline", 0) if "deadline" in fields else None,
        who=fields.text("who") if "who" in fields else "",
        why=fields.text("why") if "why" in fields else "",
        held=fields.choice("held", Held) if "held" in fields else None,
        overridden=fields.texts("overridden") if "overridden" in fields else (),
        slices=fields.number("n", 1) if "n" in fields else None,
        fingerprint=fields.text("fingerprint") if "fingerprint" in fields else None,
    )


class _Fields:
    """Fields of a JSON object, each read as what it must be."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def text(self, name: str) -> str:
        value = self._fields.get(name)
        return value if isinstance(value, str) else self._wrong(name, "a text")

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._fields.get(name)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            self._wrong(name, "a list of texts")
        return tuple(value)

    def number(self, name: str, least: int) -> int:
        value = self._fields.get(name)
        return value if _is_number(value) and value >= least else self._wrong(name, f"a whole number from {least}")

    def choice(self, name: str, choices: type[Choice]) -> Choice:
        value = self._fields.get(name)
        found = next((choice for choice in choices if choice.value == value), None)
        return found if found is not None else self._wrong(name, f"one of {', '.join(choices)}")

    def _wrong(self, name: str, expected: str) -> NoReturn:
        raise ControlRecordError(f"a control record's `{name}` is {self._fields.get(name)!r}, and should be {expected}")


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
