"""`bridge dlq list`: what is parked."""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bridge.app.jobs.dead_letters import Choice, Listing, list_letters
from bridge.cli.options import ConfigFile, Output, OutputOption, echo_json, exit_of_trouble, settings_or_exit

Topic = Annotated[str | None, typer.Option("--topic", help="Only records of this topic.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Only those parked for this reason, such as tombstone.")]


def show_list(
    config: ConfigFile,
    output: OutputOption = Output.TABLE,
    topic: Topic = None,
    reason: Reason = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, the last parked first.")] = 100,
) -> None:
    """Lists parked records, each once, however often it was parked. Needs Kafka only."""
    from bridge.bootstrap_jobs import dead_letter_reader  # loads every client: not for commands that need none

    settings = settings_or_exit(config)
    with exit_of_trouble():
        listing = asyncio.run(list_letters(settings, dead_letter_reader(settings), Choice(topic=topic, reason=reason), limit))
    if output is Output.JSON:
        echo_json(asdict(listing))
        return
    Console().print(_table(listing))
    for note in listing.notes:
        typer.echo(note)
    typer.echo(f"{listing.topic}: {len(listing.letters)} of {listing.total} shown")


def moment(milliseconds: int) -> str:
    """In UTC; empty for a record without a timestamp."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds") if milliseconds >= 0 else ""


def _table(listing: Listing) -> Table:
    table = Table("id", "reason", "parked", "route", "bytes", "times parked", "replayed")
    table.columns[0].overflow = "fold"
    for letter in listing.letters:
        replayed = "" if letter.replayed_at_ms is None else moment(letter.replayed_at_ms)
        route = "none carries it now" if letter.route is None else letter.route
        cells = (letter.id, letter.reason, moment(letter.parked_at_ms), route, str(letter.size), str(letter.copies), replayed)
        table.add_row(*cells)
    return table
