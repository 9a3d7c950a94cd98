"""Daemons that are killed at random moments, under faults of Kinesis: each record is written once, and the ledger knows where."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from tests.integration.conftest import Figure
from tests.integration.daemon import Daemon, running_daemon
from tests.integration.exactly_once import FAULTS, LONGEST_S, ROUTES, Killer, settings_for, unsettled_in
from tests.integration.kafka_reader import KafkaRecord, read_topic
from tests.integration.kcl_reader import read_as_kcl
from tests.integration.places import Place, places_in_ledger, places_in_streams, written_twice, wrong_places
from tests.integration.scenario import partition_key_of, wait_committed
from tests.integration.steady import producing
from tests.integration.verdict import Verdict, compare
from tests.servers.embedded_kinesis import running_embedded_kinesis
from tests.servers.fixtures import NewTopic, unique
from tests.servers.kafka import RunningKafka
from tests.servers.kinesis import create_stream, kinesis_client
from tests.servers.process import wait_until

KILLS = 30
SEED = 20131202
RATE = 150.0
"""Of each route, records a second."""
KEYS = 600
PARTITIONS = 6
SHARDS = 4
DRAIN_SECONDS = 180.0
SAMPLES = 3


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("replicas", "longest_s"), list(LONGEST_S.items()), ids=["one daemon", "three daemons"])
def test_every_record_is_written_once(kafka: RunningKafka, new_topic: NewTopic, figure: Figure, replicas: int, longest_s: float):
    name = unique("once")
    topics = {kind: new_topic(f"once-{kind}", partitions=PARTITIONS) for kind in ROUTES}
    routes = [{"topic": topics[kind], "stream": f"{name}-{kind}", "linger": "5ms", **route} for kind, route in ROUTES.items()]
    with ExitStack() as stack:
        kinesis = stack.enter_context(running_embedded_kinesis("once-kinesis", "--latency", "0.02"))
        client = kinesis_client(kinesis.endpoint_url)
        for route in routes:
            create_stream(client, route["stream"], shards=SHARDS)
        kinesis.inject(*FAULTS, seed=SEED)
        instances = [f"{name}-0"] if replicas == 1 else [None] * replicas
        daemons = [
            stack.enter_context(running_daemon(settings_for(name, kafka, kinesis.endpoint_url, routes, instance)))
            for instance in instances
        ]
        with ExitStack() as producers:
            produced = [producers.enter_context(producing(kafka, topic, RATE, KEYS)) for topic in topics.values()]
            killer = Killer(daemons, KILLS, longest_s, random.Random(SEED))
            wait_until(killer.is_done, f"{KILLS} kills", 2 * KILLS * longest_s)
        began = time.monotonic()
        for topic in topics.values():
            wait_committed(kafka, name, topic, DRAIN_SECONDS)
        drained_seconds = time.monotonic() - began
        possible = sum(daemon.metrics().total("bridge_possible_duplicates_total") for daemon in daemons)
        possible += sum(map(unsettled_in, killer.logs))
        for daemon in daemons:
            daemon.terminate()
            assert daemon.wait_exit() == 0, daemon.log_text()
        stored = places_in_streams(client, [route["stream"] for route in routes])
        sent = {topic: read_topic(kafka.bootstrap_servers, topic) for topic in topics.values()}
        found = verdicts(client, name, sent, routes)
        ledger = places_in_ledger(kafka.bootstrap_servers, name)
        every = [record for records in sent.values() for record in records]
        for record in random.Random(SEED).sample(every, SAMPLES):
            assert translated(daemons[0], record) == ledger[record.topic, record.partition, record.offset]
    twice = written_twice(stored)
    figure(
        f"{KILLS} kills of {replicas}: {len(every)} sent, {len(stored)} stored, {twice} twice, {possible:.0f} named as possible, "
        f"drained {drained_seconds:.0f} s after the last"
    )
    assert len(every) == sum(count for counts in produced for count in counts) > 0
    assert all(verdict.exact for verdict in found), found
    assert twice == 0
    assert not (wrong := wrong_places(every, ledger, stored)), wrong[:5]


def verdicts(client: Any, name: str, sent: dict[str, list[KafkaRecord]], routes: Sequence[dict[str, Any]]) -> list[Verdict]:
    """Of each route, read as an application of KCL reads."""
    keys = {route["topic"]: partial(marked_key_of, name) if route.get("carry_origin") else partition_key_of for route in routes}
    return [
        compare(
            sent[route["topic"]],
            read_as_kcl(client, route["stream"]).records,
            keys[route["topic"]],
            lane_of=lambda record: (record.partition, record.key),
        )
        for route in routes
    ]


def marked_key_of(name: str, record: KafkaRecord) -> str:
    """The partition key of `carry_origin`."""
    return f"{name}:{record.topic}/{record.partition}/{record.offset}"


def translated(daemon: Daemon, record: KafkaRecord) -> Place:
    """What `bridge translate` says of it."""
    position = ("--topic", record.topic, "--partition", str(record.partition), "--offset", str(record.offset))
    command = [sys.executable, "-m", "bridge", "translate", "--config", str(daemon.config), "--output", "json", *position]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60, cwd=daemon.config.parent).stdout)
    found = answer["kinesis"]
    return Place(found["stream_name"], found["shard_id"], int(found["sequence_number"]), found["sub_sequence_number"])
