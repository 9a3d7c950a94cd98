"""Streams and their shards, through aiobotocore's client."""

import asyncio
from collections.abc import Awaitable
from itertools import compress
from operator import not_
from typing import Any

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from bridge.adapters.kinesis.put_records import stream_member
from bridge.core.delivery.shard_map import Shard, ShardMap
from bridge.core.errors import AnswerError, RefusedError, UnavailableError
from bridge.core.quotas import HASH_KEY_MAX, KIB, RECORD_BYTES_MAX_DEFAULT
from bridge.ports import StreamDescription

TIMEOUT_S = 15.0
PAGES_MAX = 1000
HOUR_MS = 3_600_000
_NOT_PUT = ("DryRunOperationException", "InvalidArgumentException", "ValidationException")
_PASSING = {"LimitExceededException", "ResourceInUseException", "ThrottlingException", "InternalFailure", "ServiceUnavailable"}


class KinesisShardDirectory:
    """`ShardDirectory` over an aiobotocore client of its own."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - aiobotocore is untyped
        self._client = client

    async def describe(self, stream: str) -> StreamDescription:
        """See `ShardDirectory`."""
        member = stream_member(stream)
        summary = (await _answered(self._client.describe_stream_summary(**member)))["StreamDescriptionSummary"]
        status = summary["StreamStatus"]
        if status not in ("ACTIVE", "UPDATING"):
            raise UnavailableError(f"stream {stream} is {status}")
        if summary.get("RecordDistributionStrategy", "USER_PARTITION_KEY") == "AUTO":
            raise RefusedError(
                f"stream {stream} ignores partition keys (record distribution strategy AUTO), so nothing keeps its order: "
                "set it to USER_PARTITION_KEY"
            )
        shards = await self._shards(member)
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
        return StreamDescription(shard_map, kib * KIB if kib else RECORD_BYTES_MAX_DEFAULT, created_ms, retention_ms)

    async def try_to_write(self, stream: str) -> None:
        """See `ShardDirectory`.

        `DryRun` where the endpoint has it; and a hash key one above the space, so that an endpoint without it refuses the
        record too. Whoever may not write is told so before either is looked at.
        """
        record = {"Data": b"", "PartitionKey": "dry-run", "ExplicitHashKey": str(HASH_KEY_MAX + 1)}
        try:
            await _answered(self._client.put_records(**stream_member(stream), DryRun=True, Records=[record]))
        except RefusedError as error:
            if not any(code in str(error) for code in _NOT_PUT):
                raise

    async def _shards(self, member: dict[str, str]) -> list[dict[str, Any]]:
        answer = await _answered(self._client.list_shards(**member))
        shards = list(answer["Shards"])
        for _ in range(PAGES_MAX):
            if not answer.get("NextToken"):
                return shards
            answer = await _answered(self._client.list_shards(NextToken=answer["NextToken"]))
            shards += answer["Shards"]
        raise UnavailableError(f"ListShards did not end after {PAGES_MAX} pages")


async def _answered(call: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """The answer, or the library's exception as ours."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await call
    except ClientError as error:
        code = error.response["Error"]["Code"]
        status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        kind = UnavailableError if code in _PASSING or status >= 500 else RefusedError
        raise kind(f"{error.operation_name}: {code}: {error.response['Error'].get('Message', '')}") from error
    except TimeoutError as error:
        raise UnavailableError(f"no answer within {TIMEOUT_S:g} s") from error
    except (BotoCoreError, aiohttp.ClientError) as error:
        refused = type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError")
        raise (RefusedError if refused else UnavailableError)(str(error)) from error
