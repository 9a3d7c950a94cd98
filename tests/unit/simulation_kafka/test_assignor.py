"""Assignments are even, keep what they can, and give everything to somebody who wants it."""

from hypothesis import given
from hypothesis import strategies as st

from tests.simulation.kafka.assignor import assign

PLACES = [(topic, number) for topic in ("a", "b") for number in range(6)]
MEMBERS = ["m1", "m2", "m3", "m4"]
OWNERS = st.dictionaries(st.sampled_from(PLACES), st.sampled_from([*MEMBERS, "gone"]))


@given(members=st.lists(st.sampled_from(MEMBERS), min_size=1, unique=True), owners=OWNERS)
def test_members_that_want_the_same(members, owners):
    owned = {member: {place for place, owner in owners.items() if owner == member} for member in members}
    target = assign(dict.fromkeys(members, PLACES), owned, {})
    assert sorted(place for places in target.values() for place in places) == sorted(PLACES)
    assert max(map(len, target.values())) - min(map(len, target.values())) <= 1
    least = len(PLACES) // len(members)
    for member in members:
        assert len(target[member] & owned[member]) >= min(len(owned[member]), least)
    assert assign(dict.fromkeys(members, PLACES), target, {}) == target


@given(wanted=st.dictionaries(st.sampled_from(MEMBERS), st.lists(st.sampled_from(PLACES), unique=True)), owners=OWNERS)
def test_nobody_gets_what_he_does_not_want(wanted, owners):
    owned = {member: [place for place, owner in owners.items() if owner == member] for member in wanted}
    target = assign(wanted, owned, {})
    given_away = [place for places in target.values() for place in places]
    assert sorted(given_away) == sorted({place for places in wanted.values() for place in places})
    assert all(places <= set(wanted[member]) for member, places in target.items())


@given(pinned=st.dictionaries(st.sampled_from(PLACES), st.sampled_from([*MEMBERS, "gone"])), owners=OWNERS)
def test_what_is_pinned_is_where_it_is_pinned(pinned, owners):
    owned = {member: {place for place, owner in owners.items() if owner == member} for member in MEMBERS}
    target = assign(dict.fromkeys(MEMBERS, PLACES), owned, pinned)
    assert all(place in target[member] for place, member in pinned.items() if member in MEMBERS)
    assert sorted(place for places in target.values() for place in places) == sorted(PLACES)
