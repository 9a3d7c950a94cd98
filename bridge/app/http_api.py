"""The metrics port: /livez, /readyz and /metrics. Read only; no secrets, no keys or values of records."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from bridge.app.forward import ForwardLine
from bridge.app.telemetry import Telemetry

METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics_app(forward: ForwardLine, telemetry: Telemetry) -> web.Application:
    """The three read-only endpoints.

    /readyz is 200 while Kafka and every stream work, else 503 with the reasons. Halted partitions are listed in both
    cases, but do not make the daemon unready: their neighbours go on.
    """

    async def livez(_: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def readyz(_: web.Request) -> web.Response:
        problems = forward.problems()
        halted = [
            {
                "topic": partition.topic,
                "partition": partition.number,
                "offset": halt.offset,
                "reason": halt.reason,
                "detail": halt.detail,
                "remedy": halt.remedy,
            }
            for partition, halt in forward.halts().items()
        ]
        document = {"ready": not problems, "problems": problems, "halted": halted}
        return web.json_response(document, status=503 if problems else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=telemetry.render(), headers={"Content-Type": METRICS_CONTENT_TYPE})

    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    return app


@asynccontextmanager
async def serving(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serves until the end of the block; yields the port. Raises OSError where the address is taken."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
