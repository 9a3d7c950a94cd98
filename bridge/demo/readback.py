"""Reads the stream back as any consumer would: plain GetRecords calls over HTTP, shard by shard, on a thread."""

import http.client
import time
from dataclasses import dataclass, field
from threading import Event, Thread
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import orjson
import pybase64
from xxhash import xxh3_64_intdigest

from bridge.core.quotas import GET_RECORDS_RECORDS_MAX
from bridge.demo.errors import DemoError
from bridge.demo.verdict import StoredShard

READ_INTERVAL_S = 1.0
"""Between two reads of a shard; five a second are allowed."""

FINISH_TIMEOUT_S = 60.0
_HTTP_TIMEOUT_S = 30.0
_THROTTLED = "ProvisionedThroughputExceededException"


class KinesisCallError(DemoError):
    """An answer that is an error; `code` is the service's."""

    def __init__(self, operation: str, code: str, message: str) -> None:
        super().__init__(f"{operation}: {code}: {message}")
        self.code = code


class KinesisCaller:
    """Calls of the Kinesis API on one connection, signed by nobody: the embedded server does not verify signatures."""

    def __init__(self, endpoint_url: str) -> None:
        address = urlsplit(endpoint_url)
        self._connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=_HTTP_TIMEOUT_S)

    def call(self, operation: str, members: dict[str, Any]) -> dict[str, Any]:
        """The members of the answer. Raises KinesisCallError, OSError."""
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"Kinesis_20131202.{operation}",
            "Authorization": "unsigned",
        }
        self._connection.request("POST", "/", orjson.dumps(members), headers)
        answer = self._connection.getresponse()
        body: dict[str, Any] = orjson.loads(answer.read() or b"{}")
        if answer.status != http.client.OK:
            raise KinesisCallError(operation, str(body.get("__type")), str(body.get("message")))
        return body

    def close(self) -> None:
        self._connection.close()


@dataclass(slots=True)
class _Reading:
    iterator: str
    records: StoredShard = field(default_factory=StoredShard)
    at_tip: bool = False


class ReadBack:
    """Reads from the start of the block on; `finish` reads on to the tip of every shard and gives all of it."""

    def __init__(self, endpoint_url: str, stream: str) -> None:
        self._caller = KinesisCaller(endpoint_url)
        self._stream = stream
        self._finishing = Event()
        self._abandoned = Event()
        self._failure: Exception | None = None
        self._readings = {shard_id: _Reading(self._start_of(shard_id)) for shard_id in self._shard_ids()}
        self._thread = Thread(target=self._run, name="read-back", daemon=True)

    @property
    def records(self) -> int:
        """Records read so far."""
        return sum(len(reading.records.digests) for reading in self._readings.values())

    @property
    def shards(self) -> int:
        return len(self._readings)

    def finish(self) -> dict[str, StoredShard]:
        """Everything in the stream now, by shard. Raises DemoError when it cannot be read."""
        self._finishing.set()
        self._thread.join(FINISH_TIMEOUT_S)
        if self._thread.is_alive():
            raise DemoError(f"The stream was not read to its end within {FINISH_TIMEOUT_S:g} s.")
        self.check()
        return {shard_id: reading.records for shard_id, reading in self._readings.items()}

    def check(self) -> None:
        """Raises DemoError when the reading has failed."""
        if self._failure is not None:
            raise DemoError(f"Reading the stream back failed: {self._failure}") from self._failure

    def __enter__(self) -> "ReadBack":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._abandoned.set()
        self._finishing.set()
        self._thread.join(FINISH_TIMEOUT_S)
        self._caller.close()

    def _run(self) -> None:
        try:
            while not self._abandoned.is_set():
                # Asked before the reads: what they call the tip must have been it after the job's end.
                finishing = self._finishing.is_set()
                started = time.monotonic()
                for reading in self._readings.values():
                    if not self._abandoned.is_set():
                        self._read(reading)
                if finishing and all(reading.at_tip for reading in self._readings.values()):
                    return
                self._finishing.wait(max(0.0, started + READ_INTERVAL_S - time.monotonic()))
        except (DemoError, OSError, http.client.HTTPException, KeyError, ValueError) as error:
            self._failure = error

    def _read(self, reading: _Reading) -> None:
        try:
            answer = self._caller.call("GetRecords", {"ShardIterator": reading.iterator, "Limit": GET_RECORDS_RECORDS_MAX})
        except KinesisCallError as error:
            if error.code != _THROTTLED:
                raise
            reading.at_tip = False
            self._abandoned.wait(READ_INTERVAL_S / 5)
            return
        records = answer["Records"]
        reading.records.partition_keys += [record["PartitionKey"] for record in records]
        reading.records.digests.extend(xxh3_64_intdigest(pybase64.b64decode(record["Data"])) for record in records)
        reading.at_tip = answer["MillisBehindLatest"] == 0
        if answer["NextShardIterator"] is None:
            raise DemoError("a shard was closed during the demonstration")
        reading.iterator = answer["NextShardIterator"]

    def _shard_ids(self) -> list[str]:
        shards = self._caller.call("ListShards", {"StreamName": self._stream})["Shards"]
        return [shard["ShardId"] for shard in shards]

    def _start_of(self, shard_id: str) -> str:
        members = {"StreamName": self._stream, "ShardId": shard_id, "ShardIteratorType": "TRIM_HORIZON"}
        return str(self._caller.call("GetShardIterator", members)["ShardIterator"])
