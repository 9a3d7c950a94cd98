"""`bridge config check`: everything that is wrong with the configuration, or what it amounts to."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bridge.app.jobs.online_check import CheckResult
from bridge.app.settings import Problem, Settings, SettingsError, effective, load_settings, summary_lines, warnings
from bridge.bootstrap import check_online
from bridge.cli.options import ConfigFile, ExitStatus, Output, OutputOption, echo_json, problems_data, problems_text

OnlineOption = Annotated[
    bool, typer.Option("--online", help="Also tries everything that is needed of Kafka and Kinesis; changes nothing there.")
]


def check(config: ConfigFile, output: OutputOption = Output.TABLE, online: OnlineOption = False) -> None:
    """Checks the configuration file and shows all problems at once (exit status 2), or the effective configuration.

    With --online: exit status 1 where something is missing or not allowed, 5 where Kafka or Kinesis cannot be reached.
    """
    try:
        settings = load_settings(config)
    except SettingsError as error:
        _show_problems(config, error.problems, output)
        raise typer.Exit(ExitStatus.CONFIGURATION) from None
    results = asyncio.run(check_online(settings)) if online else None
    _show_settings(config, settings, output, results)
    failed = [result for result in results or () if result.problem is not None]
    if failed:
        raise typer.Exit(ExitStatus.FAILED if any(result.reachable for result in failed) else ExitStatus.NOT_REACHABLE)


def _show_problems(config: Path, problems: list[Problem], output: Output) -> None:
    if output is Output.JSON:
        echo_json({"valid": False, "problems": problems_data(problems)})
    else:
        typer.echo(problems_text(config, problems))


def _show_settings(config: Path, settings: Settings, output: Output, results: list[CheckResult] | None) -> None:
    advice = warnings(settings)
    if output is Output.JSON:
        document = {"valid": True, "problems": [], "warnings": problems_data(advice), "settings": effective(settings)}
        echo_json(document if results is None else {**document, "online": [asdict(result) for result in results]})
        return
    typer.echo(f"{config}: valid")
    for line in summary_lines(settings):
        typer.echo(f"  {line}")
    if advice:
        typer.echo(problems_text(config, advice, "warning"))
    for result in results or ():
        mark = "ok     " if result.problem is None else "FAILED "
        typer.echo(f"  {mark}{result.subject}" + (f": {result.problem}" if result.problem else ""))
