"""What an owner may do and show, and when a change is through."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.direction.control_record import ControlRecord, Held
from bridge.core.direction.decisions import (
    PartitionOwner,
    PartitionSays,
    RouteSays,
    SlotOwner,
    SlotSays,
    Verdict,
    Whose,
    carried,
    due,
    may_attempt,
    may_carry_back,
    partition_shows,
    skips_held,
    slot_shows,
    verdict,
)
from bridge.core.direction.direction import PATHS, Direction, Event, Path, Phase

FORWARD, BOTH, REVERSE, PAUSED = Direction
ACTIVE, DRAINING, STARTING, ABORTING = Phase


def record(phase: Phase, direction: Direction, leaving: Direction = FORWARD, epoch: int = 2, **more) -> ControlRecord:
    return ControlRecord("orders", epoch, phase, direction, leaving, 0, **more)


def owner(epoch: int = 2, begun: bool = True, **more) -> PartitionOwner:
    return PartitionOwner(True, True, 100, PartitionSays(epoch, begun, False))._replace(**more)


RECORDS = st.builds(record, st.sampled_from(Phase), st.sampled_from(Direction), st.sampled_from(Direction), st.integers(1, 3))
PARTITION_SAYS = st.builds(PartitionSays, st.integers(1, 3), st.booleans(), st.booleans())
SLOT_SAYS = st.builds(SlotSays, st.integers(1, 3), st.booleans())
OWNERS = st.builds(PartitionOwner, st.booleans(), st.booleans(), st.none() | st.integers(0, 9), st.none() | PARTITION_SAYS)
SLOT_OWNERS = st.builds(SlotOwner, st.booleans(), st.none() | SLOT_SAYS)


# -- carry or hold


def test_without_a_record_all_is_held():
    assert carried(None) == frozenset()


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("leaving", Direction)
def test_while_a_change_drains_only_what_carries_on_is_carried(direction, leaving):
    assert carried(record(DRAINING, direction, leaving)) == PATHS[direction] & PATHS[leaving]
    for phase in (STARTING, ACTIVE, ABORTING):
        assert carried(record(phase, direction, leaving)) == PATHS[direction]


@pytest.mark.parametrize(
    ("whose", "carries", "becomes"),
    [
        (Whose.TO_CARRY, True, Verdict.CARRY),
        (Whose.TO_CARRY, False, Verdict.HOLD),
        (Whose.BRIDGED, True, Verdict.PASS),
        (Whose.BRIDGED, False, Verdict.PASS),
        (Whose.UNCLEAR, True, Verdict.WAIT),
        (Whose.UNCLEAR, False, Verdict.WAIT),
    ],
)
def test_verdicts(whose, carries, becomes):
    assert verdict(whose, carries) is becomes


# -- may attempt


def test_an_owner_with_everything_may_attempt():
    assert may_attempt(record(ACTIVE, FORWARD), owner(), 100)
    assert may_attempt(record(DRAINING, BOTH), owner(begun=False), 0)


@pytest.mark.parametrize(
    "lacking",
    [
        {"control_read": False},
        {"recovered": False},
        {"attempts_until_ms": None},
        {"attempts_until_ms": 99},
        {"says": None},
        {"says": PartitionSays(1, True, False)},
        {"says": PartitionSays(3, True, False)},
        {"says": PartitionSays(2, False, False)},
    ],
)
def test_an_owner_that_lacks_something_may_not(lacking):
    assert not may_attempt(record(ACTIVE, FORWARD), owner(**lacking), 100)


def test_nobody_attempts_what_the_direction_does_not_carry():
    assert not may_attempt(None, owner(), 0)
    assert not may_attempt(record(DRAINING, REVERSE), owner(begun=False), 0)
    assert not may_attempt(record(STARTING, REVERSE), owner(), 0)
    assert may_attempt(record(ABORTING, FORWARD, REVERSE), owner(), 0)


def test_a_slot_carries_back_once_it_shows_the_record():
    starting = record(STARTING, REVERSE)
    assert may_carry_back(starting, SlotOwner(True, SlotSays(2, True)))
    assert not may_carry_back(starting, SlotOwner(True, SlotSays(2, False)))
    assert not may_carry_back(starting, SlotOwner(True, SlotSays(1, True)))
    assert not may_carry_back(starting, SlotOwner(False, SlotSays(2, True)))
    assert not may_carry_back(starting, SlotOwner(True, None))
    assert not may_carry_back(record(DRAINING, REVERSE), SlotOwner(True, SlotSays(2, False)))
    assert not may_carry_back(None, SlotOwner(True, SlotSays(2, True)))


@given(control=RECORDS, of_partition=OWNERS, of_slot=SLOT_OWNERS, now=st.integers(0, 9))
def test_what_may_be_done_is_shown_and_carried(control, of_partition, of_slot, now):
    if may_attempt(control, of_partition, now):
        assert Path.FORWARD in carried(control)
        assert of_partition.says.epoch == control.epoch
    if may_carry_back(control, of_slot):
        assert Path.REVERSE in carried(control)
        assert of_slot.says.epoch == control.epoch


# -- what is shown


def test_a_partition_is_clean_when_all_is_settled_and_nothing_goes():
    draining = record(DRAINING, REVERSE)
    assert partition_shows(draining, owner(1), 0, False) == PartitionSays(2, False, True)
    assert partition_shows(draining, owner(1), 1, True) == PartitionSays(2, False, False)
    assert partition_shows(draining, owner(1, recovered=False), 0, True) == PartitionSays(2, False, False)
    carries_on = record(DRAINING, BOTH)
    assert partition_shows(carries_on, owner(1), 0, False) == PartitionSays(2, False, False)
    assert partition_shows(carries_on, owner(1), 0, True) == PartitionSays(2, False, True)


def test_who_has_not_read_the_control_topic_shows_nothing_new():
    assert partition_shows(record(ACTIVE, FORWARD), owner(1, control_read=False), 0, True) is None
    assert partition_shows(record(ACTIVE, FORWARD), owner(3), 0, True) is None
    assert partition_shows(record(DRAINING, FORWARD), owner(2), 0, True) is None
    assert partition_shows(None, owner(), 0, True) is None
    assert slot_shows(record(ACTIVE, FORWARD), SlotOwner(False, None), 0) is None
    assert slot_shows(record(ACTIVE, FORWARD), SlotOwner(True, SlotSays(3, False)), 0) is None


def test_a_slot_shows_nothing_in_the_middle_of_a_transaction():
    draining = record(DRAINING, FORWARD, REVERSE)
    assert slot_shows(draining, SlotOwner(True, SlotSays(1, True)), 1) is None
    assert slot_shows(draining, SlotOwner(True, SlotSays(1, True)), 0) == SlotSays(2, False)
    assert slot_shows(draining, SlotOwner(True, None), 0) == SlotSays(2, False)


@given(control=RECORDS, of_partition=OWNERS, unresolved=st.integers(0, 2), idle=st.booleans())
def test_nothing_that_is_shown_falls_back(control, of_partition, unresolved, idle):
    shown = partition_shows(control, of_partition, unresolved, idle)
    if shown is not None and of_partition.says is not None:
        assert shown.epoch >= of_partition.says.epoch
    if shown is not None and shown.clean:
        assert unresolved == 0
        assert of_partition.recovered


# -- held records


def test_held_records_are_skipped_once_after_the_point_of_no_return():
    starting = record(STARTING, REVERSE, held=Held.SKIP)
    assert skips_held(starting, Path.REVERSE, SlotSays(2, False))
    assert skips_held(replace(starting, phase=ACTIVE), Path.REVERSE, SlotSays(2, False))
    assert not skips_held(starting, Path.REVERSE, SlotSays(2, True))
    assert not skips_held(starting, Path.REVERSE, SlotSays(1, False))
    assert not skips_held(starting, Path.REVERSE, None)
    assert not skips_held(starting, Path.FORWARD, PartitionSays(2, False, True))
    assert not skips_held(replace(starting, phase=DRAINING), Path.REVERSE, SlotSays(2, False))
    assert not skips_held(replace(starting, held=Held.CARRY), Path.REVERSE, SlotSays(2, False))
    assert not skips_held(replace(starting, held=None), Path.REVERSE, SlotSays(2, False))


def test_records_of_a_path_that_carries_on_are_never_skipped():
    assert not skips_held(record(STARTING, BOTH, held=Held.SKIP), Path.FORWARD, PartitionSays(2, False, True))


# -- how far a change is


CLEAN, OPEN = PartitionSays(2, False, True), PartitionSays(2, False, False)
MARKED = SlotSays(2, False)


@pytest.mark.parametrize(
    ("partitions", "slots", "event"),
    [
        ((CLEAN, CLEAN), (MARKED,), Event.DRAINED),
        ((CLEAN, OPEN), (MARKED,), None),
        ((CLEAN, None), (MARKED,), None),
        ((CLEAN, PartitionSays(1, True, True)), (MARKED,), None),
        ((CLEAN, CLEAN), (MARKED, SlotSays(1, True)), None),
        ((CLEAN, CLEAN), (MARKED, None), None),
    ],
)
def test_a_change_is_drained_when_everything_shows_it(partitions, slots, event):
    draining = record(DRAINING, REVERSE, deadline_ms=100)
    assert due(draining, RouteSays(partitions, slots), 100) is event
    assert due(draining, RouteSays(partitions, slots), 101) is Event.DEADLINE


def test_a_partition_that_carries_on_need_not_be_clean():
    assert due(record(DRAINING, BOTH), RouteSays((OPEN,), (MARKED,)), 0) is Event.DRAINED
    assert due(record(DRAINING, PAUSED, REVERSE), RouteSays((OPEN,), (MARKED,)), 0) is None


def test_a_change_is_over_when_everything_has_taken_it_up():
    starting, taken_up = record(STARTING, REVERSE), PartitionSays(2, True, True)
    assert due(starting, RouteSays((taken_up,), (SlotSays(2, True),)), 0) is Event.STARTED
    assert due(starting, RouteSays((taken_up,), (SlotSays(2, True),)), 0) is Event.STARTED
    assert due(starting, RouteSays((taken_up,), (MARKED,)), 0) is None
    assert due(starting, RouteSays((CLEAN,), (SlotSays(2, True),)), 0) is None
    aborting = record(ABORTING, FORWARD, REVERSE, 3)
    assert due(aborting, RouteSays((PartitionSays(3, True, False),), (SlotSays(3, True),)), 0) is Event.RESUMED
    assert due(aborting, RouteSays((OPEN,), (SlotSays(3, True),)), 0) is None
    assert due(record(ACTIVE, FORWARD), RouteSays((), ()), 10**15) is None
