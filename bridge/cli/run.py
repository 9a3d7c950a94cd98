"""`bridge run`: the daemon."""

import typer

from bridge.cli.options import ConfigFile, ExitStatus, settings_or_exit


def run(config: ConfigFile) -> None:
    """Runs the bridge until SIGTERM or SIGINT: then drains, commits, exit 0; a second signal stops at once, exit 130."""
    from bridge.bootstrap import run as run_daemon  # loads every client: not for commands that need none

    settings = settings_or_exit(config)
    try:
        settled = run_daemon(settings)
    except OSError as error:
        typer.echo(f"metrics.host/metrics.port {settings.metrics.host}:{settings.metrics.port}: {error}", err=True)
        raise typer.Exit(ExitStatus.FAILED) from None
    raise typer.Exit(ExitStatus.DONE if settled else ExitStatus.FAILED)
