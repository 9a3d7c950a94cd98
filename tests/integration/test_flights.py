"""The main job at full length: every flight through a real Kafka into kinesalite, read back by a checker of its own."""

from tests.integration.conftest import Figure, StartDaemon
from tests.integration.flights import FLIGHTS, load_flights, produce
from tests.integration.scenario import settings_of, verdict_of, wait_committed
from tests.servers.fixtures import NewStream, NewTopic
from tests.servers.kafka import RunningKafka
from tests.servers.kinesalite import RunningKinesalite

MEMORY_MAX = 256 * 1024 * 1024


def test_every_flight_arrives_once_and_in_order(
    kafka: RunningKafka,
    kinesalite: RunningKinesalite,
    new_topic: NewTopic,
    new_stream: NewStream,
    start_daemon: StartDaemon,
    figure: Figure,
):
    route = {"topic": new_topic("flights", partitions=12), "stream": new_stream("flights", shards=4)}
    assert produce(kafka.bootstrap_servers, route["topic"], load_flights()) == FLIGHTS
    daemon = start_daemon(settings_of(route["topic"], kafka, kinesalite.endpoint_url, [route]))

    wait_committed(kafka, route["topic"], route["topic"])

    metrics, memory = daemon.metrics(), daemon.peak_memory_bytes()
    daemon.terminate()
    assert daemon.wait_exit() == 0
    verdict = verdict_of(kafka, kinesalite.endpoint_url, route)
    figure(f"{verdict}; peak memory of the daemon {memory / 2**20:.0f} MiB")
    assert verdict.sent == verdict.stored == FLIGHTS
    assert verdict.exact, verdict
    assert memory <= MEMORY_MAX
    assert metrics.total("bridge_records_acked_total") == FLIGHTS
    assert metrics.total("bridge_kafka_lag_records") == 0
