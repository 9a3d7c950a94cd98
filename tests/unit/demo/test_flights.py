"""The flights as the demonstration reads them."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from rich.console import Console

from bridge.demo import flights, runner
from bridge.demo.errors import DemoError
from bridge.demo.flights import FLIGHTS, Flight, read_flights
from bridge.demo.runner import run_demo


def archive(folder: Path, text: str) -> Path:
    path = folder / "flights.csv.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("flights.csv", text)
    return path


def test_a_row_becomes_json_with_numbers_and_nulls(tmp_path: Path):
    path = archive(tmp_path, "year,dep_delay,tailnum,origin\n2013,-3,N14228,EWR\n2013,NA,,LGA\n2013,0,NA,JFK\n")
    first, second, third = read_flights(archive=path)
    assert first == Flight("N14228", b'{"year":2013,"dep_delay":-3,"tailnum":"N14228","origin":"EWR"}')
    assert second.key is None
    assert json.loads(second.value) == {"year": 2013, "dep_delay": None, "tailnum": None, "origin": "LGA"}
    assert third.key is None


def test_only_as_many_as_wanted(tmp_path: Path):
    path = archive(tmp_path, "tailnum\na\nb\nc\n")
    assert [flight.key for flight in read_flights(2, path)] == ["a", "b"]


def test_the_installed_flights_are_complete():
    keys = [flight.key for flight in read_flights()]
    assert len(keys) == FLIGHTS
    assert keys[0] == "N14228"
    assert keys.count(None) == 2512


@pytest.mark.parametrize("archive_is_there", [False, True])
def test_missing_flights_name_the_remedy(archive_is_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if archive_is_there:
        missing = tmp_path / "flights.csv.zip"
    else:
        missing = None
        monkeypatch.setattr(flights, "find_spec", lambda name: None)
    with pytest.raises(DemoError, match="make setup"):
        next(read_flights(1, missing))


def test_without_flights_nothing_is_started(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(flights, "find_spec", lambda name: None)
    monkeypatch.setattr(runner, "_set_up", lambda *_: pytest.fail("something was started"))
    with pytest.raises(DemoError, match="container image"):
        run_demo(1, Console(file=io.StringIO()))
