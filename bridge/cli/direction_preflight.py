"""`bridge direction preflight`: whether routes could change their direction now."""

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from bridge.app.jobs.preflight import Asked, RoutePreflight
from bridge.cli.direction_show import RoutesOption, control_data
from bridge.cli.options import ConfigFile, ExitStatus, Output, OutputOption, echo_json, exit_of_trouble, settings_or_exit
from bridge.core.direction.control_record import Held
from bridge.core.direction.direction import Direction


def preflight(
    config: ConfigFile,
    to: Annotated[Direction, typer.Option("--to", help="The direction that is thought of.")],
    routes: RoutesOption = None,
    held: Annotated[Held | None, typer.Option("--held", help="What would become of records that are held.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Names every guard that does not hold, with its reason and what to do. Looks at Kafka and Kinesis, changes nothing.

    Exit status 3 where a guard refuses, also one whose facts are not yet measurable.
    """
    from bridge.bootstrap_jobs import preflight as ask  # loads every client: not for commands that need none

    settings = settings_or_exit(config)
    with exit_of_trouble():
        found = asyncio.run(ask(settings, Asked(to, held, routes)))
    allowed = all(route.is_allowed for route in found)
    if output is Output.JSON:
        echo_json({"to": to, "allowed": allowed, "routes": [_data(route) for route in found]})
    else:
        for route in found:
            _show(route, to)
    raise typer.Exit(ExitStatus.DONE if allowed else ExitStatus.GUARD)


def _data(route: RoutePreflight) -> dict[str, object]:
    return {
        "route": route.route,
        "stream": route.stream,
        "allowed": route.is_allowed,
        "control": control_data(route.control) if route.control else None,
        "refused": [asdict(refused) for refused in route.refused],
        "notes": route.notes,
    }


def _show(route: RoutePreflight, to: Direction) -> None:
    now = f"{route.control.direction}, epoch {route.control.epoch}" if route.control else "none yet"
    verdict = "every guard holds" if route.is_allowed else f"{len(route.refused)} guards refuse"
    typer.echo(f"{route.route} (direction {now}) to {to}: {verdict}")
    for refused in route.refused:
        typer.echo(f"  {refused.guard}{'' if refused.overridable else ' (cannot be overridden)'}")
        typer.echo(f"    why     {refused.reason}\n    to do   {refused.remedy}")
    for note in route.notes:
        typer.echo(f"  note    {note}")
