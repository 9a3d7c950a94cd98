"""The metrics port over real HTTP."""

from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.app.forward import ForwardLine
from bridge.app.http_api import metrics_app, serving
from bridge.core.delivery.halts import HALTS, Halt
from bridge.core.records import Partition
from tests.unit.app.lines import LoggingTelemetry


class Line:
    """What the endpoints ask of the forward line."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.standing: dict[Partition, Halt] = {}

    def problems(self) -> list[str]:
        return self.said

    def halts(self) -> dict[Partition, Halt]:
        return self.standing


@pytest.fixture
async def api():
    line, telemetry = Line(), LoggingTelemetry()
    async with (
        serving(metrics_app(cast(ForwardLine, line), telemetry), "127.0.0.1", 0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
    ):
        yield SimpleNamespace(line=line, telemetry=telemetry, http=http, port=port)


async def get(api: Any, path: str) -> tuple[int, Any]:
    async with api.http.get(path) as response:
        return response.status, await response.json()


async def test_it_lives_whatever_the_line_does(api):
    api.line.said = ["kafka: gone"]
    assert await get(api, "/livez") == (200, {"live": True})


async def test_it_is_ready_while_nothing_is_wrong(api):
    assert await get(api, "/readyz") == (200, {"ready": True, "problems": [], "halted": []})


async def test_problems_make_it_unready_and_are_named(api):
    api.line.said = ["kafka: gone", "stream orders: missing"]
    status, document = await get(api, "/readyz")
    assert status == 503
    assert document == {"ready": False, "problems": ["kafka: gone", "stream orders: missing"], "halted": []}


async def test_halted_partitions_are_named_and_do_not_make_it_unready(api):
    api.line.standing = {Partition("orders", 3): Halt("tombstone", 17, "the value is null", 1)}
    status, document = await get(api, "/readyz")
    assert status == 200
    halted = {"topic": "orders", "partition": 3, "offset": 17, "reason": "tombstone", "detail": "the value is null"}
    assert document["halted"] == [halted | {"remedy": HALTS["tombstone"].remedy}]


async def test_metrics_are_prometheus_text(api):
    api.telemetry.count("bridge_records_read_total", 5, "orders")
    async with api.http.get("/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = await response.text()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert [sample.value for sample in families["bridge_records_read"].samples] == [5]


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/livez", 405), ("PUT", "/readyz", 405), ("GET", "/admin", 404)])
async def test_nothing_else_is_served(api, method, path, status):
    async with api.http.request(method, path) as response:
        assert response.status == status


async def test_a_taken_port_is_an_error(api):
    with pytest.raises(OSError, match="address"):
        async with serving(metrics_app(cast(ForwardLine, api.line), api.telemetry), "127.0.0.1", api.port):
            pytest.fail("served on a taken port")
