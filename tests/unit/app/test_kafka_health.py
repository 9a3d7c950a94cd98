"""What is said of Kafka's troubles, and when."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from bridge.app.kafka_health import ANSWERED_S, REFUSED_S, KafkaHealth
from bridge.app.telemetry import Telemetry
from bridge.ports import SourceTrouble


class Moment:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Moment:
    return Moment()


@pytest.fixture
def health(now: Moment) -> KafkaHealth:
    return KafkaHealth(Telemetry(), now)


def events(logs: list[Any]) -> list[tuple[str, str | None]]:
    return [(log["event"], log.get("code")) for log in logs]


def test_each_kind_of_trouble_is_told_once_until_kafka_answers(health: KafkaHealth, now: Moment) -> None:
    with capture_logs() as logs:
        for _ in range(3):
            health.trouble(SourceTrouble("_TRANSPORT", "b1: connection refused"))
            health.trouble(SourceTrouble("_ALL_BROKERS_DOWN", "1/1 brokers are down"))
        assert health.problem == "_ALL_BROKERS_DOWN: 1/1 brokers are down"
        health.answers()
        health.answers()
        assert not health.problem
        now.seconds += ANSWERED_S
        health.trouble(SourceTrouble("_TRANSPORT", "b1: connection refused"))
    assert events(logs) == [
        ("kafka_trouble", "_TRANSPORT"),
        ("kafka_trouble", "_ALL_BROKERS_DOWN"),
        ("kafka_recovered", None),
        ("kafka_trouble", "_TRANSPORT"),
    ]


@pytest.mark.parametrize("code", ["_SSL", "_AUTHENTICATION", "security"])
def test_what_follows_from_a_refusal_is_not_told(health: KafkaHealth, code: str) -> None:
    with capture_logs() as logs:
        health.trouble(SourceTrouble(code, "the broker refused the login"))
        health.trouble(SourceTrouble("_ALL_BROKERS_DOWN", "1/1 brokers are down"))
        health.trouble(SourceTrouble("end_offsets", "timed out"))
    assert events(logs) == [("kafka_trouble", code)]
    assert health.problem == f"{code}: the broker refused the login"


def test_a_connection_that_still_answers_does_not_hide_a_refusal(health: KafkaHealth, now: Moment) -> None:
    with capture_logs() as logs:
        for _ in range(4):
            health.trouble(SourceTrouble("_AUTHENTICATION", "the broker refused the login"))
            health.answers()
            now.seconds += REFUSED_S - 0.1
            health.answers()
    assert events(logs) == [("kafka_trouble", "_AUTHENTICATION")]


def test_a_refusal_is_over_when_none_came_for_a_while_and_kafka_answers(health: KafkaHealth, now: Moment) -> None:
    health.trouble(SourceTrouble("_SSL", "no certificate"))
    now.seconds += REFUSED_S
    assert health.problem is not None
    with capture_logs() as logs:
        health.answers()
        now.seconds += ANSWERED_S
        health.trouble(SourceTrouble("_TRANSPORT", "connection refused"))
    assert events(logs) == [("kafka_recovered", None), ("kafka_trouble", "_TRANSPORT")]


def test_a_connection_that_ends_while_kafka_answers_is_no_trouble(health: KafkaHealth, now: Moment) -> None:
    with capture_logs() as logs:
        health.answers()
        now.seconds += ANSWERED_S - 0.1
        health.trouble(SourceTrouble("_ALL_BROKERS_DOWN", "1/1 brokers are down"))
        assert health.problem is None
        health.trouble(SourceTrouble("commit", "timed out"))
    assert events(logs) == [("kafka_trouble", "commit")]


def test_a_second_kind_of_refusal_is_told_too(health: KafkaHealth) -> None:
    with capture_logs() as logs:
        health.trouble(SourceTrouble("security", "no such file"))
        health.trouble(SourceTrouble("_AUTHENTICATION", "the broker refused the login"))
    assert events(logs) == [("kafka_trouble", "security"), ("kafka_trouble", "_AUTHENTICATION")]
