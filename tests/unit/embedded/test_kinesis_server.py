"""The HTTP skin: what goes over the wire, and the process."""

import asyncio
import io
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest

from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.kinesis_server import BODY_BYTES_MAX, serve_kinesis
from tests.servers.process import wait_until
from tests.unit.embedded.kinesis_driver import NOW, new_model

HEADERS = {"Content-Type": "application/x-amz-json-1.1", "Authorization": "AWS4-HMAC-SHA256 Credential=test"}
RECORD = {"PartitionKey": "k", "Data": "eA=="}


class Caller:
    """Calls that look at status, headers and JSON themselves."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def __call__(
        self, operation: str, body: bytes | io.BytesIO, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, Any]:
        sent = {**HEADERS, "X-Amz-Target": f"Kinesis_20131202.{operation}", **(headers or {})}
        sent = {name: value for name, value in sent.items() if value}
        async with self._session.post(self._url, data=body, headers=sent) as response:
            return response.status, orjson.loads(await response.read()), response.headers


@pytest.fixture
def model() -> KinesisModel:
    return new_model()


@pytest.fixture
async def call(model: KinesisModel) -> AsyncIterator[Caller]:
    async with serve_kinesis(model, clock=lambda: NOW) as url, aiohttp.ClientSession() as session:
        yield Caller(session, url)


async def test_an_answer_carries_the_headers_of_the_service_and_the_date_of_its_clock(call):
    status, body, headers = await call("ListStreams", b"{}")
    assert (status, body["StreamNames"]) == (200, ["orders"])
    assert headers["Content-Type"] == "application/x-amz-json-1.1"
    assert headers["Date"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    _, _, others = await call("ListStreams", b"")
    assert others["x-amzn-RequestId"] != headers["x-amzn-RequestId"]


async def test_throttled_records_are_told_one_by_one_in_a_200_answer(call, model):
    model.put_records("orders", ["k"] * 500, None, [b"x"] * 500, NOW)
    model.put_records("orders", ["k"] * 499, None, [b"x"] * 499, NOW)
    status, body, _ = await call("PutRecords", orjson.dumps({"StreamName": "orders", "Records": [RECORD] * 2}))
    assert (status, body["FailedRecordCount"]) == (200, 1)
    stored, refused = body["Records"]
    assert sorted(stored) == ["SequenceNumber", "ShardId"]
    assert refused == {
        "ErrorCode": "ProvisionedThroughputExceededException",
        "ErrorMessage": "Rate exceeded for shard shardId-000000000000 in stream orders under account 000000000000.",
    }


@pytest.mark.parametrize(
    ("operation", "body", "headers", "code"),
    [
        ("Fly", b"{}", {}, "UnknownOperationException"),
        ("ListStreams", b"{}", {"X-Amz-Target": "Other_20131202.ListStreams"}, "UnknownOperationException"),
        ("ListStreams", b"{}", {"Content-Type": "application/x-amz-cbor-1.1"}, "UnknownOperationException"),
        ("ListStreams", b"{}", {"Authorization": ""}, "MissingAuthenticationTokenException"),
        ("ListStreams", b"{", {}, "SerializationException"),
        ("ListStreams", b"[]", {}, "SerializationException"),
        ("ListStreams", b'{"Limit":"1"}', {}, "SerializationException"),
        ("ListShards", b'{"StreamName":"orders","ShardFilter":5}', {}, "SerializationException"),
        ("ListShards", b'{"StreamName":"orders","ShardFilter":{"Type":"ALL"}}', {}, "ValidationException"),
        ("ListShards", b'{"StreamName":"orders","ShardFilter":{"Type":"AT_TIMESTAMP"}}', {}, "InvalidArgumentException"),
        ("PutRecords", b'{"StreamName":"orders","Records":5}', {}, "SerializationException"),
        ("PutRecords", b'{"StreamName":"orders","Records":[5]}', {}, "SerializationException"),
        ("PutRecords", b'{"StreamName":"orders","Records":[{"PartitionKey":5,"Data":""}]}', {}, "SerializationException"),
        ("PutRecords", b'{"StreamName":"orders","Records":[{"PartitionKey":"k","Data":"x"}]}', {}, "SerializationException"),
        ("PutRecord", b'{"StreamName":"orders","PartitionKey":"k","Data":"x"}', {}, "SerializationException"),
    ],
)
async def test_a_wrong_request_gets_an_error_in_the_shape_of_the_service(call, operation, body, headers, code):
    status, answer, _ = await call(operation, body, headers)
    assert (status, answer["__type"]) == (400, code)
    assert answer["message"]


async def test_a_body_beyond_the_largest_request_is_refused(call):
    status, answer, _ = await call("PutRecords", io.BytesIO(b" " * (BODY_BYTES_MAX + 1)))
    assert (status, answer["__type"]) == (413, "RequestEntityTooLargeException")


async def test_latency_is_added_to_each_call(model):
    loop = asyncio.get_running_loop()
    async with serve_kinesis(model, latency=0.1) as url, aiohttp.ClientSession() as session:
        began = loop.time()
        await Caller(session, url)("ListStreams", b"{}")
    assert loop.time() - began >= 0.1


def test_the_process_tells_its_address_and_ends_on_sigterm(tmp_path):
    ready = tmp_path / "ready"
    command = [sys.executable, "-m", "bridge.embedded.kinesis_server", "--no-limits", "--ready-file", str(ready)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            wait_until(ready.exists, "the ready file")
            assert process.stdout is not None
            url = process.stdout.readline()
            assert url.startswith("http://127.0.0.1:")
            assert ready.read_text() == url
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            assert process.wait(timeout=10) == 0
            assert time.monotonic() - began < 5
        finally:
            process.kill()
