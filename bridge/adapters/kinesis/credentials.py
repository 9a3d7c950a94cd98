"""Credentials for Kinesis: those of botocore's own chain, or of a role that they assume."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.credentials import (
    AioAssumeRoleCredentialFetcher,
    AioCredentialResolver,
    AioDeferredRefreshableCredentials,
)
from aiobotocore.session import AioSession, get_session
from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError, NoCredentialsError

METHOD = "assume-role"
STS_TIMEOUT_S = 5.0
"""For connecting, and for the answer; two attempts fit into the time that signing a request may take."""
SESSION_NAME_MAX = 64
"""AssumeRole in the API reference of AWS STS: RoleSessionName has 2 to 64 characters."""


@dataclass(frozen=True, slots=True)
class AssumedRole:
    """Role, external ID where its trust policy asks for one, and the name that AWS CloudTrail shows for the session."""

    arn: str
    external_id: str | None
    session_name: str


def kinesis_session(role: AssumedRole | None, region: str) -> AioSession:
    """A session that signs with the role's credentials, which are renewed ten to fifteen minutes before they expire.

    Without a role, botocore's own chain. The role is assumed when credentials are first needed, at the STS endpoint of the
    region; what goes wrong then is a CredentialRetrievalError that names `kinesis.role_arn`.
    """
    session = get_session()
    if role is not None:
        provider = _RoleProvider(get_session(), role, region)
        session.register_component("credential_provider", AioCredentialResolver([provider]))
    return session


class _RoleProvider:
    """A link of botocore's chain of credentials, and here the only one."""

    METHOD = METHOD

    def __init__(self, source: AioSession, role: AssumedRole, region: str) -> None:
        self._source = source
        self._role = role
        self._region = region

    async def load(self) -> AioDeferredRefreshableCredentials:
        return AioDeferredRefreshableCredentials(explained(self._role, self._fetch), METHOD)

    async def _fetch(self) -> dict[str, Any]:
        credentials = await self._source.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        extra = {"RoleSessionName": session_name(self._role.session_name)}
        if self._role.external_id is not None:
            extra["ExternalId"] = self._role.external_id
        fetcher = AioAssumeRoleCredentialFetcher(self._client, credentials, self._role.arn, extra_args=extra)
        fetched: dict[str, Any] = await fetcher.fetch_credentials()
        return fetched

    def _client(self, service: str, **keys: Any) -> Any:  # noqa: ANN401 - aiobotocore is untyped
        config = AioConfig(
            connect_timeout=STS_TIMEOUT_S,
            read_timeout=STS_TIMEOUT_S,
            retries={"total_max_attempts": 2},
        )
        return self._source.create_client(service, region_name=self._region, config=config, **keys)


def explained(role: AssumedRole, fetch: Callable[[], Awaitable[dict[str, Any]]]) -> Callable[[], Awaitable[dict[str, Any]]]:
    """The same fetch, whose errors name the key of the configuration and what to do."""

    async def fetch_credentials() -> dict[str, Any]:
        try:
            return await fetch()
        except ClientError as error:
            code, said = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
            external = "" if role.external_id is None else f" with the external ID {role.external_id}"
            problem = f"{code}: {said}: allow sts:AssumeRole on it to these credentials{external}, also in its trust policy"
        except (BotoCoreError, aiohttp.ClientError, OSError) as error:
            problem = f"{error}"
        raise CredentialRetrievalError(provider=METHOD, error_msg=f"kinesis.role_arn {role.arn}: {problem}")

    return fetch_credentials


def session_name(name: str) -> str:
    """As STS takes it."""
    return re.sub(r"[^\w+=,.@-]", "-", name, flags=re.ASCII)[:SESSION_NAME_MAX].ljust(2, "-")
