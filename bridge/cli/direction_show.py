"""`bridge direction show`: which way each route carries."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bridge.app.jobs.directions import RouteDirection
from bridge.cli.dlq_list import moment
from bridge.cli.options import ConfigFile, Output, OutputOption, echo_json, exit_of_trouble, settings_or_exit
from bridge.core.direction.control_record import ControlRecord

RoutesOption = Annotated[
    str | None, typer.Option("--routes", help="Only these: a topic, or a pattern that begins with ^.", metavar="PATTERN")
]


def show(config: ConfigFile, routes: RoutesOption = None, output: OutputOption = Output.TABLE) -> None:
    """Shows direction, epoch and phase of each route, and who asked for it. Needs Kafka only, no running daemon."""
    from bridge.bootstrap_jobs import directions  # loads every client: not for commands that need none

    settings = settings_or_exit(config)
    with exit_of_trouble():
        found = asyncio.run(directions(settings, routes))
    if output is Output.JSON:
        echo_json([_data(route) for route in found])
        return
    Console().print(_table(found))


def control_data(record: ControlRecord | None) -> dict[str, object]:
    """Of a control record, for JSON; nulls where there is none."""
    return {
        "direction": record and record.direction,
        "epoch": record and record.epoch,
        "phase": record and record.phase,
        "leaving": record and record.leaving,
        "since_ms": record and record.since_ms,
        "deadline_ms": record and record.deadline_ms,
        "who": record and record.who,
        "why": record and record.why,
        "held": record and record.held,
        "overridden": list(record.overridden) if record else [],
    }


def _data(route: RouteDirection) -> dict[str, object]:
    return {
        "route": route.route,
        **control_data(route.control),
        "partitions": route.partitions,
        "partitions_at_epoch": route.at_epoch,
        "partitions_unreadable": route.unreadable,
        "problem": route.problem,
    }


def _table(found: Sequence[RouteDirection]) -> Table:
    table = Table("route", "direction", "epoch", "phase", "since", "by", "why", "partitions at this epoch")
    for route in found:
        unreadable = f"; {route.unreadable} cannot be read (see `bridge status`)" if route.unreadable else ""
        at_epoch = f"{route.at_epoch} of {route.partitions}{unreadable}"
        if (record := route.control) is None:
            table.add_row(route.route, "none yet", "", "", "", "", route.problem or "no daemon has carried it", at_epoch)
        else:
            since = moment(record.since_ms)
            table.add_row(route.route, record.direction, str(record.epoch), record.phase, since, record.who, record.why, at_epoch)
    return table
