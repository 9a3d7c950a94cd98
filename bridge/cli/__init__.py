"""The command line: one file per command, registered here in one line each."""

from typing import Annotated

import typer

from bridge import __version__
from bridge.cli import (
    config_check,
    config_schema,
    config_topics,
    demo,
    direction_preflight,
    direction_show,
    dlq_list,
    dlq_replay,
    dlq_show,
    health,
    route_resume,
    run,
    status,
    translate,
)

# Typer's own tracebacks would show local variables, and with them secrets.
app = typer.Typer(name="bridge", no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
config = typer.Typer(
    no_args_is_help=True, help="The configuration file: check it, print its schema, or the topics that it needs."
)
app.add_typer(config, name="config")
dlq = typer.Typer(no_args_is_help=True, help="The dead letters: records that could not be carried, parked in their topic.")
app.add_typer(dlq, name="dlq")

direction = typer.Typer(no_args_is_help=True, help="Which way each route carries, and whether it could be changed.")
app.add_typer(direction, name="direction")
route = typer.Typer(no_args_is_help=True, help="Single routes: a halted partition goes on.")
app.add_typer(route, name="route")

app.command("run")(run.run)
app.command("demo")(demo.demo)
app.command("status")(status.status)
app.command("translate")(translate.translate)
app.command("health")(health.health)
config.command("check")(config_check.check)
config.command("schema")(config_schema.schema)
config.command("topics")(config_topics.topics)
dlq.command("list")(dlq_list.show_list)
dlq.command("show")(dlq_show.show)
dlq.command("replay")(dlq_replay.replay)
direction.command("show")(direction_show.show)
direction.command("preflight")(direction_preflight.preflight)
route.command("resume")(route_resume.resume)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bridge {__version__}")
        raise typer.Exit


@app.callback()
def _bridge(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Prints the version and exits.")
    ] = False,
) -> None:
    """Moves a live system from Apache Kafka to Amazon Kinesis Data Streams.

    Exit statuses: 0 done, 1 failed, 2 usage or configuration, 3 refused by a guard, 5 not reachable, 130 interrupted.
    """
