"""A tiny AWS STS: answers AssumeRole with credentials that the test chooses, and keeps what was asked."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

from aiohttp import web

ANSWER = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>{access_key}</AccessKeyId><SecretAccessKey>{secret_key}</SecretAccessKey><SessionToken>{token}</SessionToken>
<Expiration>{expiration}</Expiration></Credentials><AssumedRoleUser><AssumedRoleId>AROA:x</AssumedRoleId>
<Arn>arn:aws:sts::123456789012:assumed-role/bridge/x</Arn></AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>"""
REFUSAL = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>AccessDenied</Code><Message>User: arn:aws:iam::123456789012:user/test is not authorized to perform: sts:AssumeRole
</Message></Error></ErrorResponse>"""


@dataclass
class FakeSts:
    """`lifetime` of the credentials that it gives; None: it refuses. They are numbered: ASIA1, ASIA2, ..."""

    lifetime: timedelta | None = timedelta(hours=1)
    secret_key: str = "assumed-secret-key"
    session_token: str = "assumed-session-token"
    calls: list[dict[str, str]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    endpoint_url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.calls.append(dict(parse_qsl(await request.text())))
        self.authorizations.append(request.headers.get("Authorization", ""))
        if self.lifetime is None:
            return web.Response(text=REFUSAL, status=403, content_type="text/xml")
        text = ANSWER.format(
            access_key=f"ASIA{len(self.calls)}",
            secret_key=self.secret_key,
            token=self.session_token,
            expiration=(datetime.now(UTC) + self.lifetime).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        return web.Response(text=text, content_type="text/xml")


@asynccontextmanager
async def serving_sts() -> AsyncIterator[FakeSts]:
    """Until the block ends."""
    sts = FakeSts()
    app = web.Application()
    app.router.add_post("/", sts.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        sts.endpoint_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield sts
    finally:
        await runner.cleanup()


@contextmanager
def running_sts() -> Iterator[FakeSts]:
    """The same from a thread, for callers in other processes."""
    started: Future[tuple[FakeSts, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        async with serving_sts() as sts:
            started.set_result((sts, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="sts")
    thread.start()
    sts, loop, stop = started.result(timeout=10)
    try:
        yield sts
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=10)
