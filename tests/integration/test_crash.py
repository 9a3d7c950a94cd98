"""kill -9 in the middle: nothing is lost, nothing is written twice."""

from tests.integration.conftest import Figure, StartDaemon
from tests.integration.flights import load_flights, produce
from tests.integration.scenario import acked, settings_of, verdict_of, wait_committed
from tests.servers.fixtures import NewStream, NewTopic
from tests.servers.kafka import RunningKafka
from tests.servers.kinesalite import RunningKinesalite
from tests.servers.process import wait_until

RECORDS = 60_000
KILL_AT = (10_000, 30_000)


def test_killed_twice_in_the_middle(
    kafka: RunningKafka,
    kinesalite: RunningKinesalite,
    new_topic: NewTopic,
    new_stream: NewStream,
    start_daemon: StartDaemon,
    figure: Figure,
):
    route = {"topic": new_topic("killed", partitions=12), "stream": new_stream("killed", shards=4)}
    produce(kafka.bootstrap_servers, route["topic"], load_flights()[:RECORDS])
    daemon = start_daemon(settings_of(route["topic"], kafka, kinesalite.endpoint_url, [route], session_timeout="10s"))
    done = 0.0
    for target in KILL_AT:
        wait_until(lambda done=done, target=target: done + acked(daemon) >= target, f"{target} records", 120)  # type: ignore[misc]
        done += acked(daemon)
        daemon.kill()
        daemon.start(ready=False)  # it is ready once the group has given up the dead member

    wait_committed(kafka, route["topic"], route["topic"])

    daemon.terminate()
    assert daemon.wait_exit() == 0
    verdict = verdict_of(kafka, kinesalite.endpoint_url, route)
    figure(f"killed at {KILL_AT}: {verdict}")
    assert verdict.sent == RECORDS
    assert verdict.exact, verdict
