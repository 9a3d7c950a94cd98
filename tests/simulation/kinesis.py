"""The Kinesis of a run: the embedded model in virtual time, and the clients' exchanges with it.

Fakes stand where the client libraries do: `post` of an aiohttp session, and the calls of an aiobotocore client. A request
that was sent arrives, whatever becomes of its sender.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any, Self

import aiohttp
import orjson
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError

from bridge.embedded.call_timeline import Reply, error_reply, perform
from bridge.embedded.calls import carry_out, read_call
from bridge.embedded.fault_document import FaultDocument
from bridge.embedded.fault_plan import FaultPlan
from bridge.embedded.kinesis_errors import KinesisError
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.put_path import PutAnswer, PutCall
from bridge.embedded.request_fields import Call
from tests.simulation.process import Process
from tests.simulation.world import Pause, World

URL = "http://kinesis.invalid"
HUNG_S = 3600.0
LATE_MAX_S = 4.5
"""From the arrival of a request until it is stored; with its way there it is below the request timeout and `settle` together."""


class WatchedModel(KinesisModel):
    """Says when something may have been stored: one call after the other, so the order of what is stored is known."""

    def __init__(self) -> None:
        super().__init__()
        self.on_put: Callable[[], None] = lambda: None

    def put(self, call: PutCall, now: float) -> PutAnswer:
        """As the model's."""
        try:
            return super().put(call, now)
        finally:
            self.on_put()


class Kinesis:
    """Server side. `on_send` is called when a PutRecords call is sent, `on_answer` when its answer comes to its sender."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.model = WatchedModel()
        self.chance = world.chance("kinesis")
        self.distance_s = 0.0
        self.extra_latency_s = 0.0
        self.date_ahead_s = 0.0
        self.on_send: Callable[[Process, dict[str, Any]], None] = lambda process, members: None
        self.on_answer: Callable[[Process, dict[str, Any], Reply], None] = lambda process, members, reply: None

    def transit_s(self) -> float:
        """One way, in seconds: mostly fast, now and then slow, so that requests overtake each other."""
        slow = self.chance.random() < 0.05
        jitter_s = self.chance.uniform(0.02, 0.15) if slow else self.chance.uniform(0.001, 0.012) + self.extra_latency_s
        return self.distance_s + jitter_s

    def told_s(self) -> float:
        """The time that answers tell, in seconds since the epoch."""
        return self.world.wall() + self.date_ahead_s

    def inject(self, faults: list[dict[str, Any]]) -> None:
        """These faults from now on, and no others."""
        document = FaultDocument.model_validate({"seed": self.world.seed, "faults": faults})
        self.model.faults = FaultPlan(document, self.world.wall())

    def exchange(self, process: Process, operation: str, body: bytes) -> "Exchange":
        """A call that is sent now."""
        return Exchange(self, process, operation, body)


class Exchange:
    """One call: its way to the server, what happens there, its way back. `answer` is for the event loop of its sender."""

    def __init__(self, kinesis: Kinesis, process: Process, operation: str, body: bytes) -> None:
        self._kinesis = kinesis
        self._process = process
        self._operation = operation
        self._body = body
        self.answer: asyncio.Future[Reply] = process.loop.create_future()
        self.date_s = 0
        """Of the answer, as the server's clock shows it then."""
        self._closed = False
        if process.world.now >= process.cut_from_kinesis_until:
            process.world.call_later(kinesis.transit_s(), self._arrive)

    def _arrive(self) -> None:
        self._process.world.drive(self._perform())

    async def _perform(self) -> None:
        kinesis = self._kinesis
        try:
            call = read_call(self._operation, self._body, self._process.name)
            reply = await perform(kinesis.model, call, kinesis.world.wall, self)
        except KinesisError as error:
            reply = error_reply(kinesis.model, error)
        if reply is not None:
            self.date_s = int(kinesis.told_s())
            kinesis.world.call_later(kinesis.transit_s(), lambda: self._give(reply, None))

    async def pause(self, seconds: float) -> None:
        """See `Connection`. Faults that meet make a request no later than `kinesis.settle` allows."""
        await Pause(min(seconds, LATE_MAX_S))

    async def hang(self) -> None:
        """See `Connection`."""
        await Pause(HUNG_S)

    def close(self) -> None:
        """See `Connection`."""
        if not self._closed:
            self._closed = True
            self._kinesis.world.call_later(self._kinesis.transit_s(), lambda: self._give(None, aiohttp.ServerDisconnectedError()))

    def _give(self, reply: Reply | None, error: Exception | None) -> None:
        if not self._process.alive or self._process.world.now < self._process.cut_from_kinesis_until:
            return
        self._process.loop.call_soon_threadsafe(self._settle, reply, error)

    def _settle(self, reply: Reply | None, error: Exception | None) -> None:
        if self.answer.done():
            return
        if error is not None:
            self.answer.set_exception(error)
        elif reply is not None:
            if self._operation == "PutRecords":
                self._kinesis.on_answer(self._process, orjson.loads(self._body), reply)
            self.answer.set_result(reply)


class SimHttp:
    """What the sink uses of `aiohttp.ClientSession`."""

    def __init__(self, kinesis: Kinesis, process: Process, timeout_s: float) -> None:
        self._kinesis = kinesis
        self._process = process
        self._timeout_s = timeout_s
        self.in_flight = 0
        self.in_flight_max = 0

    def post(self, _url: str, *, data: Payload, headers: dict[str, str], **_: Any) -> "_Posted":
        """The request goes out when the block begins."""
        return _Posted(self, headers["X-Amz-Target"].rpartition(".")[2], data)

    async def exchanged(self, operation: str, body: Payload) -> tuple[Reply, int]:
        """The answer and its date. Raises what aiohttp raises."""
        writer = _Writer()
        try:
            await body.write_with_length(writer, None)
        except OSError as error:
            raise aiohttp.ClientOSError from error
        self._kinesis.on_send(self._process, orjson.loads(writer.written))
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        try:
            async with asyncio.timeout(self._timeout_s):
                exchange = self._kinesis.exchange(self._process, operation, bytes(writer.written))
                return await exchange.answer, exchange.date_s
        finally:
            self.in_flight -= 1


class _Writer(AbstractStreamWriter):
    """What a body is written to. It is on its way when all of it is there."""

    def __init__(self) -> None:
        self.written = bytearray()

    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        self.written += chunk

    async def drain(self) -> None:
        await asyncio.sleep(0)

    async def write_eof(self, chunk: bytes = b"") -> None:
        self.written += chunk

    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None:
        raise AssertionError("not part of a request")

    def enable_chunking(self) -> None:
        raise AssertionError("not part of a request")

    async def write_headers(self, status_line: str, headers: Any) -> None:
        raise AssertionError("not part of a body")


class _Posted:
    def __init__(self, http: SimHttp, operation: str, body: Payload) -> None:
        self._http = http
        self._operation = operation
        self._body = body
        self.status = 0
        self.headers: dict[str, str] = {}
        self._content = b""

    async def __aenter__(self) -> Self:
        (self.status, self._content), date_s = await self._http.exchanged(self._operation, self._body)
        self.headers = {"Date": formatdate(date_s, usegmt=True)}
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to give back."""

    async def read(self) -> bytes:
        return self._content


class _Hooks:
    """What is called with an answer before the client library takes it apart."""

    def __init__(self) -> None:
        self.events = self
        self._of_event: dict[str, Callable[..., None]] = {}

    def register(self, event: str, hook: Callable[..., None], unique_id: str) -> None:
        del unique_id
        self._of_event[event.rpartition(".")[2]] = hook

    def taken_out(self, operation: str, content: bytes) -> tuple[bytes, dict[str, Any]]:
        """What is left of an answer, and what was taken out of it."""
        response, taken = {"body": content}, dict[str, Any]()
        if (hook := self._of_event.get(operation)) is not None:
            hook(response_dict=response, customized_response_dict=taken)
        return response["body"], taken


class SimKinesisClient:
    """What the shard directory and the shard reader use of an aiobotocore client."""

    def __init__(self, kinesis: Kinesis, process: Process) -> None:
        self._kinesis = kinesis
        self._process = process
        self.meta = _Hooks()
        self.shards_seen_at = float("-inf")

    async def describe_stream_summary(self, **members: Any) -> dict[str, Any]:
        answer = await self._call("DescribeStreamSummary", members)
        summary = answer["StreamDescriptionSummary"]
        summary["StreamCreationTimestamp"] = datetime.fromtimestamp(summary["StreamCreationTimestamp"], UTC)
        return answer

    async def list_shards(self, **members: Any) -> dict[str, Any]:
        answer = await self._call("ListShards", members)
        self.shards_seen_at = self._process.world.now
        return answer

    async def get_shard_iterator(self, **members: Any) -> dict[str, Any]:
        return await self._call("GetShardIterator", members)

    async def get_records(self, **members: Any) -> dict[str, Any]:
        return await self._call("GetRecords", members)

    async def _call(self, operation: str, members: dict[str, Any]) -> dict[str, Any]:
        exchange = self._kinesis.exchange(self._process, operation, orjson.dumps(members))
        status, content = await exchange.answer
        left, taken = self.meta.taken_out(operation, content)
        document: dict[str, Any] = {**orjson.loads(left), **taken}
        document["ResponseMetadata"] = {"HTTPHeaders": {"date": formatdate(exchange.date_s, usegmt=True)}}
        if status != 200:
            error = {"Code": document["__type"], "Message": document.get("message", "")}
            raise ClientError({"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}}, operation)
        return document


class SimCredentials:
    """Credentials that never have to be renewed."""

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return ReadOnlyCredentials("AKIDSIMULATION", "secret", None)


class CoWriter:
    """Somebody else who writes to one shard of a stream, a part of its limit."""

    def __init__(self, kinesis: Kinesis, stream: str, records_per_s: int, until: float) -> None:
        self._kinesis = kinesis
        self._stream = stream
        self._records = max(1, records_per_s // 10)
        self._until = until
        self._chance: random.Random = kinesis.world.chance(f"co-writer/{stream}")
        self._write()

    def _write(self) -> None:
        world = self._kinesis.world
        if world.now >= self._until:
            return
        keys = [f"foreign-{self._chance.randrange(10**6)}" for _ in range(self._records)]
        place = str(self._chance.randrange(4) * 2**126)
        members = {
            "StreamName": self._stream,
            "Records": [{"Data": "Zm9yZWlnbg==", "PartitionKey": key, "ExplicitHashKey": place} for key in keys],
        }
        call: Call = read_call("PutRecords", orjson.dumps(members), "co-writer")
        with suppress(KinesisError):
            carry_out(self._kinesis.model, call, world.wall())
        world.call_later(0.1, self._write)
