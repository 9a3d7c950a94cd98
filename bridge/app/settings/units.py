"""Durations and sizes: written with their unit, held as float seconds and int bytes."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, PlainSerializer, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_MILLISECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_BYTES = {"GiB": 1024**3, "MiB": 1024**2, "KiB": 1024, "B": 1}

DURATION_PATTERN = r"^[0-9]{1,12}(ms|s|m|h|d)$"
SIZE_PATTERN = r"^[0-9]{1,12}(B|KiB|MiB|GiB)$"

_NUMBER = re.compile(r"[0-9]+")
_DURATION = re.compile(r"([0-9]{1,12})(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,12})(B|KiB|MiB|GiB)")


def refuse(remedy: str) -> PydanticCustomError:
    """An error whose text is the remedy that the user reads; braces in it are not placeholders."""
    return PydanticCustomError("remedy", "{remedy}", {"remedy": remedy})


def parse_duration(value: object) -> float:
    """`20ms` -> 0.02. A bare number is refused: seconds and milliseconds are too easily taken for each other."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return int(match[1]) * _MILLISECONDS[match[2]] / 1000
    number = _bare_number(value)
    if number is not None:
        raise refuse(f"write the unit: {number}ms, {number}s, {number}m, {number}h or {number}d")
    raise refuse("write a duration as a whole number and a unit (ms, s, m, h, d), such as 20ms, 30s, 5m, 24h or 7d")


def parse_size(value: object) -> int:
    """`5MiB` -> 5242880. A bare number is refused, and so are MB and kB, which people read in two ways."""
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(match[1]) * _BYTES[match[2]]
    number = _bare_number(value)
    if number is not None:
        raise refuse(f"write the unit: {number}B, {number}KiB, {number}MiB or {number}GiB")
    raise refuse("write a size as a whole number and a unit of powers of 1024 (B, KiB, MiB, GiB), such as 512B, 64KiB or 5MiB")


def _bare_number(value: object) -> str | None:
    if isinstance(value, bool):
        return None
    text = str(value).strip() if isinstance(value, int | float | str) else ""
    return text if _NUMBER.fullmatch(text) else None


def format_duration(seconds: float) -> str:
    """The shortest exact text: 0.02 -> `20ms`, 60.0 -> `1m`."""
    return _format(round(seconds * 1000), _MILLISECONDS, "s")


def format_size(size: int) -> str:
    """The shortest exact text: 5242880 -> `5MiB`."""
    return _format(size, _BYTES, "B")


def _format(amount: int, units: dict[str, int], zero_unit: str) -> str:
    if amount == 0:
        return f"0{zero_unit}"
    unit = next(unit for unit, factor in units.items() if amount % factor == 0)
    return f"{amount // units[unit]}{unit}"


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN}),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN}),
]


@dataclass(frozen=True)
class Within:
    """Bounds of a duration or a size, written as the user writes them; the JSON Schema carries them as text too."""

    low: str
    high: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "x-minimum": self.low, "x-maximum": self.high}

    def _check(self, value: float) -> float:
        parse = parse_size if _SIZE.fullmatch(self.low) else parse_duration
        if not parse(self.low) <= value <= parse(self.high):
            raise refuse(f"write a value from {self.low} to {self.high}")
        return value
