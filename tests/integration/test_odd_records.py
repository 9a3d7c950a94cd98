"""One of each odd record under each policy, through the real line: what becomes of it, row by row.

Each row is a topic of one partition with a good record, the odd one, and a good record; all of them are routes of one daemon.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aws_kinesis_agg.aggregator import AggRecord
from confluent_kafka import Producer

from tests.integration.daemon import Daemon, running_daemon
from tests.integration.kafka_reader import GroupReader
from tests.integration.kcl_reader import read_as_kcl
from tests.integration.scenario import settings_of
from tests.integration.secure_scenario import run_command
from tests.servers.embedded_kinesis import running_embedded_kinesis
from tests.servers.fixtures import unique
from tests.servers.kafka import RunningKafka
from tests.servers.kinesis import create_stream, kinesis_client
from tests.servers.process import wait_until
from tests.servers.topics import create_topic

MIB = 1024 * 1024


def packed(key: bytes, value: bytes) -> bytes:
    """An aggregate of one, by another's code."""
    record = AggRecord()
    record.add_user_record(key.decode(), value)
    return bytes(record.get_contents()[2])


GOOD = b'{"id": 7}'
LONG = b"k" * 257
FRAMED = b"\x00\x00\x00\x00\x2aavro"
"""As the serialisers of a Schema Registry write it: a zero, the number of the schema, the data."""
PACKED = packed(b"inner", b"of a producer's own")
FIELD = {"partition_key": {"field": "{id}"}}

ORIGIN = "{topic}/0/1"
"""Partition key of a record without a key that may go anywhere."""


@dataclass(frozen=True)
class Row:
    """`outcome`: stored under this partition key, parked or halted for this reason, or skipped."""

    what: str
    key: bytes | None
    value: bytes | None
    route: dict[str, Any]
    outcome: tuple[str, str]
    stored_value: bytes | None = None
    """Where it is not the value itself."""
    topic: str = field(default_factory=lambda: unique("odd"))


def stored(partition_key: str) -> tuple[str, str]:
    return "stored", partition_key


def under(name: str, policies: str, outcomes: dict[str, tuple[str, str]], reason: str, **odd: Any) -> Iterator[Row]:
    """A row for each policy."""
    for policy in policies.split():
        outcome = (
            outcomes.get(policy) or {"park": ("parked", reason), "stop": ("halted", reason), "skip": ("skipped", reason)}[policy]
        )
        yield Row(f"{odd['what']}, {name} {policy}", odd["key"], odd["value"], {**odd.get("route", {}), name: policy}, outcome)


HASHED = "~k:h" + hashlib.sha256(LONG).hexdigest()
AGGREGATED = {"format": "aggregated"}
ROWS = [
    Row("no key, spread", None, b"v", {"null_key": "spread"}, stored(ORIGIN)),
    Row("no key, by partition", None, b"v", {"null_key": "partition"}, stored("{topic}-0")),
    Row("empty key", b"", b"v", {}, stored("~k:b")),
    Row("binary key", b"\x00\xff\x10", b"v", {}, stored("~k:bAP8Q")),
    Row("key like the codec's marker", b"~k:b", b"v", {}, stored("~k:bfms6Yg")),
    Row("empty value", b"k", b"", {}, stored("k")),
    Row("value that looks like an aggregate", b"k", PACKED, {}, stored("k")),
    Row("framed by a registry, by key", b"k", FRAMED, {}, stored("k")),
    Row("framed by a registry, aggregated", b"k", FRAMED, AGGREGATED, stored("k")),
    *under("on_long_key", "hash park stop", {"hash": stored(HASHED)}, "key_too_long", what="long key", key=LONG, value=b"v"),
    *under("on_tombstone", "park stop skip", {}, "tombstone", what="null value", key=b"k", value=None),
    Row("null value, on_tombstone send_empty", b"k", None, {"on_tombstone": "send_empty"}, stored("k"), b""),
    Row("null value, aggregated, parked", b"k", None, AGGREGATED, ("parked", "tombstone")),
    *under("on_oversize", "park stop skip", {}, "oversize", what="oversize", key=b"k", value=b"x" * MIB),
    Row("oversize, aggregated, parked", b"k", b"x" * MIB, AGGREGATED, ("parked", "oversize")),
    *(
        row
        for what, value, reason in (
            ("missing field", b'{"other": 1}', "missing_field"),
            ("field that is no text or number", b'{"id": [1]}', "missing_field"),
            ("not JSON", b"[1", "not_json"),
            ("framed by a registry, by field", FRAMED, "not_json"),
        )
        for row in under(
            "on_missing_field",
            "park stop skip use_kafka_key",
            {"use_kafka_key": stored("k")},
            reason,
            what=what,
            key=b"k",
            value=value,
            route=FIELD,
        )
    ),
]


@dataclass(frozen=True)
class Line:
    """The running daemon with all rows in it."""

    kafka: RunningKafka
    endpoint_url: str
    daemon: Daemon
    name: str
    parked: dict[str, list[dict[str, Any]]]

    def stored(self, row: Row) -> list[tuple[str, bytes]]:
        return [
            (record.partition_key, record.data) for record in read_as_kcl(kinesis_client(self.endpoint_url), row.topic).records
        ]

    def halted(self) -> dict[str, dict[str, Any]]:
        return {halt["topic"]: halt for halt in self.daemon.json_of("/readyz")["halted"]}


@pytest.fixture(scope="module")
def line(kafka: RunningKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """Everything is produced and settled once; the rows then look at what became of theirs."""
    name = unique("odd-bridge")
    settings = {"message.max.bytes": 4 * MIB, "enable.idempotence": True}  # else a retry may change their order
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, **settings})
    with running_embedded_kinesis("odd-kinesis", "--no-limits") as kinesis:
        client = kinesis_client(kinesis.endpoint_url)
        for row in ROWS:
            create_topic(kafka.bootstrap_servers, row.topic, partitions=1, settings={"max.message.bytes": str(4 * MIB)})
            create_stream(client, row.topic, shards=1)
            for key, value in ((b"a", GOOD), (row.key, row.value), (b"b", GOOD)):
                producer.produce(row.topic, value, key, 0)
        assert producer.flush(60) == 0
        routes = [{"topic": row.topic, "stream": row.topic, **row.route} for row in ROWS]
        settings = settings_of(name, kafka, kinesis.endpoint_url, routes)
        with running_daemon(settings) as daemon:
            ends = {(row.topic, 0): 1 if row.outcome[0] == "halted" else 3 for row in ROWS}
            group = GroupReader(kafka.bootstrap_servers, name, ends)
            wait_until(lambda: group.committed() == ends, "what can be committed of every row", 120)
            status, text = run_command(tmp_path_factory.mktemp("odd"), settings, "dlq", "list", "--output", "json")
            assert status == 0, text
            parked: dict[str, list[dict[str, Any]]] = {}
            for letter in json.loads(text)["letters"]:
                parked.setdefault(letter["topic"], []).append(letter)
            yield Line(kafka, kinesis.endpoint_url, daemon, name, parked)


@pytest.mark.real
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_what_becomes_of_it(line: Line, row: Row):
    kind, detail = row.outcome
    by_field = "partition_key" in row.route
    good = [("7" if by_field else key, GOOD) for key in ("a", "b")]
    found = line.stored(row)
    expected = good[:1] if kind == "halted" else good
    if kind == "stored":
        value = row.value if row.stored_value is None else row.stored_value
        assert value is not None
        expected = [good[0], (detail.format(topic=row.topic), value), good[1]]
    assert found == expected
    halt = line.halted().get(row.topic)
    assert (halt and (halt["offset"], halt["reason"])) == ((1, detail) if kind == "halted" else None)
    letters = [(letter["offset"], letter["reason"]) for letter in line.parked.get(row.topic, [])]
    assert letters == ([(1, detail)] if kind == "parked" else [])
    metrics = line.daemon.metrics()
    for counter, of_kind in (("bridge_records_parked_total", "parked"), ("bridge_records_skipped_total", "skipped")):
        assert metrics.total(counter, route=row.topic) == (kind == of_kind)
        assert metrics.total(counter, route=row.topic, reason=detail) == (kind == of_kind)


@pytest.mark.real
def test_a_registry_frame_that_has_no_fields_is_refused_with_the_reason(line: Line):
    row = next(row for row in ROWS if row.what == "framed by a registry, by field, on_missing_field stop")
    assert "Schema Registry" in line.halted()[row.topic]["detail"]
