"""`bridge dlq show`: one parked record, whole."""

import asyncio
from base64 import b64encode
from dataclasses import asdict
from typing import Annotated

import typer

from bridge.app.jobs.dead_letters import Letter, show_letters
from bridge.cli.dlq_list import moment
from bridge.cli.options import ConfigFile, ExitStatus, Output, OutputOption, echo_json, exit_of_trouble, settings_or_exit
from bridge.core.delivery.dead_letters import parse_id
from bridge.core.records import Partition

TEXT_MAX = 4096
"""Bytes of a value that the table shows; JSON has them all."""


def place(text: str) -> tuple[Partition, int]:
    """Of an id. Exit status 2 for what is none."""
    try:
        return parse_id(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def show(
    config: ConfigFile,
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="topic-partition@offset, as `bridge dlq list` tells it.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Shows a parked record with its headers; JSON has the exact bytes in base64."""
    from bridge.bootstrap_jobs import dead_letter_reader  # loads every client: not for commands that need none

    partition, offset = place(letter_id)
    settings = settings_or_exit(config)
    with exit_of_trouble():
        letters = asyncio.run(show_letters(settings, dead_letter_reader(settings), partition, offset))
    if not letters:
        typer.echo(f"{settings.dead_letter_topic}: no dead letter {letter_id}: `bridge dlq list` tells the ids", err=True)
        raise typer.Exit(ExitStatus.FAILED)
    if output is Output.JSON:
        echo_json([_data(letter) for letter in letters])
        return
    for letter in letters:
        typer.echo("\n".join(_lines(letter)))


def _data(letter: Letter) -> dict[str, object]:
    record = letter.letter
    return {
        **asdict(letter.headline),
        "bridge": letter.bridge,
        "detail": record.detail,
        "key_base64": _base64(record.key),
        "value_base64": _base64(record.value),
        "headers": [{"name": name, "value_base64": _base64(content)} for name, content in record.headers],
    }


def _lines(letter: Letter) -> list[str]:
    head, record = letter.headline, letter.letter
    replayed = "no" if head.replayed_at_ms is None else moment(head.replayed_at_ms)
    return [
        f"{head.id}",
        f"  reason     {record.reason}: {record.detail}",
        f"  route      {head.route or 'none carries it now'}",
        f"  written    {moment(record.timestamp_ms) or 'without a timestamp'}",
        f"  parked     {moment(head.parked_at_ms)} by {letter.bridge}, {head.copies} time{'' if head.copies == 1 else 's'}",
        f"  replayed   {replayed}",
        *(f"  header     {name}: {text_of(content)}" for name, content in record.headers),
        f"  key        {text_of(record.key)}",
        f"  value      {text_of(record.value)}",
    ]


def text_of(content: bytes | None) -> str:
    """As text where it is one, else in hexadecimal; not more than `TEXT_MAX` bytes of it."""
    if content is None:
        return "null"
    shown, more = content[:TEXT_MAX], f" ... ({len(content)} bytes)" if len(content) > TEXT_MAX else ""
    try:
        text = shown.decode("utf-8", "strict" if len(shown) == len(content) else "ignore")
    except UnicodeDecodeError:
        text = ""
    if text.isprintable() and (text or not content):
        return f'"{text}"{more}'
    return f"0x{shown.hex()}{more}"


def _base64(content: bytes | None) -> str | None:
    return None if content is None else b64encode(content).decode("ascii")
