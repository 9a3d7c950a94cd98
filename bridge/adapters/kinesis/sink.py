"""PutRecords over one pooled HTTP session: our own body, botocore's signature, the session's credentials and endpoint."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import get_environ_proxies

from bridge.adapters.kinesis.answers import parsed_date
from bridge.adapters.kinesis.bounded_body import BoundedBody
from bridge.adapters.kinesis.put_records import CONTENT_TYPE, TARGET, decode, encode
from bridge.core.delivery.requests import Request
from bridge.core.records import Outcome, PutAnswer
from bridge.ports import Clock

KEEPALIVE_S = 15.0
"""Below the idle time after which the service or a proxy may close: a POST on such a connection ends in doubt."""
CONNECT_TIMEOUT_S = 3.0
SIGN_TIMEOUT_S = 20.0
"""Only when credentials have to be renewed does signing wait for anybody."""


class KinesisSink:
    """`Sink` over HTTP. One call is one request: it never retries."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        credentials: Any,  # noqa: ANN401 - aiobotocore is untyped
        region: str,
        endpoint_url: str,
        clock: Clock,
    ) -> None:
        self._http = http
        self._clock = clock
        self._credentials = credentials
        self._region = region
        self._url = endpoint_url.rstrip("/") + "/"
        # As botocore finds it, but once: aiohttp would look for it, and into .netrc, in a thread for each request.
        self._proxy = get_environ_proxies(self._url).get(self._url.split(":")[0])

    async def put(self, stream: str, request: Request, deadline: float) -> PutAnswer:
        """See `Sink`."""
        content = encode(stream, request)
        try:
            async with asyncio.timeout(SIGN_TIMEOUT_S):
                headers = await self._signed(content)
        except (BotoCoreError, ClientError, RuntimeError) as error:  # of whoever renews the credentials
            return PutAnswer(Outcome.FATAL, code=type(error).__name__, message=str(error))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return PutAnswer(Outcome.TRANSIENT, code="Credentials", message=f"cannot be renewed now: {error}")
        if headers is None:
            return PutAnswer(Outcome.FATAL, code="NoCredentials", message="no AWS credentials found")
        body = BoundedBody(content, CONTENT_TYPE, deadline, self._clock)
        try:
            # A redirect would send the records to a second place.
            posted = self._http.post(self._url, data=body, headers=headers, proxy=self._proxy, allow_redirects=False)
            async with posted as response:
                answer = decode(response.status, await response.read(), len(request))
                return replace(answer, date_s=parsed_date(response.headers.get("Date")))
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
            return PutAnswer(Outcome.FATAL, code="Tls", message=str(error))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return PutAnswer(Outcome.TRANSIENT, code="Unreachable", message=str(error))
        except TimeoutError:
            body.abort()
            return PutAnswer(Outcome.UNKNOWN, code="Timeout", message="no answer within the request timeout")
        except (aiohttp.ClientError, OSError) as error:
            body.abort()
            if body.is_late:
                return PutAnswer(Outcome.TRANSIENT, code="Late", message="the request could not be sent within its timeout")
            return PutAnswer(Outcome.UNKNOWN, code="ConnectionLost", message=str(error))

    async def _signed(self, body: bytes) -> dict[str, str] | None:
        if self._credentials is None:
            return None
        frozen = await self._credentials.get_frozen_credentials()
        headers = {"X-Amz-Target": TARGET, "Content-Type": CONTENT_TYPE, "Accept-Encoding": "identity"}
        signed = AWSRequest(method="POST", url=self._url, data=body, headers=headers)
        SigV4Auth(frozen, "kinesis", self._region).add_auth(signed)
        return dict(signed.headers.items())


@asynccontextmanager
async def open_sink(
    session: Any,  # noqa: ANN401 - aiobotocore is untyped
    endpoint_url: str,
    region: str,
    request_timeout_s: float,
    connections_max: int,
    clock: Clock,
) -> AsyncIterator[KinesisSink]:
    """A sink whose connections close at the end. TLS certificates are verified."""
    timeout = aiohttp.ClientTimeout(
        total=request_timeout_s, connect=min(CONNECT_TIMEOUT_S, request_timeout_s), sock_connect=CONNECT_TIMEOUT_S
    )
    # The same authorities as botocore takes: its ca_bundle setting, else the system's.
    ca_bundle = session.get_config_variable("ca_bundle")
    tls = ssl.create_default_context(cafile=ca_bundle if isinstance(ca_bundle, str) else None)
    connector = aiohttp.TCPConnector(
        limit=connections_max, keepalive_timeout=KEEPALIVE_S, ssl=tls, socket_factory=_sockets(request_timeout_s)
    )
    async with asyncio.timeout(30):
        credentials = await session.get_credentials()
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as http:
        yield KinesisSink(http, credentials, region, endpoint_url, clock)


def _sockets(timeout_s: float) -> Callable[[Any], socket.socket]:
    """The system gives up what was not acknowledged for so long, and does not send it again (TCP_USER_TIMEOUT, tcp(7))."""

    def opened(address: Any) -> socket.socket:  # noqa: ANN401 - of `getaddrinfo`
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(timeout_s * 1000))
        return made

    return opened
