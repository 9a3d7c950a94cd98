"""A control record comes back as it was; what this version cannot read whole is refused with a reason."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.direction.control_record import VERSION, ControlRecord, ControlRecordError, Held, decode, encode
from bridge.core.direction.direction import Direction, Phase

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers(0, 2**53)
RECORDS = st.builds(
    ControlRecord,
    route=WORDS,
    epoch=st.integers(1, 2**53),
    phase=st.sampled_from(Phase),
    direction=st.sampled_from(Direction),
    leaving=st.sampled_from(Direction),
    since_ms=NUMBERS,
    deadline_ms=st.none() | NUMBERS,
    who=WORDS,
    why=WORDS,
    held=st.none() | st.sampled_from(Held),
    overridden=st.lists(WORDS, max_size=3).map(tuple),
    slices=st.none() | st.integers(1, 1000),
    fingerprint=st.none() | WORDS,
)
PLAIN = {"v": 1, "route": "orders", "epoch": 3, "phase": "draining", "direction": "reverse", "leaving": "forward", "since": 7}


@given(record=RECORDS)
def test_it_comes_back(record):
    assert decode(encode(record)) == record


def test_what_stands_in_the_topic():
    record = ControlRecord("orders", 3, Phase.DRAINING, Direction.REVERSE, Direction.FORWARD, 7)
    assert orjson.loads(encode(record)) == PLAIN
    assert decode(orjson.dumps(PLAIN)) == record


def test_a_field_of_a_later_minor_version_is_passed_over():
    assert decode(orjson.dumps({**PLAIN, "colour": "red"})) == decode(orjson.dumps(PLAIN))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"v": VERSION + 1}, "newer bridge"),
        ({"v": 0}, "no version"),
        ({"v": True}, "no version"),
        ({"v": None}, "no version"),
        ({"v": "1"}, "no version"),
        ({"route": 4}, "`route` is 4"),
        ({"route": None}, "`route`"),
        ({"epoch": 0}, "`epoch` is 0"),
        ({"epoch": True}, "`epoch` is True"),
        ({"epoch": 1.5}, "`epoch` is 1.5"),
        ({"phase": "paused"}, "active, draining, starting, aborting"),
        ({"direction": "back"}, "forward, both, reverse, paused"),
        ({"leaving": None}, "`leaving` is None"),
        ({"since": -1}, "`since` is -1"),
        ({"deadline": "soon"}, "`deadline`"),
        ({"held": "drop"}, "carry, skip"),
        ({"held": None}, "`held`"),
        ({"overridden": "parity_clean"}, "`overridden`"),
        ({"overridden": [1]}, "`overridden`"),
        ({"n": 0}, "`n` is 0"),
        ({"fingerprint": 5}, "`fingerprint`"),
        ({"who": 5}, "`who`"),
        ({"why": []}, "`why`"),
    ],
)
def test_a_bad_field_is_named(fields, words):
    with pytest.raises(ControlRecordError, match=words):
        decode(orjson.dumps({**PLAIN, **fields}))


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b"[]", b"7", b"null", b'"text"', b"{}"])
def test_what_another_program_wrote_is_refused(value):
    with pytest.raises(ControlRecordError, match="another program"):
        decode(value)


@given(value=st.binary(max_size=60))
def test_no_bytes_break_it(value):
    with pytest.raises(ControlRecordError):
        decode(value)


@pytest.mark.parametrize("name", ["route", "epoch", "phase", "direction", "leaving", "since"])
def test_no_field_may_be_missing(name):
    with pytest.raises(ControlRecordError, match=f"`{name}`"):
        decode(orjson.dumps({key: value for key, value in PLAIN.items() if key != name}))


def test_a_text_that_cannot_be_written_is_refused():
    with pytest.raises(ControlRecordError, match="cannot be written"):
        encode(ControlRecord("orders", 1, Phase.ACTIVE, Direction.FORWARD, Direction.FORWARD, 0, who="\ud800"))
