"""The sink and the shard directory where the service throttles, lies, hangs up, or is not there."""

import socket
from contextlib import asynccontextmanager
from math import inf

import aiohttp
import orjson
import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from bridge.adapters.kinesis.sink import KinesisSink
from bridge.adapters.system_clock import SystemClock
from bridge.bootstrap import open_kinesis
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.quotas import SHARD_RECORDS_PER_S
from bridge.core.records import Outcome
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.kinesis_server import serve_kinesis
from tests.contract.kinesis_sinks import RawServer, close, raw_server, request_of, respond, settings_for, use_credentials
from tests.servers.kinesis import ACCESS_KEY, REGION, SECRET_KEY

NOW = 1_700_000_000.0
REQUEST = request_of(("k", b"a"), ("k", b"b"))
STORED = orjson.dumps({"Records": [{"ShardId": "s", "SequenceNumber": "1"}, {"ShardId": "s", "SequenceNumber": "2"}]})


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    use_credentials(monkeypatch)


def refusal(code: str, message: str = "no") -> bytes:
    return orjson.dumps({"__type": f"com.amazonaws.kinesis#{code}", "message": message})


async def answer_of(server: RawServer, request_timeout: str = "1s"):
    async with open_kinesis(settings_for(server.url, request_timeout)) as kinesis:
        return await kinesis.sink.put("orders", REQUEST, inf)


@asynccontextmanager
async def embedded(model: KinesisModel):
    """The model on a clock that stands still, behind HTTP."""
    async with serve_kinesis(model, clock=lambda: NOW) as url, open_kinesis(settings_for(url)) as kinesis:
        yield kinesis


async def test_throttled_records_are_named_one_by_one():
    model = KinesisModel()
    model.streams.create("orders", 2, NOW)
    async with embedded(model) as kinesis:
        for _ in range(SHARD_RECORDS_PER_S // 500):
            full = await kinesis.sink.put("orders", request_of(*[("k", b"x", "0")] * 500), inf)
            assert full.outcomes == [Outcome.STORED] * 500
        answer = await kinesis.sink.put("orders", request_of(("k", b"x", "0"), ("k", b"x", str(2**127)), ("k", b"x", "1")), inf)
    assert answer.whole is None
    assert answer.outcomes == [Outcome.THROTTLED, Outcome.STORED, Outcome.THROTTLED]
    assert (bool(answer.shard_ids[0]), bool(answer.shard_ids[1])) == (False, True)
    assert answer.codes == {"ProvisionedThroughputExceededException": 2}


async def test_a_stream_that_is_not_active_yet():
    model = KinesisModel(transition_s=60)
    model.streams.create("orders", 1, NOW)
    async with embedded(model) as kinesis:
        answer = await kinesis.sink.put("orders", REQUEST, inf)
        assert answer.whole in (Outcome.FATAL, Outcome.TRANSIENT)
        with pytest.raises(UnavailableError, match="CREATING"):
            await kinesis.directory.describe("orders")


async def test_a_refused_connection_is_certain_not_to_have_stored():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, so that nobody else takes it, and not listening
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with open_kinesis(settings_for(url)) as kinesis:
            answer = await kinesis.sink.put("orders", REQUEST, inf)
            assert (answer.whole, answer.code) == (Outcome.TRANSIENT, "Unreachable")
            for call in (kinesis.directory.describe, kinesis.directory.try_to_write, kinesis.directory.try_to_read):
                with pytest.raises(UnavailableError):
                    await call("orders")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (close, "ConnectionLost"),
        (respond(200, STORED[:20], length=len(STORED)), "ConnectionLost"),
        (respond(200, b"<html>hello</html>"), "Http200"),
        (respond(200, b""), "Http200"),
        (respond(200, b"[]"), "Http200"),
        (respond(200, b"{}"), "AnswerShape"),
        (respond(200, b'{"Records": [{"ShardId": "s", "SequenceNumber": "1"}]}'), "AnswerShape"),
        (respond(500, refusal("InternalFailure")), "InternalFailure"),
        (respond(503, b"try again"), "Http503"),
        (respond(502, b""), "Http502"),
        (respond(403, b"<html>a proxy</html>"), "Http403"),
    ],
)
async def test_what_says_nothing_certain_leaves_the_request_in_doubt(answer, code):
    async with raw_server() as server:
        server.answer = answer
        got = await answer_of(server)
        assert (got.whole, got.code, got.outcomes) == (Outcome.UNKNOWN, code, [])
        assert len(server.bodies) == 1, "a request is sent once"


async def test_no_answer_in_time_leaves_the_request_in_doubt():
    async with raw_server() as server:
        got = await answer_of(server, "150ms")
        assert (got.whole, got.code) == (Outcome.UNKNOWN, "Timeout")
        assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (400, "ProvisionedThroughputExceededException", Outcome.THROTTLED),
        (400, "KMSThrottlingException", Outcome.THROTTLED),
        (400, "LimitExceededException", Outcome.THROTTLED),
        (429, "Anything", Outcome.THROTTLED),
        (400, "ValidationException", Outcome.REJECTED),
        (400, "InvalidArgumentException", Outcome.REJECTED),
        (400, "ResourceInUseException", Outcome.TRANSIENT),
        (400, "ExpiredTokenException", Outcome.TRANSIENT),
        (400, "AccessDeniedException", Outcome.FATAL),
        (400, "ResourceNotFoundException", Outcome.FATAL),
        (403, "InvalidSignatureException", Outcome.FATAL),
        (400, "KMSDisabledException", Outcome.FATAL),
    ],
)
async def test_a_refusal_is_classed_by_what_to_do_next(status, code, outcome):
    async with raw_server() as server:
        server.answer = respond(status, refusal(code, "why"))
        got = await answer_of(server)
    assert (got.whole, got.code, got.message) == (outcome, code, "why")


async def test_the_request_is_signed_and_carries_no_secret():
    async with raw_server() as server:
        server.answer = respond(200, STORED)
        got = await answer_of(server)
        assert got.outcomes == [Outcome.STORED] * 2
        (head,), (body,) = server.heads, server.bodies
    assert "X-Amz-Target: Kinesis_20131202.PutRecords" in head
    assert f"Credential={ACCESS_KEY}/" in head
    assert SECRET_KEY not in head
    assert SECRET_KEY.encode() not in body


async def test_a_connection_is_used_again():
    async with raw_server() as server, open_kinesis(settings_for(server.url)) as kinesis:
        ports = set()

        async def answer(writer):
            ports.add(writer.get_extra_info("peername"))
            await respond(200, STORED)(writer)

        server.answer = answer
        for _ in range(3):
            assert (await kinesis.sink.put("orders", REQUEST, inf)).whole is None
        assert (len(ports), len(server.bodies)) == (1, 3)


async def test_a_redirect_is_not_followed():
    async with raw_server() as elsewhere, raw_server() as server:
        elsewhere.answer = respond(200, STORED)
        server.answer = respond(307, b"", more=f"Location: {elsewhere.url}/\r\n")
        got = await answer_of(server)
        assert elsewhere.bodies == []
        assert got.whole is not None


async def test_no_encoding_is_offered_that_the_sink_does_not_read():
    async with raw_server() as server:
        server.answer = respond(200, STORED)
        await answer_of(server)
        assert "gzip" not in server.heads[0].lower()


async def test_without_credentials_nothing_is_sent(monkeypatch):
    use_credentials(monkeypatch, present=False)
    async with raw_server() as server:
        server.answer = respond(200, STORED)
        got = await answer_of(server)
        assert (got.whole, got.code) == (Outcome.FATAL, "NoCredentials")
        assert server.bodies == []
        async with open_kinesis(settings_for(server.url)) as kinesis:
            for call in (kinesis.directory.describe, kinesis.directory.try_to_write, kinesis.directory.try_to_read):
                with pytest.raises(RefusedError):
                    await call("orders")


class Credentials:
    """Credentials whose renewal fails."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def get_frozen_credentials(self):
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(NoCredentialsError(), id="botocore"),
        pytest.param(
            ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}, "ResponseMetadata": {}}, "AssumeRole"),
            id="assume role refused",
        ),
        pytest.param(
            RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired."),
            id="still expired",
        ),
    ],
)
async def test_credentials_that_cannot_be_renewed_need_a_person(error):
    async with raw_server() as server, aiohttp.ClientSession() as http:
        got = await KinesisSink(http, Credentials(error), REGION, server.url, SystemClock()).put("orders", REQUEST, inf)
        assert got.whole == Outcome.FATAL
        assert server.bodies == []


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "AccessDeniedException", RefusedError),
        (400, "LimitExceededException", UnavailableError),
        (500, "InternalFailure", UnavailableError),
        (503, "ServiceUnavailable", UnavailableError),
    ],
)
async def test_what_a_refusal_means_for_the_shard_directory(status, code, error):
    async with raw_server() as server, open_kinesis(settings_for(server.url)) as kinesis:
        server.answer = respond(status, refusal(code, "why"))
        for call in (kinesis.directory.describe, kinesis.directory.try_to_write, kinesis.directory.try_to_read):
            with pytest.raises(error, match=f"{code}: why") as caught:
                await call("orders")
            assert SECRET_KEY not in str(caught.value)


async def test_a_stream_that_ignores_partition_keys_is_refused():
    summary = {"StreamStatus": "ACTIVE", "StreamName": "orders", "RecordDistributionStrategy": "AUTO"}
    async with raw_server() as server, open_kinesis(settings_for(server.url)) as kinesis:
        server.answer = respond(200, orjson.dumps({"StreamDescriptionSummary": summary}))
        with pytest.raises(RefusedError, match="ignores partition keys"):
            await kinesis.directory.describe("orders")


async def test_shards_that_leave_a_gap_are_asked_for_again():
    shard = {"ShardId": "s", "HashKeyRange": {"StartingHashKey": "5", "EndingHashKey": "9"}}
    document = {
        "StreamDescriptionSummary": {"StreamStatus": "UPDATING", "StreamName": "orders"},
        "Shards": [{**shard, "SequenceNumberRange": {"StartingSequenceNumber": "1"}}],
    }
    async with raw_server() as server, open_kinesis(settings_for(server.url)) as kinesis:
        server.answer = respond(200, orjson.dumps(document))
        with pytest.raises(UnavailableError, match="do not join"):
            await kinesis.directory.describe("orders")
