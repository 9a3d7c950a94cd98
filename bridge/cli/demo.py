"""`bridge demo`: the main job on embedded servers, judged by what is read back."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from bridge.cli.options import ExitStatus, Output, OutputOption, echo_json
from bridge.demo.errors import DemoError, InterruptedDemoError
from bridge.demo.flights import FLIGHTS
from bridge.demo.verdict import Verdict

if TYPE_CHECKING:
    from bridge.demo.runner import Addresses

RecordsOption = Annotated[int, typer.Option("--records", min=1, max=FLIGHTS, help="Only the first flights.")]
ServeOption = Annotated[bool, typer.Option("--serve", help="Keeps everything up after the verdict, until Ctrl-C.")]


def demo(serve: ServeOption = False, records: RecordsOption = FLIGHTS, output: OutputOption = Output.TABLE) -> None:
    """Carries 336,776 real records from an embedded Kafka to an embedded Kinesis and says whether each arrived, once, in order.

    The bridge runs as it is deployed; Kinesis enforces its shard limits. Exit status 0 only when the verdict is exact.
    """
    from bridge.demo.runner import run_demo  # loads every client: not for commands that need none

    # Where the verdict is for scripts, standard output carries nothing else.
    console = Console(stderr=output is Output.JSON)
    show = _show_json if output is Output.JSON else _show_text

    def announce(verdict: Verdict, addresses: "Addresses") -> None:
        show(verdict)
        console.print(_addresses_text(addresses), highlight=False, soft_wrap=True, markup=False)

    try:
        verdict = run_demo(records, console, announce if serve else None)
    except DemoError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(ExitStatus.FAILED) from None
    except InterruptedDemoError:
        raise typer.Exit(ExitStatus.INTERRUPTED) from None
    if not serve:
        show(verdict)
    raise typer.Exit(verdict.exit_status)


def _show_json(verdict: Verdict) -> None:
    echo_json(verdict.document())


def _show_text(verdict: Verdict) -> None:
    found = verdict.comparison
    busiest = f"{found.busiest_shard_records:,} records, {found.busiest_shard_share:.1%} (of {verdict.shards} shards)"
    rows = (
        ("sent", f"{found.sent:,}"),
        ("stored", f"{found.stored:,}"),
        ("missing", f"{found.missing:,}"),
        ("unexpected", f"{found.unexpected:,}"),
        ("duplicates", f"{found.duplicates:,}"),
        ("out of order", f"{found.inversions:,}"),
        ("throttled", f"{verdict.throttled_records:,} refused by a shard and sent again"),
        ("busiest shard", busiest),
        ("rate", f"{verdict.records_per_s:,.0f} records/s"),
        ("wall time", f"{verdict.seconds:.1f} s"),
    )
    typer.echo("\n".join(f"  {name:<14} {text}" for name, text in rows))
    typer.echo("PASSED: every record is stored once, in the order of its key." if verdict.exact else "FAILED:")
    for problem in verdict.problems:
        typer.echo(f"  {problem}")


def _addresses_text(addresses: "Addresses") -> str:
    credentials = "AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo"
    command = "aws kinesis describe-stream-summary --stream-name flights --region us-east-1"
    return "\n".join(
        (
            f"Kafka           {addresses.kafka_bootstrap}",
            f"Kinesis         {addresses.kinesis_endpoint}",
            f"metrics         {addresses.metrics_url}",
            f"configuration   {addresses.configuration}",
            f"log             {addresses.log}",
            f"{credentials} {command} --endpoint-url {addresses.kinesis_endpoint}",
            "Ctrl-C ends all of it.",
        )
    )
