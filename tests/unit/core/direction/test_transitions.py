"""A route changes only along the table, by those who looked at its latest record."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.direction.control_record import ControlRecord, Held
from bridge.core.direction.direction import PATHS, REFUSALS, TRANSITIONS, Direction, Event, Move, Path, Phase
from bridge.core.direction.transitions import (
    Basis,
    ChangeRefusedError,
    Request,
    aborted,
    advanced,
    basis_of,
    first_record,
    requested,
)

FIRST = first_record("orders", Direction.FORWARD, "daemon-1", 1000, 12, "abc")
ASKED = Request(Direction.REVERSE, Held.CARRY, "kim", "the night has come", 60_000, ("parity_fresh",))
DRAINING = requested(FIRST, basis_of(FIRST), ASKED, 2000)


def after(record: ControlRecord, event: Event, now_ms: int = 3000) -> ControlRecord:
    return advanced(record, basis_of(record), event, now_ms)


def test_every_pair_is_in_the_table():
    assert set(TRANSITIONS) == set(itertools.product(Phase, Event))
    assert {entry for entry in TRANSITIONS.values() if isinstance(entry, str)} | {"outdated", "same_direction"} == set(REFUSALS)


def test_directions_are_all_sets_of_paths():
    assert len(set(PATHS.values())) == len(PATHS) == len(Direction) == 2 ** len(Path)


def test_from_every_phase_the_route_gets_back_to_active():
    for phase in Phase:
        reached = {phase}
        for _ in Phase:
            reached |= {move.phase for (p, _), move in TRANSITIONS.items() if p in reached and isinstance(move, Move)}
        assert Phase.ACTIVE in reached


def test_a_change_that_succeeds():
    change = DRAINING
    assert change == ControlRecord(
        "orders",
        2,
        Phase.DRAINING,
        Direction.REVERSE,
        Direction.FORWARD,
        2000,
        62_000,
        "kim",
        "the night has come",
        Held.CARRY,
        ("parity_fresh",),
        12,
        "abc",
    )
    starting = after(DRAINING, Event.DRAINED)
    assert (starting.phase, starting.epoch, starting.direction, starting.deadline_ms) == (
        Phase.STARTING,
        2,
        Direction.REVERSE,
        None,
    )
    active = after(starting, Event.STARTED)
    assert (active.phase, active.epoch, active.direction, active.leaving) == (
        Phase.ACTIVE,
        2,
        Direction.REVERSE,
        Direction.FORWARD,
    )
    assert (active.who, active.held, active.overridden) == ("kim", Held.CARRY, ("parity_fresh",))
    assert (active.slices, active.fingerprint) == (12, "abc")


@pytest.mark.parametrize("by_operator", [True, False])
def test_a_change_that_is_given_up(by_operator):
    if by_operator:
        aborting = aborted(DRAINING, basis_of(DRAINING), "lee", "not tonight", 5000)
        assert (aborting.who, aborting.why) == ("lee", "not tonight")
    else:
        aborting = after(DRAINING, Event.DEADLINE)
        assert (aborting.who, aborting.why) == ("kim", "the night has come")
    assert (aborting.phase, aborting.epoch, aborting.held) == (Phase.ABORTING, 3, None)
    assert (aborting.direction, aborting.leaving) == (Direction.FORWARD, Direction.REVERSE)
    active = after(aborting, Event.RESUMED)
    assert (active.phase, active.epoch, active.direction) == (Phase.ACTIVE, 3, Direction.FORWARD)
    assert requested(active, basis_of(active), ASKED, 9000).epoch == 4


def test_the_same_direction_is_no_change():
    with pytest.raises(ChangeRefusedError) as refused:
        requested(FIRST, basis_of(FIRST), Request(Direction.FORWARD, None, "kim", "", 1), 2000)
    assert refused.value.reason == "same_direction"
    assert str(refused.value).startswith("orders: the route has this direction")


def test_of_two_who_looked_at_the_same_record_one_changes_it():
    with pytest.raises(ChangeRefusedError) as refused:
        requested(DRAINING, basis_of(FIRST), Request(Direction.PAUSED, None, "lee", "", 1), 2000)
    assert refused.value.reason == "under_way"
    active = after(after(DRAINING, Event.DRAINED), Event.STARTED)
    with pytest.raises(ChangeRefusedError) as refused:
        requested(active, basis_of(FIRST), Request(Direction.PAUSED, None, "lee", "", 1), 2000)
    assert refused.value.reason == "outdated"


@given(
    record=st.builds(
        ControlRecord,
        st.just("orders"),
        st.integers(1, 9),
        st.sampled_from(Phase),
        st.sampled_from(Direction),
        st.sampled_from(Direction),
        st.just(0),
    ),
    event=st.sampled_from([event for event in Event if event is not Event.REQUEST]),
    basis=st.none() | st.builds(Basis, st.integers(1, 9), st.sampled_from(Phase)),
)
def test_an_event_moves_as_the_table_says_or_not_at_all(record, event, basis):
    entry = TRANSITIONS[record.phase, event]
    fresh = basis is None or basis == basis_of(record)
    basis = basis or basis_of(record)
    if not isinstance(entry, Move) or not fresh:
        with pytest.raises(ChangeRefusedError) as refused:
            advanced(record, basis, event, 5)
        assert refused.value.reason == (entry if isinstance(entry, str) else "outdated")
        return
    moved = advanced(record, basis, event, 5)
    assert moved.phase is entry.phase
    assert moved.epoch - record.epoch == entry.new_epoch
    assert moved.direction == (record.leaving if entry.direction == "back" else record.direction)
    assert moved.since_ms == 5
