"""Entry point of `bridge` and `python -m bridge`."""

from bridge.cli import app


def main() -> None:
    """Runs the command line; its exit statuses are those of the contract in README.md."""
    app()


if __name__ == "__main__":
    main()
