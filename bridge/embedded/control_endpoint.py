"""`/_control/` on the server's own port: what is asked of the server as an instrument, not as Kinesis.

`GET /_control/statistics` answers the document of `traffic_report`; `DELETE /_control/statistics` begins anew, with 204.
`PUT /_control/faults` takes the document of `fault_document` in place of the one before, or, with 400 and `problems`, nothing
of it; `GET` answers it with what each fault did (`FaultPlan.state`); `DELETE` ends all faults, with 204. Other methods get 405.
Calls under way keep what was decided for them.

Nothing here asks for a signature: the server is for the loopback and for test networks.
"""

from collections.abc import Callable

import orjson
from aiohttp import web

from bridge.embedded.fault_document import FaultDocumentError, read_document
from bridge.embedded.fault_plan import FaultPlan, no_faults
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.traffic import Traffic
from bridge.embedded.traffic_report import report

STATISTICS_PATH = "/_control/statistics"
FAULTS_PATH = "/_control/faults"


def control_routes(model: KinesisModel, clock: Callable[[], float]) -> list[web.RouteDef]:
    """Routes to add before those of Kinesis."""

    async def statistics(request: web.Request) -> web.Response:
        if request.method == "GET":
            return _json(report(model.traffic, clock()))
        if request.method == "DELETE":
            model.traffic = Traffic(clock())
            return web.Response(status=204)
        return _wrong_method(request, "GET", "DELETE")

    async def faults(request: web.Request) -> web.Response:
        if request.method == "PUT":
            try:
                document = read_document(await request.read())
            except FaultDocumentError as error:
                return _json({"problems": error.problems}, 400)
            model.faults = FaultPlan(document, clock())
        elif request.method == "DELETE":
            model.faults = no_faults()
            return web.Response(status=204)
        elif request.method != "GET":
            return _wrong_method(request, "GET", "PUT", "DELETE")
        return _json(model.faults.state())

    return [web.route("*", STATISTICS_PATH, statistics), web.route("*", FAULTS_PATH, faults)]


def _wrong_method(request: web.Request, *allowed: str) -> web.Response:
    problem = f"{request.method} {request.path}: use {' or '.join(allowed)}"
    return _json({"problems": [problem]}, 405, {"Allow": ", ".join(allowed)})


def _json(document: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(document), status=status, headers=headers, content_type="application/json")
