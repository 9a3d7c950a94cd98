"""`bridge status`: the whole bridge, told from Kafka."""

import asyncio
import time
from collections import Counter
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from bridge.app.jobs.status import RouteStatus, Status
from bridge.cli.options import ConfigFile, ExitStatus, Output, OutputOption, echo_json, settings_or_exit
from bridge.core.errors import RefusedError, UnavailableError

WATCH_S = 2.0


def status(
    config: ConfigFile,
    output: OutputOption = Output.TABLE,
    watch: Annotated[bool, typer.Option("--watch", help="Shows it again every two seconds, with rates.")] = False,
) -> None:
    """Routes, lag, halted partitions and replicas of the whole bridge. Needs Kafka only, no running daemon."""
    from bridge.bootstrap_jobs import status as ask_status  # loads every client: not for commands that need none

    settings = settings_or_exit(config)
    try:
        found = asyncio.run(ask_status(settings))
        if output is Output.JSON:
            echo_json(asdict(found))
            return
        if not watch:
            Console().print(render(found))
            return
        with Live(render(found)) as live:
            while True:
                time.sleep(WATCH_S)
                before, found = found, asyncio.run(ask_status(settings))
                live.update(render(found, before))
    except UnavailableError as error:
        typer.echo(f"kafka.bootstrap_servers {settings.kafka.bootstrap_servers}: {error}", err=True)
        raise typer.Exit(ExitStatus.NOT_REACHABLE) from None
    except RefusedError as error:
        typer.echo(f"kafka.group {settings.kafka.group}: {error}", err=True)
        raise typer.Exit(ExitStatus.FAILED) from None
    except KeyboardInterrupt:
        raise typer.Exit(ExitStatus.INTERRUPTED) from None


def render(status: Status, before: Status | None = None) -> Group:
    """Tables for people; with the status of `WATCH_S` ago, rates too."""
    routes = Table("route", "stream", "partitions", "lag", "lag seconds", "halted", "owners", *(["records/s"] if before else []))
    earlier = {route.route: route for route in before.routes} if before else {}
    for route in status.routes:
        seconds = "unknown" if route.lag_seconds is None else f"{route.lag_seconds:.1f}"
        cells = [route.route, " ".join(route.streams), str(len(route.partitions)), str(route.lag_records), seconds]
        rate = [f"{_rate(route, earlier[route.route]):.0f}"] if route.route in earlier else []
        routes.add_row(*cells, str(route.halted) if route.halted else "", _owners(route), *rate)
    halted = Table("halted partition", "offset", "reason", "what to do")
    for route in status.routes:
        for row in route.partitions:
            if row.halted:
                halted.add_row(f"{row.topic}-{row.partition}", str(row.halted_at), row.halted, row.remedy or "")
    hot = Table("hot lane of", "hash key begins", "sends records/s, one per round trip", "one aggregate would carry")
    for row in (row for route in status.routes for row in route.partitions):
        if row.hot_lane:
            lane = row.hot_lane
            hot.add_row(f"{row.topic}-{row.partition}", lane.hash_key, str(lane.records_per_s), str(lane.aggregate_records))
    members = Table("replica", "host", "partitions")
    for member in status.members:
        members.add_row(member.client_id, member.host, str(member.partitions))
    title = f"bridge {status.name}, consumer group {status.group}"
    replicas = members if members.row_count else "no replica is running"
    return Group(title, routes, *(table for table in (halted, hot) if table.row_count), replicas, *status.notes)


def _owners(route: RouteStatus) -> str:
    """A line for each process: how many partitions it has committed last, by their state."""
    counts: dict[str, Counter[str]] = {}
    for ownership in (row.ownership for row in route.partitions):
        if ownership:
            counts.setdefault(ownership.owner, Counter())["open" if ownership.is_open else "clean"] += 1
    lines = (f"{owner}: " + ", ".join(f"{n} {state}" for state, n in sorted(of.items())) for owner, of in sorted(counts.items()))
    return "\n".join(lines)


def _rate(route: RouteStatus, before: RouteStatus) -> float:
    return (_committed(route) - _committed(before)) / WATCH_S


def _committed(route: RouteStatus) -> int:
    return sum(row.committed or 0 for row in route.partitions)
