"""Servers, topics, streams and credentials that are not there: the daemon says so, waits, and goes on when they are."""

from tests.integration.daemon import running_daemon
from tests.integration.scenario import behind, settings_of, wait_committed
from tests.integration.test_bad_input import send
from tests.servers.fixtures import NewStream, NewTopic, unique
from tests.servers.kafka import RunningKafka
from tests.servers.kinesalite import RunningKinesalite
from tests.servers.kinesis import create_stream, kinesis_client
from tests.servers.process import wait_until
from tests.servers.topics import create_topic


def test_starts_before_kafka_and_kinesis_and_goes_on_when_they_come(own_kafka: RunningKafka, own_kinesalite: RunningKinesalite):
    route = {"topic": "early", "stream": "early"}
    create_topic(own_kafka.bootstrap_servers, "early", partitions=2)
    create_stream(kinesis_client(own_kinesalite.endpoint_url), "early")
    send(own_kafka, "early", 0, [(b"key", b"value")] * 100)
    own_kafka.stop()
    own_kinesalite.stop()
    with running_daemon(settings_of("early", own_kafka, own_kinesalite.endpoint_url, [route]), ready=False) as daemon:
        wait_until(lambda: daemon.status_of("/livez") == 200, "life", 30)
        wait_until(lambda: any(p.startswith("kafka: _") for p in daemon.json_of("/readyz")["problems"]), "the reason", 60)
        assert daemon.status_of("/readyz") == 503

        own_kafka.start()
        wait_until(lambda: any("stream early" in p for p in daemon.json_of("/readyz")["problems"]), "the next reason", 60)
        own_kinesalite.start()
        daemon.wait_ready()
        wait_committed(own_kafka, "early", "early", 60)
        assert daemon.json_of("/readyz") == {"ready": True, "problems": [], "halted": []}


def test_kinesis_away_in_the_middle(kafka: RunningKafka, own_kinesalite: RunningKinesalite, new_topic: NewTopic):
    route = {"topic": new_topic("away"), "stream": "away"}
    topic = route["topic"]
    create_stream(kinesis_client(own_kinesalite.endpoint_url), "away")
    with running_daemon(settings_of(topic, kafka, own_kinesalite.endpoint_url, [route])) as daemon:
        send(kafka, topic, 0, [(b"key", b"before")] * 10)
        wait_committed(kafka, topic, topic, 60)
        own_kinesalite.stop()
        send(kafka, topic, 0, [(b"key", b"during")] * 10)
        wait_until(lambda: daemon.status_of("/readyz") == 503, "the trouble", 60)
        assert behind(kafka, topic, topic) == 10
        wait_until(lambda: daemon.metrics().total("bridge_kafka_lag_seconds") > 1, "a lag in seconds that grows", 60)
        own_kinesalite.start()
        wait_committed(kafka, topic, topic, 60)
        assert daemon.log_text().count('"event": "stream_trouble"') <= 3, "the same trouble said again and again"


def test_missing_topic_and_missing_stream_are_named_and_awaited(kafka: RunningKafka, kinesalite: RunningKinesalite):
    topic, stream = unique("later"), unique("later")
    settings = settings_of(topic, kafka, kinesalite.endpoint_url, [{"topic": topic, "stream": stream}])
    with running_daemon(settings, ready=False) as daemon:
        wait_until(lambda: f"{topic}" in str(daemon.json_of("/readyz")["problems"]), "the missing topic", 60)
        create_topic(kafka.bootstrap_servers, topic, partitions=1)
        wait_until(lambda: "ResourceNotFound" in str(daemon.json_of("/readyz")["problems"]), "the missing stream", 90)
        assert f"stream {stream}: " in str(daemon.json_of("/readyz")["problems"])
        create_stream(kinesis_client(kinesalite.endpoint_url), stream)
        send(kafka, topic, 0, [(b"key", b"value")])
        wait_committed(kafka, topic, topic, 60)


def test_wrong_credentials_are_said_once(
    kafka: RunningKafka, kinesalite: RunningKinesalite, new_topic: NewTopic, new_stream: NewStream
):
    route = {"topic": new_topic("refused"), "stream": new_stream("refused")}
    topic = route["topic"]
    send(kafka, topic, 0, [(b"key-%d" % i, b"value") for i in range(500)])
    without = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    settings = settings_of(topic, kafka, kinesalite.endpoint_url, [route])
    with running_daemon(settings, environment=without, ready=False) as daemon:
        wait_until(lambda: "credentials" in str(daemon.json_of("/readyz")["problems"]), "the reason", 60)
        wait_until(lambda: daemon.metrics().total("bridge_records_read_total") == 500, "the records read", 60)
        assert daemon.log_text().count("credentials") == 1
        assert behind(kafka, topic, topic) == 500
