"""Replicas that are killed and that freeze, again and again, under a steady producer: each record is written once, in order."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from tests.integration.conftest import Figure
from tests.integration.daemon import Daemon, running_daemon
from tests.integration.kafka_reader import group_positions
from tests.integration.scenario import settings_of, verdict_of, wait_committed
from tests.integration.steady import is_past, producing
from tests.servers.embedded_kinesis import running_embedded_kinesis
from tests.servers.fixtures import NewTopic, unique
from tests.servers.kafka import RunningKafka
from tests.servers.kinesis import create_stream, kinesis_client
from tests.servers.process import wait_until

REPLICAS = 3
ROUNDS = 6
ROUND_SECONDS = 20.0
SESSION_SECONDS = 6
FROZEN_SECONDS = 10.0
"""Well beyond session and lease: others have written the partitions when the process wakes with requests ready."""
RATE = 1_500.0
KEYS = 1_000
SHARDS = 8
ROUND_TRIP_SECONDS = 0.02
DRAIN_SECONDS = 60.0


def kill_and_freeze(daemons: Sequence[Daemon]) -> None:
    """In each round one replica is killed and started anew, and another one freezes, while the third goes on as it is."""
    began = time.monotonic()
    for number in range(ROUNDS):
        killed, frozen = daemons[number % REPLICAS], daemons[(number + 1) % REPLICAS]
        frozen.pause()
        wakes_at = time.monotonic() + FROZEN_SECONDS
        killed.kill()
        killed.start(ready=False)  # it is ready once the group has given up the dead member
        wait_until(partial(is_past, wakes_at), "the end of the freeze", 2 * FROZEN_SECONDS)
        frozen.resume()
        wait_until(partial(says, frozen, "partitions_lost"), "the frozen replica learns that it is out", ROUND_SECONDS)
        wait_until(partial(is_past, began + (number + 1) * ROUND_SECONDS), "the end of the round", 2 * ROUND_SECONDS)


def says(daemon: Daemon, event: str) -> bool:
    """Whether it stands in the log of this process."""
    return f'"event": "{event}"' in daemon.log_text()


def reached(kafka: RunningKafka, topic: str) -> int:
    """Records below the committed offsets."""
    return sum(position.committed or 0 for position in group_positions(kafka.bootstrap_servers, topic, topic).values())


def test_nothing_is_lost_while_replicas_are_killed_and_freeze(kafka: RunningKafka, new_topic: NewTopic, figure: Figure):
    topic, stream = new_topic("frozen", partitions=12), unique("frozen")
    route = {"topic": topic, "stream": stream}
    with ExitStack() as stack:
        kinesis = stack.enter_context(running_embedded_kinesis("frozen-kinesis", "--latency", str(ROUND_TRIP_SECONDS)))
        create_stream(kinesis_client(kinesis.endpoint_url), stream, shards=SHARDS)
        settings = settings_of(topic, kafka, kinesis.endpoint_url, [route], session_timeout=f"{SESSION_SECONDS}s")
        settings["kinesis"] |= {"request_timeout": "2s", "settle": "1s"}  # it and three commits have to fit into the session
        settings["lease"] = "6s"
        daemons = [stack.enter_context(running_daemon(settings)) for _ in range(REPLICAS)]
        with producing(kafka, topic, RATE, KEYS) as produced:
            kill_and_freeze(daemons)
        left = produced[0] - reached(kafka, topic)
        began = time.monotonic()
        wait_committed(kafka, topic, topic, DRAIN_SECONDS)
        drained_seconds = time.monotonic() - began
        for daemon in daemons:
            daemon.wait_ready()
            daemon.terminate()
            assert daemon.wait_exit() == 0, daemon.log_text()
        verdict = verdict_of(kafka, kinesis.endpoint_url, route)
    figure(
        f"{ROUNDS} kills, {ROUNDS} freezes of {FROZEN_SECONDS:g} s: {verdict}; {left} not committed when the producer stopped, "
        f"all of them {drained_seconds:.0f} s later"
    )
    assert verdict.sent == produced[0] > 0.9 * RATE * ROUNDS * ROUND_SECONDS
    assert verdict.exact, verdict
