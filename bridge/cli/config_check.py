"""`bridge config check`: everything that is wrong with the configuration, or what it amounts to."""

from pathlib import Path

import typer

from bridge.app.settings import Problem, Settings, SettingsError, effective, load_settings, summary_lines, warnings
from bridge.cli.options import ConfigFile, ExitStatus, Output, OutputOption, echo_json, problems_data, problems_text


def check(config: ConfigFile, output: OutputOption = Output.TABLE) -> None:
    """Checks the configuration file and shows all problems at once (exit status 2), or the effective configuration."""
    try:
        settings = load_settings(config)
    except SettingsError as error:
        _show_problems(config, error.problems, output)
        raise typer.Exit(ExitStatus.CONFIGURATION) from None
    _show_settings(config, settings, output)


def _show_problems(config: Path, problems: list[Problem], output: Output) -> None:
    if output is Output.JSON:
        echo_json({"valid": False, "problems": problems_data(problems)})
    else:
        typer.echo(problems_text(config, problems))


def _show_settings(config: Path, settings: Settings, output: Output) -> None:
    advice = warnings(settings)
    if output is Output.JSON:
        echo_json({"valid": True, "problems": [], "warnings": problems_data(advice), "settings": effective(settings)})
        return
    typer.echo(f"{config}: valid")
    for line in summary_lines(settings):
        typer.echo(f"  {line}")
    if advice:
        typer.echo(problems_text(config, advice, "warning"))
