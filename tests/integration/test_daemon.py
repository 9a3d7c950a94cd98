"""The daemon as the other tests start, stop, hang and kill it, judged by the independent checker."""

import signal
from typing import Any

from tests.integration.conftest import StartDaemon
from tests.integration.daemon import Daemon
from tests.integration.flights import load_flights, produce
from tests.integration.kafka_reader import KafkaRecord, group_positions, read_topic
from tests.integration.kinesis_reader import read_stream
from tests.integration.verdict import compare
from tests.servers.fixtures import NewStream, NewTopic
from tests.servers.kafka import RunningKafka
from tests.servers.kinesalite import RunningKinesalite
from tests.servers.kinesis import kinesis_client
from tests.servers.process import wait_until

RECORDS = 5000


def key_as_text(record: KafkaRecord) -> str | None:
    assert record.key is not None
    return record.key.decode()


def settings_for(kafka: RunningKafka, kinesalite: RunningKinesalite, topic: str, stream: str) -> dict[str, Any]:
    return {
        "name": topic,
        "kafka": {"bootstrap_servers": kafka.bootstrap_servers, "session_timeout": "10s"},
        "kinesis": {"region": kinesalite.region, "endpoint_url": kinesalite.endpoint_url},
        "routes": [{"topic": topic, "stream": stream}],
    }


def acked(daemon: Daemon, topic: str) -> float:
    return daemon.metrics().total("bridge_records_acked_total", route=topic)


def test_a_daemon_that_hung_and_was_killed_is_made_good_by_its_successor(
    kafka: RunningKafka, kinesalite: RunningKinesalite, new_topic: NewTopic, new_stream: NewStream, start_daemon: StartDaemon
):
    topic, stream = new_topic("flights"), new_stream("flights")
    flights = [flight for flight in load_flights()[: 2 * RECORDS] if flight[0] is not None][:RECORDS]
    daemon = start_daemon(settings_for(kafka, kinesalite, topic, stream))
    produce(kafka.bootstrap_servers, topic, flights[: RECORDS // 2])
    wait_until(lambda: acked(daemon, topic) > 0, "the first records", 60)
    daemon.pause()
    assert daemon.status_of("/livez") is None
    daemon.resume()
    assert daemon.status_of("/livez") == 200
    daemon.kill()
    assert daemon.wait_exit() == -signal.SIGKILL

    produce(kafka.bootstrap_servers, topic, flights[RECORDS // 2 :])
    daemon.start()
    wait_until(lambda: at_the_end(kafka, topic), "the last offset", 60)
    assert 0 < daemon.peak_memory_bytes() < 512 * 1024 * 1024
    daemon.terminate()
    assert daemon.wait_exit() == 0
    stored = read_stream(kinesis_client(kinesalite.endpoint_url), stream)
    verdict = compare(read_topic(kafka.bootstrap_servers, topic), stored, key_as_text)
    assert verdict.complete_in_order, verdict
    assert verdict.sent == RECORDS


def at_the_end(kafka: RunningKafka, topic: str) -> bool:
    """The group has the name of the bridge, which has that of the topic."""
    positions = group_positions(kafka.bootstrap_servers, topic, topic)
    return all(position.committed == position.end for position in positions.values())
