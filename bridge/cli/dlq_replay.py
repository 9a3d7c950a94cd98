"""`bridge dlq replay`: carries parked records after all."""

import asyncio
from collections import Counter
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bridge.app.jobs.dead_letters import Choice
from bridge.app.jobs.replay import Line, Replaying
from bridge.cli.dlq_list import Reason
from bridge.cli.dlq_show import place
from bridge.cli.options import ConfigFile, ExitStatus, Output, OutputOption, echo_json, exit_of_trouble, settings_or_exit


def replay(
    config: ConfigFile,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="topic-partition@offset.")] = None,
    output: OutputOption = Output.TABLE,
    every: Annotated[bool, typer.Option("--all", help="All of them, or all with this reason.")] = False,
    reason: Reason = None,
    again: Annotated[bool, typer.Option("--again", help="Also those that were replayed before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tells which they are.")] = False,
) -> None:
    """Sends parked records through the mapping and the line to Kinesis, and marks those that it confirmed.

    What still cannot be carried stays parked; then the exit status is 1. Order holds among the records of a replay, not towards
    what was carried meanwhile.
    """
    from bridge.bootstrap_jobs import replay_dead_letters  # loads every client: not for commands that need none

    if bool(ids) == every:
        raise typer.BadParameter("name the records, or write --all (with --reason where not all are meant)")
    how = Replaying(Choice(frozenset(map(place, ids or [])), reason=reason), dry_run, again)
    settings = settings_or_exit(config)
    with exit_of_trouble():
        lines = asyncio.run(replay_dead_letters(settings, how, _progress))
    if output is Output.JSON:
        echo_json([asdict(line) for line in lines])
    else:
        _show(lines)
    raise typer.Exit(ExitStatus.DONE if all(line.done for line in lines) else ExitStatus.FAILED)


def _progress(done: int, all_of_them: int) -> None:
    typer.echo(f"{done} of {all_of_them}", err=True)


def _show(lines: list[Line]) -> None:
    table = Table("id", "what became of it", "reason", "detail")
    table.columns[0].overflow = "fold"
    for line in lines:
        table.add_row(line.id, line.fate.replace("_", " "), line.reason, line.detail)
    if lines:
        Console().print(table)
    counts = Counter(line.fate for line in lines)
    typer.echo(", ".join(f"{count} {fate.replace('_', ' ')}" for fate, count in counts.items()) or "nothing to replay")
