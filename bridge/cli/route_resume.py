"""`bridge route resume`: a halted partition goes on, by the operator's word."""

import asyncio
from getpass import getuser
from typing import Annotated

import typer

from bridge.app.jobs.resume import Word
from bridge.cli.options import ConfigFile, Output, OutputOption, echo_json, exit_of_trouble, settings_or_exit, with_options_of
from bridge.core.direction.resume import Resume, Way
from bridge.core.records import Partition


def one_way(
    skip: Annotated[bool, typer.Option("--skip", help="The record is left out, and counted.")] = False,
    park: Annotated[bool, typer.Option("--park", help="The record goes to the dead-letter topic.")] = False,
    resend: Annotated[bool, typer.Option("--resend", help="The record is looked at again: the default.")] = False,
) -> Way:
    """The three options as one."""
    if skip + park + resend > 1:
        raise typer.BadParameter("write one of --skip, --park, --resend")
    return Way.SKIP if skip else Way.PARK if park else Way.RESEND


@with_options_of(one_way)
def resume(
    config: ConfigFile,
    route: Annotated[str, typer.Option("--route", help="Topic of the partition.", metavar="TOPIC")],
    partition: Annotated[int, typer.Option("--partition", min=0, help="Its number.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for those who look at it later.", metavar="TEXT")],
    output: OutputOption = Output.TABLE,
    **flags: bool,
) -> None:
    """Writes into the control topic what becomes of the record at which a partition is halted; its owner finds it in seconds.

    Needs Kafka only; without a running daemon the next one heeds it. Exit status 1 where the partition is not halted, or where
    its halt is none that a word about one record ends.
    """
    from bridge.bootstrap_jobs import resume as say  # loads every client: not for commands that need none

    way = one_way(**flags)
    if not reason.strip():
        raise typer.BadParameter("write why, for those who look at it later", param_hint="--reason")
    settings = settings_or_exit(config)
    with exit_of_trouble():
        said = asyncio.run(say(settings, Word(Partition(route, partition), way, _user(), reason)))
    if output is Output.JSON:
        echo_json(_data(said))
        return
    done = {Way.RESEND: "is looked at again", Way.SKIP: "is left out", Way.PARK: "goes to the dead-letter topic"}
    typer.echo(f"{said.partition}: the record at offset {said.offset} ({said.reason}) {done[said.way]} (see `bridge status`)")


def _user() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        return "unknown"


def _data(said: Resume) -> dict[str, object]:
    return {
        "route": said.partition.topic,
        "partition": said.partition.number,
        "offset": said.offset,
        "reason": said.reason,
        "way": said.way,
        "who": said.who,
        "why": said.why,
        "at_ms": said.at_ms,
    }
