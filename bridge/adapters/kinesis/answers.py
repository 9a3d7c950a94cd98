"""Answers of aiobotocore's client, and its exceptions as ours."""

import asyncio
from collections.abc import Awaitable
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from bridge.core.errors import RefusedError, UnavailableError

TIMEOUT_S = 15.0
PAGES_MAX = 1000
_PASSING = {"LimitExceededException", "ResourceInUseException", "ThrottlingException", "InternalFailure", "ServiceUnavailable"}


async def answered(call: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """The answer, or the library's exception as ours: UnavailableError, RefusedError."""
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


async def every_shard(client: Any, member: dict[str, str]) -> list[dict[str, Any]]:  # noqa: ANN401 - aiobotocore is untyped
    """All pages of ListShards. Raises UnavailableError, RefusedError."""
    answer = await answered(client.list_shards(**member))
    shards = list(answer["Shards"])
    for _ in range(PAGES_MAX):
        if not answer.get("NextToken"):
            return shards
        answer = await answered(client.list_shards(NextToken=answer["NextToken"]))
        shards += answer["Shards"]
    raise UnavailableError(f"ListShards did not end after {PAGES_MAX} pages")


def date_s(answer: dict[str, Any]) -> int | None:
    """What the service says its time is: see `parsed_date`."""
    return parsed_date(answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date"))


@lru_cache(maxsize=16)
def parsed_date(header: str | None) -> int | None:
    """Seconds since the epoch of the header `Date` (RFC 9110, IMF-fixdate); None without one that can be read."""
    try:
        return None if header is None else int(parsedate_to_datetime(header).timestamp())
    except ValueError:
        return None
