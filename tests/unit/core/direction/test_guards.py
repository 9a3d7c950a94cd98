"""Each guard refuses for its reason, says what to do, and refuses too where it cannot be told."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.direction.control_record import ControlRecord, Held
from bridge.core.direction.direction import Direction, Phase
from bridge.core.direction.gathered import Gathered
from bridge.core.direction.guards import GUARDS, allowed, refusals

CONTROL = ControlRecord("orders", 4, Phase.ACTIVE, Direction.FORWARD, Direction.BOTH, 0)
GOOD = Gathered(
    to=Direction.REVERSE,
    held=Held.CARRY,
    control=CONTROL,
    forward_lag_s=1,
    iterator_age_s=1,
    parity_mismatches=0,
    parity_age_s=60,
    parity_behind_s=5,
    unclean_partitions=(),
    replica_versions=("1.0", "1.0"),
    held_records=3,
    topic_retention_s=float("inf"),
    stream_retention_s=86400,
    target_load=0.5,
    permissions_missing=(),
    reverse_topic="orders",
    internal_topics_in_trouble=(),
    keys_ignored=False,
    irreversible_keys=0,
    lag_max_s=30,
    verified_within_s=86400,
    retention_needed_s=3600,
    replicas_expected=2,
)
BACK = replace(GOOD, to=Direction.FORWARD, control=replace(CONTROL, direction=Direction.REVERSE))


def names(gathered: Gathered) -> list[str]:
    return [refused.guard for refused in refusals(gathered)]


@pytest.mark.parametrize("to", Direction)
@pytest.mark.parametrize("now", Direction)
def test_where_all_is_well_nothing_refuses(to, now):
    assert refusals(replace(GOOD, to=to, control=replace(CONTROL, direction=now))) == []


@pytest.mark.parametrize(
    ("guard", "bad", "reason"),
    [
        ("no_other_switchover", {"control": replace(CONTROL, phase=Phase.DRAINING, who="kim")}, "the change to forward by kim"),
        ("internal_topics_healthy", {"internal_topics_in_trouble": ("x.ledger", "x.control")}, "x.control, x.ledger"),
        ("permissions", {"permissions_missing": ("kinesis:GetRecords",)}, "missing: kinesis:GetRecords"),
        ("reverse_way_named", {"reverse_topic": ""}, "names no topic"),
        ("partition_keys_count", {"keys_ignored": True}, "without regard"),
        ("keys_reversible", {"irreversible_keys": 7}, "7 records"),
        ("replicas_as_expected", {"replica_versions": ("1.0",)}, "1 replicas, 2 expected"),
        ("replicas_as_expected", {"replica_versions": ("1.0", "1.1")}, "1.0, 1.1"),
        ("replicas_as_expected", {"replica_versions": (), "replicas_expected": None}, "no replica"),
        ("no_unclean_partition", {"unclean_partitions": ("orders-3",)}, "orders-3"),
        ("forward_lag", {"forward_lag_s": 31.0}, "31 s, at most 30 s"),
        ("iterator_age", {"iterator_age_s": 31.0}, "31 s, at most 30 s"),
        ("parity_clean", {"parity_mismatches": 2}, "2 mismatches"),
        ("parity_fresh", {"parity_age_s": 90000.0}, "at most 86400 s"),
        ("parity_up_to_now", {"parity_behind_s": 40.0}, "40 s"),
        ("held_decided", {"held": None}, "3 records are held"),
        ("retention", {"stream_retention_s": 60.0}, "the stream keeps records 60 s"),
        ("retention", {"topic_retention_s": 60.0, "stream_retention_s": 50.0}, "the topic keeps records 60 s and the stream"),
        ("target_room", {"target_load": 0.9}, "90% of the target, at most 80%"),
    ],
)
def test_each_guard_refuses_alone_and_says_why(guard, bad, reason):
    (refused,) = refusals(replace(GOOD, **bad))
    assert (refused.guard, refused.remedy, refused.measured) == (guard, GUARDS[guard].remedy, True)
    assert reason in refused.reason


@pytest.mark.parametrize("name", sorted({need for guard in GUARDS.values() for need in guard.needs}))
def test_what_is_not_known_refuses(name):
    found = refusals(replace(GOOD, **{name: None}))  # type: ignore[arg-type]
    assert [refused.guard for refused in found] == [guard for guard, about in GUARDS.items() if name in about.needs]
    assert all(refused.reason == f"not yet measurable: {name}" and not refused.measured for refused in found)


def test_where_nothing_is_known_every_guard_refuses():
    assert names(Gathered(to=Direction.REVERSE)) == list(GUARDS)


def test_guards_need_fields_that_exist_and_every_fact_is_needed():
    every = {field.name for field in fields(Gathered)}
    needed = {need for guard in GUARDS.values() for need in guard.needs}
    assert every - needed == {"to", "held", "replicas_expected"}
    assert needed <= every


def test_a_pause_asks_for_little():
    worst = replace(Gathered(to=Direction.PAUSED), control=CONTROL, internal_topics_in_trouble=(), replica_versions=("1.0",))
    assert names(worst) == []


def test_the_way_back_asks_how_far_the_stream_is_read():
    assert names(replace(BACK, iterator_age_s=31.0)) == ["iterator_age"]
    assert names(replace(BACK, forward_lag_s=10**6, parity_mismatches=9, irreversible_keys=9, reverse_topic="")) == []


def test_an_override_lets_a_guard_pass_that_may_be_overridden():
    bad = replace(GOOD, parity_mismatches=2, keys_ignored=True)
    clean, keys = sorted(refusals(bad, {"parity_clean", "partition_keys_count"}), key=lambda refused: refused.guard)
    assert clean.overridden
    assert not keys.overridden
    assert not allowed([clean, keys])
    assert allowed([clean])
    assert allowed([])


def test_an_override_must_name_a_guard():
    with pytest.raises(KeyError):
        refusals(GOOD, {"parity"})


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
def test_guards_speak_in_sentences(guard):
    for text in (guard.about, guard.remedy):
        assert text[0].isupper()
        assert text.endswith(".")


NUMBERS = st.none() | st.floats(0, 1e6)
NAMES = st.none() | st.lists(st.sampled_from(["a", "b"]), max_size=2).map(tuple)


@given(
    st.builds(
        Gathered,
        to=st.sampled_from(Direction),
        held=st.none() | st.sampled_from(Held),
        control=st.none()
        | st.builds(replace, st.just(CONTROL), phase=st.sampled_from(Phase), direction=st.sampled_from(Direction)),
        **{field.name: NUMBERS for field in fields(Gathered) if field.name.endswith("_s") or field.name == "target_load"},
        parity_mismatches=st.none() | st.integers(0, 3),
        unclean_partitions=NAMES,
        replica_versions=NAMES,
        held_records=st.none() | st.integers(0, 3),
        permissions_missing=NAMES,
        reverse_topic=st.none() | st.sampled_from(["", "orders"]),
        internal_topics_in_trouble=NAMES,
        keys_ignored=st.none() | st.booleans(),
        irreversible_keys=st.none() | st.integers(0, 3),
        replicas_expected=st.none() | st.integers(1, 3),
    )
)
def test_whatever_is_known_it_can_be_told(gathered):
    for refused in refusals(gathered):
        assert refused.reason
        assert refused.guard in GUARDS
