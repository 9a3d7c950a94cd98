"""Streams and their shards, through aiobotocore's client."""

from itertools import compress
from operator import not_
from typing import Any

from bridge.adapters.kinesis.answers import answered, date_s, every_shard
from bridge.adapters.kinesis.put_records import stream_member
from bridge.core.delivery.shard_map import Shard, ShardMap
from bridge.core.delivery.stream_description import StreamDescription
from bridge.core.errors import AnswerError, KeysIgnoredError, RefusedError, UnavailableError
from bridge.core.quotas import HASH_KEY_MAX, KIB, RECORD_BYTES_MAX_DEFAULT

HOUR_MS = 3_600_000
_NOT_PUT = ("DryRunOperationException", "InvalidArgumentException", "ValidationException")


class KinesisShardDirectory:
    """`ShardDirectory` over an aiobotocore client of its own."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - aiobotocore is untyped
        self._client = client

    async def describe(self, stream: str) -> StreamDescription:
        """See `ShardDirectory`."""
        member = stream_member(stream)
        answer = await answered(self._client.describe_stream_summary(**member))
        summary = answer["StreamDescriptionSummary"]
        status = summary["StreamStatus"]
        if status not in ("ACTIVE", "UPDATING"):
            raise UnavailableError(f"stream {stream} is {status}")
        if summary.get("RecordDistributionStrategy", "USER_PARTITION_KEY") == "AUTO":
            raise KeysIgnoredError(
                f"stream {stream} ignores partition keys (record distribution strategy AUTO), so nothing keeps its order: "
                "set it to USER_PARTITION_KEY"
            )
        shards = await every_shard(self._client, member)
        closed = ["EndingSequenceNumber" in shard["SequenceNumberRange"] for shard in shards]
        known = [
            Shard(s["ShardId"], int(s["HashKeyRange"]["StartingHashKey"]), int(s["HashKeyRange"]["EndingHashKey"]))
            for s in shards
        ]
        try:
            shard_map = ShardMap(compress(known, map(not_, closed)), compress(known, closed))
        except AnswerError as error:
            raise UnavailableError(f"stream {stream}: {error}") from error
        kib = summary.get("MaxRecordSizeInKiB")
        created = summary.get("StreamCreationTimestamp")
        created_ms = None if created is None else round(created.timestamp() * 1000)
        hours = summary.get("RetentionPeriodHours")
        retention_ms = None if hours is None else hours * HOUR_MS
        record_bytes_max = kib * KIB if kib else RECORD_BYTES_MAX_DEFAULT
        return StreamDescription(shard_map, record_bytes_max, created_ms, retention_ms, date_s(answer))

    async def try_to_write(self, stream: str) -> None:
        """See `ShardDirectory`.

        `DryRun` where the endpoint has it; and a hash key one above the space, so that an endpoint without it refuses the
        record too. Whoever may not write is told so before either is looked at.
        """
        record = {"Data": b"", "PartitionKey": "dry-run", "ExplicitHashKey": str(HASH_KEY_MAX + 1)}
        try:
            await answered(self._client.put_records(**stream_member(stream), DryRun=True, Records=[record]))
        except RefusedError as error:
            if not any(code in str(error) for code in _NOT_PUT):
                raise

    async def try_to_read(self, stream: str) -> None:
        """See `ShardDirectory`. Behind the newest record of one shard, so that nothing comes."""
        member = stream_member(stream)
        shard_id = (await answered(self._client.list_shards(**member, MaxResults=1)))["Shards"][0]["ShardId"]
        where = {"ShardId": shard_id, "ShardIteratorType": "LATEST"}
        iterator = (await answered(self._client.get_shard_iterator(**member, **where)))["ShardIterator"]
        await answered(self._client.get_records(ShardIterator=iterator, Limit=1))
