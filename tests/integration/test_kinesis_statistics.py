"""The figures that the embedded Kinesis gives about its callers, against what botocore clients sent and were answered."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.servers.embedded_kinesis import RunningEmbeddedKinesis, running_embedded_kinesis
from tests.servers.kinesis import create_stream, kinesis_client

STATISTICS = "/_control/statistics"
FIRST = "shardId-000000000000"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningEmbeddedKinesis]:
    with running_embedded_kinesis("statistics") as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(server: RunningEmbeddedKinesis) -> None:
    assert server.control("DELETE", STATISTICS) == (204, None)


def records(count: int) -> list[dict[str, Any]]:
    return [{"PartitionKey": "key", "Data": b"12345"}] * count


def test_two_clients_are_told_apart_and_their_answers_are_in_the_figures(server):
    bridge, other = (kinesis_client(server.endpoint_url, access_key=name) for name in ("BRIDGE", "OTHER"))
    create_stream(bridge, "told-apart", shards=1)
    began = time.time()
    other.put_record(StreamName="told-apart", PartitionKey="key", ExplicitHashKey="0", Data=b"x" * 900_000)
    refused = {"BRIDGE": 0, "OTHER": 0}
    for name, client in (("BRIDGE", bridge), ("OTHER", other), ("BRIDGE", bridge), ("BRIDGE", bridge)):
        refused[name] += client.put_records(StreamName="told-apart", Records=records(500))["FailedRecordCount"]
    figures = server.statistics()
    stream = figures["streams"]["told-apart"]
    assert stream["records_offered"] == 2001
    assert stream["records_throttled"] == sum(refused.values())
    assert stream["bytes_offered"] == 2000 * 8 + 900_003
    assert {name: stream["clients"][name]["records_throttled"] for name in refused} == refused
    assert [stream["clients"][name]["requests"] for name in ("BRIDGE", "OTHER")] == [3, 2]
    assert stream["largest_request_bytes"] == stream["largest_record_bytes"] == 900_003
    shard = stream["shards"][FIRST]
    assert shard["sliding_second_max"]["records_stored"] <= 1000
    assert all(began - 1 <= second <= time.time() for second in shard["series"]["second"])
    assert sum(shard["series"]["records_stored"]) == shard["records_stored"] == 2001 - sum(refused.values())
    assert figures["calls"]["PutRecords"] == 4
    assert figures["since"] <= began


def test_broken_limits_are_seen_as_such_and_other_errors_are_not(server):
    client = kinesis_client(server.endpoint_url)
    create_stream(client, "limits", shards=1)
    for wrong in (records(501), [{"PartitionKey": "", "Data": b"x"}], [{"PartitionKey": "k"}]):
        with pytest.raises(ClientError):
            client.put_records(StreamName="limits", Records=wrong)
    with pytest.raises(ClientError):
        client.put_records(StreamName="unknown", Records=records(1))
    figures = server.statistics()
    stream = figures["streams"]["limits"]
    assert (stream["requests"], stream["requests_refused"], stream["requests_over_limit"]) == (2, 2, 1)
    assert stream["largest_request_records"] == 501
    assert figures["errors"] == {"ValidationException": 3, "ResourceNotFoundException": 1}
    assert list(figures["streams"]) == ["limits"]


def test_other_methods_are_refused_and_nothing_is_reset(server):
    client = kinesis_client(server.endpoint_url)
    client.list_streams()
    assert server.control("POST", STATISTICS) == (405, {"problems": ["POST /_control/statistics: use GET or DELETE"]})
    assert server.statistics()["calls"] == {"ListStreams": 1}
