"""`/_control/` on the server's own port: what is asked of the server as an instrument, not as Kinesis.

`GET /_control/statistics` answers the document of `traffic_report`; `DELETE /_control/statistics` begins anew, with 204.
Other methods get 405. Nothing here asks for a signature: the server is for the loopback and for test networks.
"""

from collections.abc import Callable

import orjson
from aiohttp import web

from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.traffic import Traffic
from bridge.embedded.traffic_report import report

STATISTICS_PATH = "/_control/statistics"


def control_routes(model: KinesisModel, clock: Callable[[], float]) -> list[web.RouteDef]:
    """Routes to add before those of Kinesis."""

    async def statistics(request: web.Request) -> web.Response:
        if request.method == "GET":
            return _json(report(model.traffic, clock()))
        if request.method == "DELETE":
            model.traffic = Traffic(clock())
            return web.Response(status=204)
        return _wrong_method(request, "GET", "DELETE")

    return [web.route("*", STATISTICS_PATH, statistics)]


def _wrong_method(request: web.Request, *allowed: str) -> web.Response:
    problem = f"{request.method} {request.path}: use {' or '.join(allowed)}"
    return _json({"problems": [problem]}, 405, {"Allow": ", ".join(allowed)})


def _json(document: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(document), status=status, headers=headers, content_type="application/json")
