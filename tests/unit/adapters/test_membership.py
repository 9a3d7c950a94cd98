"""Members of a group: heartbeats that fit into their session."""

import pytest

from bridge.adapters.kafka.membership import Membership


@pytest.mark.parametrize(("session_s", "heartbeat_ms"), [(1.0, 333), (2.0, 666), (6.0, 2000), (9.0, 3000), (30.0, 3000)])
def test_a_session_holds_three_heartbeats_however_short_it_is(session_s: float, heartbeat_ms: int):
    member = Membership("g", "classic", session_s)
    assert member.tuning()["heartbeat.interval.ms"] == heartbeat_ms
    assert member.properties()["session.timeout.ms"] == session_s * 1000
    assert 3 * heartbeat_ms <= session_s * 1000


def test_under_the_consumer_protocol_the_broker_says_how_often():
    member = Membership("g", "consumer", 1.0)
    assert not {"heartbeat.interval.ms", "session.timeout.ms"} & {**member.tuning(), **member.properties()}.keys()


def test_what_the_bridge_owns_is_not_tuning():
    member = Membership("g", "classic", 6.0, "instance")
    assert not member.tuning().keys() & member.properties().keys()
