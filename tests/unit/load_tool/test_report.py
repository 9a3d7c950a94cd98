"""Verdicts, the table, the JSON document."""

import io
import math
from typing import Any

import orjson
import pytest
from rich.console import Console

from loadtest.figures import Figures
from loadtest.report import PartReport, document, print_report
from loadtest.scenario import Limit, Part
from loadtest.stage import Outcome
from loadtest.verdict import judge, passed

LIMITS = {"cpu_ratio": Limit(min=3), "latency_p99_ms": Limit(max=90)}
SETTINGS: dict[str, Any] = {
    "name": "n",
    "kafka": {"bootstrap_servers": "b:1", "properties": {"sasl.password": "hunter2", "client.rack": "a"}},
}


def report(figures: Figures) -> PartReport:
    part = Part.model_validate(
        {
            "name": "100 B",
            "partitions": 1,
            "keys": {"count": 1},
            "value_bytes": 100,
            "shards": 1,
            "window": {"warm_up_s": 1, "duration_s": 5},
            "verdicts": {name: limit.model_dump() for name, limit in LIMITS.items()},
        }
    )
    return PartReport(part, Outcome(figures, SETTINGS, {"rounds": [1]}), judge(LIMITS, figures), "not pinned")


@pytest.mark.parametrize(
    ("ratio", "latency", "good"),
    [(3.0, 90.0, True), (2.999, 90.0, False), (3.0, 90.1, False), (math.nan, 1.0, False), (4.0, math.inf, False)],
)
def test_a_verdict_holds_up_to_its_limit(ratio: float, latency: float, good: bool):
    assert passed(judge(LIMITS, {"cpu_ratio": ratio, "latency_p99_ms": latency})) is good


def test_what_was_not_measured_neither_holds_nor_fails():
    verdicts = judge(LIMITS, {"cpu_ratio": 4.0})
    assert [verdict.holds for verdict in verdicts] == [True, None]
    assert passed(verdicts)
    assert verdicts[1].text() == "not measured: production to answer, 99th percentile, ms <= 90"


def test_the_table_has_figures_in_rows_and_says_every_verdict():
    output = io.StringIO()
    console = Console(width=140, file=output)
    print_report(console, "line", "about it", [report({"cpu_ratio": 2.5, "records_per_s": 12345.6, "latency_p99_ms": 9})])
    text = output.getvalue()
    assert "12,346" in text
    assert "stored, MB/s" not in text
    assert "100 B: DOES NOT HOLD: records per CPU second, bridge : baseline >= 3: 2.50" in text
    assert "100 B: holds: production to answer, 99th percentile, ms <= 90: 9.0" in text


def test_the_document_is_json_and_has_no_secret():
    found = document("line", "2026-01-01T00:00:00+00:00", {"cores": 2}, [report({"cpu_ratio": 2.5, "latency_p99_ms": 9})])
    text = orjson.dumps(found).decode()
    assert "hunter2" not in text
    assert "sasl.password" in text
    assert found["passed"] is found["parts"][0]["passed"] is False
    assert found["parts"][0]["figures"]["cpu_ratio"] == 2.5
    assert found["parts"][0]["verdicts"][0] == {
        "figure": "cpu_ratio",
        "limit": {"min": 3.0},
        "value": 2.5,
        "holds": False,
        "text": "DOES NOT HOLD: records per CPU second, bridge : baseline >= 3: 2.50",
    }
    assert found["parts"][0]["bridge_configuration"]["kafka"]["properties"]["client.rack"] == "a"
    assert found["parts"][0]["settings"]["value_bytes"] == 100
    assert found["parts"][0]["rounds"] == [1]
    assert SETTINGS["kafka"]["properties"]["sasl.password"] == "hunter2"
