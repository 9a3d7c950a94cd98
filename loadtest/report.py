"""The report: a table for people, a JSON document for scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from bridge.app.settings.secrets import is_secret_name
from loadtest.figures import FIGURES, Figures, shown
from loadtest.scenario import Part
from loadtest.stage import Outcome
from loadtest.verdict import Verdict, passed


@dataclass(frozen=True, slots=True)
class PartReport:
    """One part with what was measured and judged."""

    part: Part
    outcome: Outcome
    verdicts: list[Verdict]
    pinning: str


def print_report(console: Console, name: str, about: str, reports: Sequence[PartReport]) -> None:
    """Figures as rows, parts as columns, then the verdicts."""
    print_figures(console, f"{name}: {about}", {report.part.name: report.outcome.figures for report in reports})
    for pinning in dict.fromkeys(report.pinning for report in reports):
        console.print(f"Pinning: {pinning}.", highlight=False)
    for report in reports:
        print_verdicts(console, report.part.name, report.verdicts)


def print_figures(console: Console, title: str, columns: Mapping[str, Figures]) -> None:
    """A table; figures that no column has are left out."""
    table = Table("", *columns, title=title)
    for figure, description in FIGURES.items():
        cells = [_cell(figure, figures.get(figure)) for figures in columns.values()]
        if any(cells):
            table.add_row(description.text, *cells)
    for column in table.columns[1:]:
        column.justify = "right"
    console.print(table)


def print_verdicts(console: Console, name: str, verdicts: Sequence[Verdict]) -> None:
    """One line each."""
    for verdict in verdicts:
        style = {True: "green", False: "bold red", None: "yellow"}[verdict.holds]
        console.print(f"{name}: {verdict.text()}", style=style, highlight=False, markup=False)


def _cell(figure: str, value: float | None) -> str:
    return "" if value is None else shown(figure, value)


def document(name: str, started: str, machine: dict[str, Any], reports: Sequence[PartReport]) -> dict[str, Any]:
    """The JSON document. Without secrets: of such properties of Kafka only the names are told."""
    return {
        "scenario": name,
        "started": started,
        "passed": all(passed(report.verdicts) for report in reports),
        "machine": machine,
        "parts": [_part_document(report) for report in reports],
    }


def _part_document(report: PartReport) -> dict[str, Any]:
    return {
        "name": report.part.name,
        "passed": passed(report.verdicts),
        "figures": report.outcome.figures,
        "verdicts": [verdict_document(verdict) for verdict in report.verdicts],
        "pinning": report.pinning,
        "settings": report.part.model_dump(mode="json"),
        "bridge_configuration": without_secrets(report.outcome.settings),
        **report.outcome.details,
    }


def verdict_document(verdict: Verdict) -> dict[str, Any]:
    """For the JSON document."""
    return asdict(verdict) | {"limit": verdict.limit.model_dump(exclude_none=True), "text": verdict.text()}


def without_secrets(settings: dict[str, Any]) -> dict[str, Any]:
    """The bridge's configuration with the values of secret properties left out."""
    kafka = settings["kafka"]
    properties = {name: "***" if is_secret_name(name) else value for name, value in kafka.get("properties", {}).items()}
    return settings | {"kafka": kafka | {"properties": properties}}
