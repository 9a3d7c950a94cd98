"""The servers and readers of the other tests, put to the test themselves."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.integration.flights import FLIGHTS, load_flights, produce
from tests.integration.kafka_reader import GroupPosition, group_positions, read_topic
from tests.integration.kinesis_reader import read_stream, shards_in_order
from tests.servers.fixtures import NewStream, NewTopic
from tests.servers.kafka import RunningKafka
from tests.servers.kinesalite import RunningKinesalite
from tests.servers.kinesis import create_stream, is_active, kinesis_client
from tests.servers.process import NotReadyError, SupervisedProcess, wait_until


def test_records_come_back_from_kafka_as_they_were_produced(kafka: RunningKafka, new_topic: NewTopic):
    topic = new_topic(partitions=3)
    sent = [(b"a", b"1"), (b"b", b""), (None, b"no key"), (b"a", None), (b"", b"\x00\xff"), (b"a", b"1")]
    assert produce(kafka.bootstrap_servers, topic, sent) == len(sent)
    found = read_topic(kafka.bootstrap_servers, topic)
    assert sorted((record.key or b"-", record.value or b"-") for record in found) == sorted(
        (key or b"-", value or b"-") for key, value in sent
    )
    assert [record.value for record in found if record.key == b"a"] == [b"1", None, b"1"]


def test_only_committed_transactions_are_read(kafka: RunningKafka, new_topic: NewTopic):
    topic = new_topic(partitions=1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": topic})
    producer.init_transactions(30)
    for value, commits in ((b"kept", True), (b"dropped", False), (b"kept too", True)):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush(30)
        if commits:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)
    found = read_topic(kafka.bootstrap_servers, topic)
    assert [record.value for record in found] == [b"kept", b"kept too"]
    assert found[1].offset > 2, "each transaction's marker and the aborted record have an offset"


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_groups_committed_offsets_are_read_from_outside(kafka: RunningKafka, new_topic: NewTopic, protocol: str):
    topic = new_topic(partitions=2)
    produce(kafka.bootstrap_servers, topic, [(None, b"x")] * 10)
    settings = {"bootstrap.servers": kafka.bootstrap_servers, "group.id": topic, "group.protocol": protocol}
    if protocol == "classic":
        settings["session.timeout.ms"] = "6000"
    consumer = Consumer({**settings, "auto.offset.reset": "earliest", "enable.auto.commit": "false"})
    consumer.subscribe([topic])
    wait_until(lambda: consumer.poll(0.1) is not None, "the first record")
    ends = {record.partition: 0 for record in read_topic(kafka.bootstrap_servers, topic)}
    consumer.commit(offsets=[TopicPartition(topic, 1, 4, metadata="note")], asynchronous=False)
    consumer.close()
    positions = group_positions(kafka.bootstrap_servers, topic, topic)
    assert positions[1] == GroupPosition(4, "note", positions[1].end)
    assert positions[0].committed is None
    assert sum(position.end for position in positions.values()) == 10
    assert set(ends) <= {0, 1}


def test_a_crashed_broker_comes_back_with_its_records(own_kafka: RunningKafka):
    from tests.servers.topics import create_topic

    create_topic(own_kafka.bootstrap_servers, "kept", partitions=1)
    produce(own_kafka.bootstrap_servers, "kept", [(b"k", b"before")])
    own_kafka.stop()
    own_kafka.start()
    produce(own_kafka.bootstrap_servers, "kept", [(b"k", b"after")])
    assert [record.value for record in read_topic(own_kafka.bootstrap_servers, "kept")] == [b"before", b"after"]


def test_a_stream_is_read_to_its_end_in_stored_order(kinesalite: RunningKinesalite, new_stream: NewStream):
    client = kinesis_client(kinesalite.endpoint_url)
    stream = new_stream(shards=3)
    for start in range(0, 1500, 500):
        numbers = range(start, start + 500)
        answer = client.put_records(
            StreamName=stream, Records=[{"PartitionKey": f"key-{n % 7}", "Data": str(n).encode()} for n in numbers]
        )
        assert answer["FailedRecordCount"] == 0
    found = read_stream(client, stream)
    assert len(found) == 1500
    for key in range(7):
        of_key = [int(record.data) for record in found if record.partition_key == f"key-{key}"]
        assert of_key == list(range(key, 1500, 7))


def test_parents_are_read_before_their_children(kinesalite: RunningKinesalite, new_stream: NewStream):
    client = kinesis_client(kinesalite.endpoint_url)
    stream = new_stream(shards=1)
    (parent,) = shards_in_order(client, stream)
    client.put_record(StreamName=stream, PartitionKey="k", Data=b"in the parent")
    client.split_shard(StreamName=stream, ShardToSplit=parent, NewStartingHashKey=str(2**127))
    wait_until(lambda: is_active(client, stream), "the split")
    client.put_record(StreamName=stream, PartitionKey="k", Data=b"in a child")
    assert shards_in_order(client, stream)[0] == parent
    assert [record.data for record in read_stream(client, stream)] == [b"in the parent", b"in a child"]


def test_a_kinesalite_on_disk_keeps_its_streams_over_an_outage(own_kinesalite: RunningKinesalite):
    client = kinesis_client(own_kinesalite.endpoint_url)
    create_stream(client, "kept", shards=1)
    client.put_record(StreamName="kept", PartitionKey="k", Data=b"before")
    own_kinesalite.stop()
    own_kinesalite.start()
    client.put_record(StreamName="kept", PartitionKey="k", Data=b"after")
    assert [record.data for record in read_stream(client, "kept")] == [b"before", b"after"]


def test_the_flights_are_all_there():
    flights = load_flights()
    assert len(flights) == FLIGHTS
    assert flights[0][0] == b"N14228"
    assert b'"tailnum":"N14228"' in flights[0][1]
    assert 0 < sum(key is None for key, _ in flights) < 5000


STARTS_A_TREE = """
import signal, sys, time
from tests.servers.process import SupervisedProcess, temporary_folder
signal.signal(signal.SIGINT, signal.default_int_handler)  # a run in the background inherits that it is ignored
with temporary_folder("killed") as folder:
    sleeper = "[sys.executable, '-c', 'import time; time.sleep(600)']"
    child = f"import subprocess, sys; subprocess.run({sleeper}, start_new_session=True)"
    with SupervisedProcess("killed", [sys.executable, "-c", child], folder=folder) as process:
        print(process.pid, folder, flush=True)
        time.sleep(600)
"""


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_a_killed_test_run(number: signal.Signals):
    run = subprocess.Popen([sys.executable, "-c", STARTS_A_TREE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with run:
        assert run.stdout is not None
        pid, folder = run.stdout.readline().split()
        assert Path(folder).exists()
        # Two supervisors, the command, and a grandchild that left the command's process group.
        wait_until(lambda: len(descendants(run.pid)) == 4 and bool(descendants(int(pid))), "the whole tree")
        tree = descendants(run.pid)
        run.send_signal(number)
        wait_until(lambda: all(map(ended, tree)), f"the end of {tree}")
        wait_until(lambda: not Path(folder).exists(), "the removal of the folder")


def test_nothing_outlives_a_killed_supervisor():
    with SupervisedProcess("orphan", [sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        command = psutil.Process(process.pid)
        supervisor = command.parent()
        assert supervisor is not None
        supervisor.kill()
        assert process.wait_exit(10.0) == -signal.SIGKILL
        wait_until(lambda: ended(command), "the end of the command")


def test_a_process_that_does_not_start_shows_its_log():
    command = [sys.executable, "-c", "import sys; print('no such licence'); sys.exit(3)"]
    with SupervisedProcess("failing", command) as process, pytest.raises(NotReadyError, match=r"(?s)status 3.*no such licence"):
        process.wait_ready(lambda: False, 10.0)


@pytest.mark.parametrize(
    ("code", "status"), [("pass", 0), ("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", -9)]
)
def test_the_exit_status_is_the_commands(code: str, status: int):
    with SupervisedProcess("exiting", [sys.executable, "-c", code]) as process:
        assert process.wait_exit(10.0) == status
