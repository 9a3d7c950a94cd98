"""What several commands share: the configuration file, the output format, and how a configuration error ends a command."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.app.settings import Problem, Settings, SettingsError, load_settings, security_file_problems
from bridge.core.errors import RefusedError, UnavailableError


class ExitStatus(IntEnum):
    """Exit statuses of every command."""

    DONE = 0
    FAILED = 1
    CONFIGURATION = 2
    GUARD = 3
    PARITY = 4
    NOT_REACHABLE = 5
    INTERRUPTED = 130


class Output(StrEnum):
    """For people, or for scripts."""

    TABLE = "table"
    JSON = "json"


ConfigFile = Annotated[
    Path, typer.Option("--config", envvar="BRIDGE_CONFIG", show_default=False, help="Configuration file (YAML).", metavar="FILE")
]
OutputOption = Annotated[Output, typer.Option("--output", help="A table for people, or JSON for scripts.")]


def settings_or_exit(config: Path) -> Settings:
    """The settings; or all problems on standard error and exit status 2."""
    try:
        return checked_settings(config)
    except SettingsError as error:
        typer.echo(problems_text(config, error.problems), err=True)
        raise typer.Exit(ExitStatus.CONFIGURATION) from None


def checked_settings(config: Path) -> Settings:
    """The settings, after a look at the files that they name, and the Kafka client library's at its properties.

    Raises SettingsError.
    """
    from bridge.bootstrap import check_client  # loads every client: not for commands that need none

    settings = load_settings(config, None, security_file_problems)
    if problem := check_client(settings):
        raise SettingsError([problem])
    return settings


@contextmanager
def exit_of_trouble() -> Iterator[None]:
    """What Kafka (or Kinesis) did not do becomes a line on standard error and an exit status."""
    try:
        yield
    except UnavailableError as error:
        typer.echo(f"not reachable: {error}", err=True)
        raise typer.Exit(ExitStatus.NOT_REACHABLE) from None
    except RefusedError as error:
        typer.echo(f"refused: {error}", err=True)
        raise typer.Exit(ExitStatus.FAILED) from None
    except KeyboardInterrupt:
        raise typer.Exit(ExitStatus.INTERRUPTED) from None


def problems_text(config: Path, problems: list[Problem], kind: str = "problem") -> str:
    """One block per problem, so that long remedies wrap nowhere and paths can be searched for."""
    count = f"{len(problems)} {kind}{'' if len(problems) == 1 else 's'}"
    blocks = [f"  {problem.path}\n    value   {problem.value_text}\n    to do   {problem.remedy}" for problem in problems]
    return "\n".join([f"{config}: {count}", *blocks])


def problems_data(problems: list[Problem]) -> list[dict[str, object]]:
    """The same for JSON."""
    return [{"path": problem.path, "value": problem.value, "remedy": problem.remedy} for problem in problems]


def echo_json(data: object) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def with_options_of(*parts: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The parameters of these functions in place of `**`: a command's options are its signature."""

    def dressed(command: Callable[..., None]) -> Callable[..., None]:
        own = [one for one in signature(command).parameters.values() if one.kind is not Parameter.VAR_KEYWORD]
        theirs = [one for part in parts for one in signature(part).parameters.values()]
        vars(command)["__signature__"] = Signature([*own, *theirs])
        return command

    return dressed
