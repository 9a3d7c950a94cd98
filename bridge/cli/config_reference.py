"""`python -m bridge.cli.config_reference > config/reference.md` writes the configuration reference anew."""

import typer

from bridge.app.settings.reference import reference_markdown

if __name__ == "__main__":
    typer.echo(reference_markdown(), nl=False)
