"""Several daemons in one group: one leaves by SIGTERM, one joins, in the middle of the work; both group protocols."""

from contextlib import ExitStack

import pytest

from tests.integration.conftest import Figure
from tests.integration.daemon import running_daemon
from tests.integration.flights import load_flights, produce
from tests.integration.scenario import acked, settings_of, verdict_of, wait_committed
from tests.servers.fixtures import NewStream, NewTopic
from tests.servers.kafka import RunningKafka
from tests.servers.kinesalite import RunningKinesalite
from tests.servers.process import wait_until

RECORDS = 80_000


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_replicas_come_and_go(
    protocol: str, kafka: RunningKafka, kinesalite: RunningKinesalite, new_topic: NewTopic, new_stream: NewStream, figure: Figure
):
    route = {"topic": new_topic(f"group-{protocol}", partitions=12), "stream": new_stream(f"group-{protocol}", shards=4)}
    produce(kafka.bootstrap_servers, route["topic"], load_flights()[:RECORDS])
    # All replicas together take what the shards allow, so there is work left for whoever joins.
    settings = settings_of(route["topic"], kafka, kinesalite.endpoint_url, [route], group_protocol=protocol)
    with ExitStack() as stack:
        first = stack.enter_context(running_daemon(settings))
        second = stack.enter_context(running_daemon(settings))
        wait_until(lambda: acked(first) > 4_000 and acked(second) > 4_000, "both at work", 120)
        third = stack.enter_context(running_daemon(settings))
        wait_until(lambda: acked(third) > 2_000, "the third at work", 120)
        first.terminate()
        assert first.wait_exit() == 0, first.log_text()
        wait_committed(kafka, route["topic"], route["topic"])
        for daemon in (second, third):
            daemon.terminate()
            assert daemon.wait_exit() == 0, daemon.log_text()
    verdict = verdict_of(kafka, kinesalite.endpoint_url, route)
    figure(verdict)
    assert verdict.sent == verdict.stored == RECORDS
    assert verdict.exact, verdict
