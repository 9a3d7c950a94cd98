"""`bridge translate`: which Kafka offset is which Kinesis record."""

import asyncio
import time
from dataclasses import asdict
from inspect import signature
from typing import Annotated, Any

import typer

from bridge.app.jobs.translate import Answer, KafkaPosition, KinesisPosition
from bridge.cli.options import (
    ConfigFile,
    ExitStatus,
    Output,
    OutputOption,
    echo_json,
    exit_of_trouble,
    settings_or_exit,
    with_options_of,
)

PROGRESS_S = 2.0
SEQUENCE_NUMBER_DIGITS_MAX = 128


def kafka_position(
    topic: Annotated[str | None, typer.Option("--topic", help="Topic of a Kafka record.")] = None,
    partition: Annotated[int | None, typer.Option("--partition", min=0, help="Its partition.")] = None,
    offset: Annotated[int | None, typer.Option("--offset", min=0, max=2**63 - 1, help="Its offset.")] = None,
) -> KafkaPosition | None:
    """The three options of one; None where one is missing."""
    if topic is None or partition is None or offset is None:
        return None
    return KafkaPosition(topic, partition, offset)


def kinesis_position(
    stream_name: Annotated[str | None, typer.Option("--stream-name", help="Stream of a Kinesis record, or its ARN.")] = None,
    shard_id: Annotated[str | None, typer.Option("--shard-id", help="Its shard.")] = None,
    sequence_number: Annotated[str | None, typer.Option("--sequence-number", help="Its sequence number.")] = None,
    sub_sequence_number: Annotated[
        int | None, typer.Option("--sub-sequence-number", min=0, help="Which record of an aggregated one; 0 is the first.")
    ] = None,
) -> KinesisPosition | None:
    """The options of one; None where one is missing. Without a sub-sequence number the first record is meant."""
    if stream_name is None or shard_id is None or sequence_number is None:
        return None
    return KinesisPosition(stream_name, shard_id, _number(sequence_number), sub_sequence_number or 0)


@with_options_of(kafka_position, kinesis_position)
def translate(config: ConfigFile, output: OutputOption = Output.TABLE, **position: Any) -> None:  # noqa: ANN401 - as above
    """Tells where a Kafka record is in Kinesis, or which Kafka record a Kinesis record is. Needs Kafka only.

    Where there is no record at the position, the nearest following one is told, and why. Without an answer the exit status is 1.
    """
    from bridge.bootstrap_jobs import translate as ask  # loads every client: not for commands that need none

    given = {name for name, value in position.items() if value is not None}
    of_kafka, of_kinesis = (given & signature(part).parameters.keys() for part in (kafka_position, kinesis_position))
    part = kafka_position if of_kafka else kinesis_position
    asked = None if of_kafka and of_kinesis else part(**{name: position[name] for name in of_kafka or of_kinesis})
    if asked is None:
        raise typer.BadParameter("give --topic, --partition and --offset, or --stream-name, --shard-id and --sequence-number")
    settings = settings_or_exit(config)
    with exit_of_trouble():
        answer = asyncio.run(ask(settings, asked, _Progress()))
    if output is Output.JSON:
        echo_json(asdict(answer))
    else:
        typer.echo("\n".join(_lines(answer)), err=not answer.found)
    raise typer.Exit(ExitStatus.DONE if answer.found else ExitStatus.FAILED)


def _number(text: str) -> str:
    """Without leading zeros. Exit status 2 for what is none."""
    if not (text.isascii() and text.isdecimal() and len(text) <= SEQUENCE_NUMBER_DIGITS_MAX):
        raise typer.BadParameter(f"a sequence number is decimal digits, not {text!r}")
    return str(int(text))


class _Progress:
    """Tells now and then how far the reading is."""

    def __init__(self) -> None:
        self._told_at = time.monotonic()

    def __call__(self, done: int, all_of_them: int) -> None:
        if time.monotonic() - self._told_at >= PROGRESS_S:
            self._told_at = time.monotonic()
            typer.echo(f"ledger: {done} of {all_of_them} messages read", err=True)


def _lines(answer: Answer) -> list[str]:
    lines = [f"{answer.asked}", f"  exact      {'yes' if answer.exact else 'no: ' + answer.why}"]
    if answer.kafka and answer.kinesis:
        lines += [
            f"  kafka      {answer.kafka}",
            f"  stream     {answer.kinesis.stream_name}",
            f"  shard      {answer.kinesis.shard_id}",
            f"  sequence   {answer.kinesis.sequence_number}",
            f"  sub        {answer.kinesis.sub_sequence_number}",
        ]
    lines += [f"  duplicate  {duplicate}" for duplicate in answer.duplicates]
    return lines + [f"  note       {note}" for note in answer.notes]
