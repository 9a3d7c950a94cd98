"""`bridge config check`: everything that is wrong with the configuration, or what it amounts to."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bridge.app.jobs.online_check import CheckResult
from bridge.app.settings import Problem, Settings, SettingsError, effective, summary_lines, warnings
from bridge.cli.options import (
    ConfigFile,
    ExitStatus,
    Output,
    OutputOption,
    checked_settings,
    echo_json,
    problems_data,
    problems_text,
)


def check(
    config: ConfigFile,
    output: OutputOption = Output.TABLE,
    online: Annotated[
        bool, typer.Option("--online", help="Also tries what it needs of Kafka and Kinesis; changes nothing.")
    ] = False,
) -> None:
    """Checks the configuration file and shows all problems at once (exit status 2), or the effective configuration.

    With --online: exit status 1 where something was refused or does not exist, 5 where something cannot be reached.
    """
    from bridge.bootstrap_jobs import check_online  # loads every client: not for commands that need none

    try:
        settings = checked_settings(config)
    except SettingsError as error:
        _show_problems(config, error.problems, output)
        raise typer.Exit(ExitStatus.CONFIGURATION) from None
    tried = asyncio.run(check_online(settings)) if online else None
    if output is Output.JSON:
        echo_json(_data(settings, tried))
    else:
        _show_settings(config, settings)
        _show_tried(tried or [])
    raise typer.Exit(_exit_status(tried or []))


def _show_problems(config: Path, problems: list[Problem], output: Output) -> None:
    if output is Output.JSON:
        echo_json({"valid": False, "problems": problems_data(problems)})
    else:
        typer.echo(problems_text(config, problems))


def _show_settings(config: Path, settings: Settings) -> None:
    typer.echo(f"{config}: valid")
    for line in summary_lines(settings):
        typer.echo(f"  {line}")
    if advice := warnings(settings):
        typer.echo(problems_text(config, advice, "warning"))


def _show_tried(tried: list[CheckResult]) -> None:
    for result in tried:
        verdict = "works" if result.problem is None else f"{'fails' if result.reachable else 'not reachable'}: {result.problem}"
        if result.warning is not None:
            verdict += f", but {result.warning}"
        typer.echo(f"{result.subject}: {verdict}")


def _data(settings: Settings, tried: list[CheckResult] | None) -> dict[str, object]:
    data = {"valid": True, "problems": [], "warnings": problems_data(warnings(settings)), "settings": effective(settings)}
    return data if tried is None else {**data, "online": [asdict(result) for result in tried]}


def _exit_status(tried: list[CheckResult]) -> ExitStatus:
    if not all(result.reachable for result in tried):
        return ExitStatus.NOT_REACHABLE
    return ExitStatus.DONE if all(result.problem is None for result in tried) else ExitStatus.FAILED
