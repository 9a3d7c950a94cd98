"""Reads the shards of streams back, through aiobotocore's client."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from graphlib import TopologicalSorter
from random import Random
from typing import Any

import orjson
from botocore.exceptions import ClientError
from pybase64 import b64decode

from bridge.adapters.kinesis.answers import answered, date_s, every_shard
from bridge.adapters.kinesis.put_records import stream_member
from bridge.core.proof.shard_reads import ReadableShard, ReadableStream, ReadStart, ShardRead
from bridge.core.quotas import GET_RECORDS_BYTES_PER_S, GET_RECORDS_RECORDS_MAX
from bridge.core.records import ShardRecords
from bridge.ports import Clock

PACE_S = 0.4
"""From one read of a shard to the next: half of the 5 calls a second that a shard allows are left to its other readers."""
BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 8.0
"""After a throttle, doubled from one to the next; between half of it and all of it, so that readers do not meet again."""

_THROTTLED = {"ProvisionedThroughputExceededException", "LimitExceededException", "ThrottlingException", "KMSThrottlingException"}


_COLUMNS = "bridge-columns"
"""Where an answer holds its records, once they were taken out of it."""


class _ThrottledError(Exception):
    """The shard is read by others too, or too much was read of it."""


class _ExpiredError(Exception):
    """An iterator lives five minutes."""


class KinesisShardReader:
    """`ShardReader` over an aiobotocore client that makes one attempt."""

    def __init__(self, client: Any, clock: Clock, chance: Random) -> None:  # noqa: ANN401 - aiobotocore is untyped
        """By `chance` those that wait for the same shard do not come again together."""
        self._client = client
        self._clock = clock
        self._chance = chance
        client.meta.events.register("before-parse.kinesis.GetRecords", _take_records, unique_id=_COLUMNS)

    async def shards(self, stream: str) -> ReadableStream:
        """See `ShardReader`."""
        member = stream_member(stream)
        summary = (await answered(self._client.describe_stream_summary(**member)))["StreamDescriptionSummary"]
        shards = {shard["ShardId"]: shard for shard in await every_shard(self._client, member)}
        order = TopologicalSorter({shard_id: _parents(shard) for shard_id, shard in sorted(shards.items())}).static_order()
        created = summary.get("StreamCreationTimestamp")
        return ReadableStream(
            tuple(_readable(shards[shard_id]) for shard_id in order if shard_id in shards),
            summary["RetentionPeriodHours"] * 3_600_000,
            None if created is None else round(created.timestamp() * 1000),
        )

    async def read(self, stream: str, shard_id: str, start: ReadStart) -> AsyncGenerator[ShardRead, None]:
        """See `ShardReader`."""
        iterator: str | None = None
        backoff_s = BACKOFF_FIRST_S
        while True:
            sent_at = self._clock.monotonic()
            try:
                if iterator is None:
                    iterator = await self._iterator(stream, shard_id, start)
                sent_at = self._clock.monotonic()
                answer = await _told_apart(self._client.get_records(ShardIterator=iterator, Limit=GET_RECORDS_RECORDS_MAX))
            except _ExpiredError:
                iterator = None
                continue
            except _ThrottledError:
                await asyncio.sleep(backoff_s * self._chance.uniform(0.5, 1))
                backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)
                continue
            backoff_s = BACKOFF_FIRST_S
            iterator = answer.get("NextShardIterator")
            records: ShardRecords = answer[_COLUMNS] if _COLUMNS in answer else _columns(answer["Records"])
            if records.sequence_numbers:
                start = ReadStart(after=records.sequence_numbers[-1])
            received_at = self._clock.monotonic()
            is_at_tip = iterator is None or answer.get("MillisBehindLatest") == 0
            yield ShardRead(records, sent_at, received_at, date_s(answer), is_at_tip, iterator is None)
            if iterator is None:
                return
            size = sum(map(len, records.datas)) + sum(map(len, records.partition_keys))
            pause_s = max(PACE_S, size / GET_RECORDS_BYTES_PER_S)
            await asyncio.sleep(sent_at + pause_s - self._clock.monotonic())

    async def _iterator(self, stream: str, shard_id: str, start: ReadStart) -> str:
        where: dict[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}
        if start.after is not None:
            where = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": str(start.after)}
        elif start.at_ms > 0:
            where = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": start.at_ms // 1000}
        call = self._client.get_shard_iterator(**stream_member(stream), ShardId=shard_id, **where)
        iterator: str = (await _told_apart(call))["ShardIterator"]
        return iterator


async def _told_apart(call: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """The answer. Raises _ThrottledError, _ExpiredError, and what `answered` raises."""

    async def told_apart() -> dict[str, Any]:
        try:
            return await call
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _THROTTLED:
                raise _ThrottledError from error
            if code == "ExpiredIteratorException":
                raise _ExpiredError from error
            raise

    return await answered(told_apart())


def _parents(shard: dict[str, Any]) -> tuple[str, ...]:
    return tuple(shard[name] for name in ("ParentShardId", "AdjacentParentShardId") if shard.get(name))


def _readable(shard: dict[str, Any]) -> ReadableShard:
    hash_keys = shard["HashKeyRange"]
    return ReadableShard(
        shard["ShardId"],
        int(hash_keys["StartingHashKey"]),
        int(hash_keys["EndingHashKey"]),
        _parents(shard),
        "EndingSequenceNumber" in shard["SequenceNumberRange"],
    )


def _take_records(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Takes the records out of an answer before botocore parses it, which costs ten times as much (a date, and a look at the
    model for each member). What is not as expected is left to it."""
    try:
        document = orjson.loads(response_dict["body"])
        records = document["Records"]
        columns = ShardRecords(
            [int(record["SequenceNumber"]) for record in records],
            [round(record["ApproximateArrivalTimestamp"] * 1000) for record in records],
            [record["PartitionKey"] for record in records],
            [b64decode(record["Data"]) for record in records],
        )
    except (KeyError, TypeError, ValueError):
        return
    response_dict["body"] = orjson.dumps({**document, "Records": []})
    customized_response_dict[_COLUMNS] = columns


def _columns(records: list[dict[str, Any]]) -> ShardRecords:
    return ShardRecords(
        [int(record["SequenceNumber"]) for record in records],
        [round(record["ApproximateArrivalTimestamp"].timestamp() * 1000) for record in records],
        [record["PartitionKey"] for record in records],
        [record["Data"] for record in records],
    )
