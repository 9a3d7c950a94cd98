"""`bridge status`: the whole bridge, told from Kafka."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from bridge.app.jobs.status import LedgerStatus, PartitionStatus, RouteStatus, Status
from bridge.cli.options import ConfigFile, ExitStatus, Output, OutputOption, echo_json, settings_or_exit
from bridge.core.errors import RefusedError, UnavailableError

WATCH_S = 2.0
OPEN_SHOWN = 20
"""Open partitions that the table names."""


def status(
    config: ConfigFile,
    output: OutputOption = Output.TABLE,
    watch: Annotated[bool, typer.Option("--watch", help="Shows it again every two seconds.")] = False,
) -> None:
    """Routes, lag, leases, recoveries, halted partitions, ledger and replicas of the whole bridge. Needs Kafka only, no running
    daemon."""
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
    """Tables for people; rates are those of the commits, or by the status of `WATCH_S` ago."""
    rows = [row for route in status.routes for row in route.partitions]
    tables = (_open(rows), _halted(rows), _unreadable(rows), _hot(rows))
    members = Table("replica", "host", "partitions")
    for member in status.members:
        members.add_row(member.client_id, member.host, str(member.partitions))
    title = f"bridge {status.name}, consumer group {status.group}"
    replicas = members if members.row_count else "no replica is running"
    shown = (table for table in tables if table.row_count)
    return Group(title, _routes(status, before), *shown, replicas, *_ledger(status.ledger), *status.notes)


def _routes(status: Status, before: Status | None) -> Table:
    table = Table("route", "stream", "partitions", "lag", "lag seconds", "records/s", "halted", "owners")
    earlier = {route.route: route for route in before.routes} if before else {}
    for route in status.routes:
        seconds = "unknown" if route.lag_seconds is None else f"{route.lag_seconds:.1f}"
        cells = [route.route, " ".join(route.streams), str(len(route.partitions)), str(route.lag_records), seconds]
        rate = _rate(route, earlier[route.route]) if route.route in earlier else _observed(route)
        table.add_row(*cells, f"{rate:.0f}", str(route.halted) if route.halted else "", _owners(route))
    return table


def _open(rows: Sequence[PartitionStatus]) -> Table:
    """Those that wait for their recovery first, then those whose lease ends first."""
    opened = [row for row in rows if row.ownership and row.ownership.is_open]
    opened.sort(key=lambda row: (not row.awaits_recovery, row.lease_remaining_s or 0.0))
    more = f"and {len(opened) - OPEN_SHOWN} more: --output json has them all" if len(opened) > OPEN_SHOWN else None
    table = Table("open partition", "committed by", "assigned to", "lease", "watermark age", "recovery", caption=more)
    for row in opened[:OPEN_SHOWN]:
        owner = row.ownership.owner if row.ownership else ""
        age = "unknown" if row.watermark_age_s is None else f"{row.watermark_age_s:.1f} s"
        recovery = ("waits for its owner" if row.member else "waits, no owner") if row.awaits_recovery else ""
        table.add_row(_name(row), owner, row.member or "", _lease(row.lease_remaining_s), age, recovery)
    return table


def _lease(remaining_s: float | None) -> str:
    if remaining_s is None:
        return "none"
    return f"ends in {remaining_s:.1f} s" if remaining_s >= 0 else f"ended {-remaining_s:.1f} s ago"


def _halted(rows: Sequence[PartitionStatus]) -> Table:
    table = Table("halted partition", "offset", "reason", "what to do")
    for row in rows:
        if row.halted:
            table.add_row(_name(row), str(row.halted_at), row.halted, row.remedy or "")
    return table


def _unreadable(rows: Sequence[PartitionStatus]) -> Table:
    table = Table("partition that cannot be told", "committed offset", "what stands beside it")
    for row in rows:
        if row.unreadable:
            table.add_row(_name(row), str(row.committed), row.unreadable)
    return table


def _hot(rows: Sequence[PartitionStatus]) -> Table:
    table = Table("hot lane of", "hash key begins", "sends records/s, one per round trip", "one aggregate would carry")
    for row in rows:
        if lane := row.hot_lane:
            table.add_row(_name(row), lane.hash_key, str(lane.records_per_s), str(lane.aggregate_records))
    return table


def _ledger(ledger: LedgerStatus | None) -> list[str]:
    """One line, if there is a ledger."""
    if ledger is None:
        return []
    ends = f"{sum(ledger.end_offsets.values())} messages in {len(ledger.end_offsets)} slots so far"
    return [f"ledger {ledger.topic}: {ends}; a new owner of all open partitions would read {ledger.to_read} of them"]


def _name(row: PartitionStatus) -> str:
    return f"{row.topic}-{row.partition}"


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


def _observed(route: RouteStatus) -> float:
    return sum(row.ownership.records_per_s for row in route.partitions if row.ownership)


def _committed(route: RouteStatus) -> int:
    return sum(row.committed or 0 for row in route.partitions)
