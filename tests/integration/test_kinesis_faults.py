"""Every kind of fault of the embedded Kinesis, as a botocore client meets it, and what the stream holds afterwards."""

import signal
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from bridge.embedded.fault_kinds import KINDS
from tests.integration.kinesis_reader import KinesisRecord, read_stream
from tests.servers.embedded_kinesis import RunningEmbeddedKinesis, running_embedded_kinesis
from tests.servers.fixtures import unique
from tests.servers.kinesis import create_stream, kinesis_client
from tests.servers.process import wait_until

FAULTS = "/_control/faults"
IMPATIENT_SECONDS = 0.5
"""How long a client waits that is to give up; LATE_SECONDS is well beyond it."""
LATE_SECONDS = 2.5
SENT = [b"a1", b"b1", b"a2", b"b2"]
THROTTLED, FAILURE = "ProvisionedThroughputExceededException", "InternalFailure"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningEmbeddedKinesis]:
    with running_embedded_kinesis("faults", "--no-limits") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: RunningEmbeddedKinesis) -> Any:
    return kinesis_client(server.endpoint_url, attempts=1)


def impatient(client: Any) -> Any:
    return kinesis_client(client.meta.endpoint_url, attempts=1, answer_seconds=IMPATIENT_SECONDS)


@pytest.fixture
def stream(server: RunningEmbeddedKinesis, client: Any) -> str:
    """A stream of one shard, without faults; the figures begin anew."""
    assert server.control("DELETE", FAULTS) == (204, None)
    name = unique("faults")
    create_stream(client, name, shards=1)
    server.control("DELETE", "/_control/statistics")
    return name


class Seen(NamedTuple):
    """How one PutRecords call ended: the codes of its records ("" where it was stored), or the error of the whole."""

    codes: list[str]
    error: str
    numbers: list[str]
    seconds: float


def put(client: Any, stream: str, datas: list[bytes] = SENT) -> Seen:
    """Records whose partition key is the first character of their data."""
    records = [{"PartitionKey": chr(data[0]), "Data": data} for data in datas]
    began = time.monotonic()
    try:
        answer = client.put_records(StreamName=stream, Records=records)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return Seen([], f"{error.response['Error']['Code']} {status}", [], time.monotonic() - began)
    except (ConnectionClosedError, ReadTimeoutError) as error:
        return Seen([], type(error).__name__, [], time.monotonic() - began)
    assert answer["FailedRecordCount"] == sum("ErrorCode" in record for record in answer["Records"])
    return Seen(
        [record.get("ErrorCode", "") for record in answer["Records"]],
        "",
        [record.get("SequenceNumber", "") for record in answer["Records"]],
        time.monotonic() - began,
    )


def held(client: Any, stream: str) -> list[KinesisRecord]:
    return read_stream(kinesis_client(client.meta.endpoint_url), stream)


def datas(records: list[KinesisRecord]) -> list[bytes]:
    return [record.data for record in records]


# Whole calls

WHOLE: list[tuple[dict[str, Any], str, bool]] = [
    ({"kind": "request_throttled"}, f"{THROTTLED} 400", False),
    ({"kind": "error_before_storing"}, f"{FAILURE} 500", False),
    ({"kind": "error_before_storing", "status": 503}, "ServiceUnavailable 503", False),
    ({"kind": "error_after_storing"}, f"{FAILURE} 500", True),
    ({"kind": "connection_closed_before_storing"}, "ConnectionClosedError", False),
    ({"kind": "connection_closed_after_storing"}, "ConnectionClosedError", True),
    ({"kind": "stored_late", "delay_s": LATE_SECONDS, "closed_after_s": 0.0}, "ConnectionClosedError", True),
    ({"kind": "stored_late", "delay_s": LATE_SECONDS}, "ReadTimeoutError", True),
    ({"kind": "answer_delayed", "delay_s": LATE_SECONDS}, "ReadTimeoutError", True),
    ({"kind": "hung"}, "ReadTimeoutError", False),
    ({"kind": "hung", "stored": True}, "ReadTimeoutError", True),
    ({"kind": "stream_not_active"}, "ResourceNotFoundException 400", False),
    ({"kind": "stream_not_active", "status": "DELETING"}, "ResourceNotFoundException 400", False),
]


@pytest.mark.parametrize(("fault", "error", "is_stored"), WHOLE, ids=lambda value: str(value)[:60])
def test_a_whole_call(server, client, stream, fault, error, is_stored):
    server.inject({**fault, "stream": stream, "times": 1})
    caller = impatient(client) if error == "ReadTimeoutError" else client
    assert put(caller, stream, [b"a1"]).error == error
    if fault["kind"] == "stored_late":
        wait_until(lambda: datas(held(client, stream)) == [b"a1"], "the late request")
    after = put(client, stream, [b"a2"])
    assert after.codes == [""]
    assert datas(held(client, stream)) == [*[b"a1"] * is_stored, b"a2"]
    assert server.statistics()["faults"] == {fault["kind"]: 1}


@pytest.mark.parametrize("kind", ["answer_delayed", "stored_late", "latency"])
def test_an_answer_that_comes_late_comes_whole(server, client, stream, kind):
    server.inject({"kind": kind, "stream": stream, "delay_s": IMPATIENT_SECONDS, "times": 1})
    seen = put(client, stream)
    assert (seen.codes, seen.seconds >= IMPATIENT_SECONDS) == ([""] * 4, True)
    assert [record.sequence_number for record in held(client, stream)] == seen.numbers


def test_a_late_request_is_stored_behind_those_that_came_after_it(server, client, stream):
    server.inject({"kind": "stored_late", "stream": stream, "delay_s": LATE_SECONDS, "closed_after_s": 0.05, "times": 1})
    assert put(client, stream, [b"a1"]).error == "ConnectionClosedError"
    put(client, stream, [b"a2"])
    wait_until(lambda: datas(held(client, stream)) == [b"a2", b"a1"], "the late request behind the later one")


def test_reading_is_hit_where_it_is_asked_for(server, client, stream):
    put(client, stream)
    server.inject({"kind": "request_throttled", "operation": "GetRecords", "stream": stream, "times": 2})
    assert datas(held(client, stream)) == SENT
    assert server.faults()["faults"][0]["injected"] == 2


def test_a_stream_that_is_being_updated_takes_records_and_refuses_changes(server, client, stream):
    server.inject(
        {"kind": "stream_not_active", "status": "UPDATING", "stream": stream},
        {"kind": "stream_not_active", "status": "UPDATING", "stream": stream, "operation": "SplitShard"},
        {"kind": "stream_not_active", "status": "UPDATING", "stream": stream, "operation": "DescribeStreamSummary"},
    )
    assert put(client, stream).codes == [""] * 4
    with pytest.raises(client.exceptions.ResourceInUseException):
        client.split_shard(StreamName=stream, ShardToSplit="shardId-000000000000", NewStartingHashKey="9")
    assert client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamStatus"] == "UPDATING"
    assert datas(held(client, stream)) == SENT


# Single records


@pytest.mark.parametrize(("kind", "code"), [("record_throttled", THROTTLED), ("record_internal_failure", FAILURE)])
def test_a_record_that_is_refused_in_the_middle(server, client, stream, kind, code):
    # Of no stream: what a fault is for goes into its chance, and this stream has another name in each run.
    server.inject({"kind": kind, "probability": 0.5, "times": 2}, seed=2)
    seen = put(client, stream)
    assert sorted(seen.codes) == ["", "", code, code]
    assert datas(held(client, stream)) == [data for data, refused in zip(SENT, seen.codes, strict=True) if not refused]
    figures = server.statistics()["streams"][stream]
    assert (figures["records_throttled"], figures["records_failed"]) == ((2, 0) if code == THROTTLED else (0, 2))


CORRUPTIONS: list[tuple[dict[str, Any], list[bytes]]] = [
    ({"kind": "acked_not_stored", "times": 1}, [b"b1", b"a2", b"b2"]),
    ({"kind": "stored_twice", "times": 1}, [*SENT, b"a1"]),
    ({"kind": "swapped"}, [b"a2", b"b2", b"a1", b"b1"]),
    ({"kind": "foreign_record", "partition_key": "z", "data_base64": "bmV3"}, [b"new", *SENT]),
]


@pytest.mark.parametrize(("fault", "expected"), CORRUPTIONS, ids=lambda value: str(value)[:60])
def test_what_is_stored_is_not_what_was_acked(server, client, stream, fault, expected):
    server.inject({**fault, "stream": stream})
    seen = put(client, stream)
    assert seen.codes == [""] * 4
    assert all(seen.numbers)
    records = held(client, stream)
    assert datas(records) == expected
    by_number = {record.sequence_number: record.data for record in records}
    wrong = [number for number, data in zip(seen.numbers, SENT, strict=True) if by_number.pop(number, None) != data]
    logged = {number for entry in server.faults()["log"] for number in (entry["sequence_number"], entry["other_sequence_number"])}
    assert {*wrong, *by_number} <= logged


def test_a_flipped_byte(server, client, stream):
    server.inject({"kind": "byte_flipped", "stream": stream, "times": 1})
    assert put(client, stream).codes == [""] * 4
    found = datas(held(client, stream))
    assert found[1:] == SENT[1:]
    assert sorted(before ^ after for before, after in zip(SENT[0], found[0], strict=True)) == [0, 0xFF]


# Reshards


@pytest.mark.parametrize(
    ("fault", "open_shards"),
    [
        ({"kind": "split"}, [1, 2]),
        ({"kind": "update_shard_count", "target": 2}, [1, 2]),
        ({"kind": "split", "new_starting_hash_key": "5"}, [1, 2]),
    ],
)
def test_a_reshard_between_two_calls(server, client, stream, fault, open_shards):
    server.inject({**fault, "stream": stream, "after_calls": 1})
    assert {*put(client, stream).codes, *put(client, stream).codes} == {""}
    assert opened(client, stream) == open_shards
    records = held(client, stream)
    assert sorted(datas(records)) == sorted(SENT * 2)
    assert [record.shard_id[-1] for record in records[:4]] == ["0"] * 4
    assert "0" not in {record.shard_id[-1] for record in records[4:]}


def test_a_merge_between_two_calls(server, client):
    name = unique("faults")
    create_stream(client, name, shards=2)
    server.inject({"kind": "merge", "stream": name, "after_calls": 1})
    put(client, name)
    put(client, name)
    assert opened(client, name) == [2]
    assert datas([record for record in held(client, name) if record.shard_id[-1] == "2"]) == SENT


def opened(client: Any, stream: str) -> list[int]:
    shards = client.list_shards(StreamName=stream, ShardFilter={"Type": "AT_LATEST"})["Shards"]
    return [int(shard["ShardId"][-3:]) for shard in shards]


# The control endpoint


def test_every_kind_is_met_here():
    met = {str(fault["kind"]) for fault in [*(row[0] for row in WHOLE), *(row[0] for row in CORRUPTIONS)]}
    elsewhere = {"latency", "record_throttled", "record_internal_failure", "byte_flipped", "split", "update_shard_count", "merge"}
    assert met | elsewhere == set(KINDS)


def test_a_wrong_document_changes_nothing_and_names_every_problem(server, client, stream):
    server.inject({"kind": "request_throttled", "stream": stream})
    status, answer = server.control(
        "PUT", FAULTS, {"faults": [{"kind": "hung"}, {"kind": "latency"}, {"kind": "hung", "probability": 2}]}
    )
    assert status == 400
    assert [problem.partition(":")[0] for problem in answer["problems"]] == ["faults.1.delay_s", "faults.2.probability"]
    assert [fault["kind"] for fault in server.faults()["faults"]] == ["request_throttled"]
    assert put(client, stream).error == f"{THROTTLED} 400"
    assert server.control("POST", FAULTS) == (405, {"problems": ["POST /_control/faults: use GET or PUT or DELETE"]})


def test_deleting_the_faults_ends_them(server, client, stream):
    server.inject({"kind": "request_throttled", "stream": stream})
    assert put(client, stream).error
    assert server.control("DELETE", FAULTS) == (204, None)
    assert put(client, stream).codes == [""] * 4
    assert server.faults()["faults"] == []


def test_the_server_ends_at_once_while_calls_wait():
    with running_embedded_kinesis("hanging", "--no-limits") as server:
        caller = kinesis_client(server.endpoint_url, attempts=1, answer_seconds=IMPATIENT_SECONDS)
        create_stream(kinesis_client(server.endpoint_url), "hanging", shards=1)
        server.inject({"kind": "hung"}, {"kind": "stored_late", "delay_s": 3600, "operation": "PutRecord"})
        assert put(caller, "hanging").error == "ReadTimeoutError"
        with pytest.raises(ReadTimeoutError):
            caller.put_record(StreamName="hanging", PartitionKey="k", Data=b"x")
        began = time.monotonic()
        server.process.signal(signal.SIGTERM)
        assert server.process.wait_exit(10) == 0
        assert time.monotonic() - began < 5
