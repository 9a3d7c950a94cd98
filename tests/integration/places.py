"""Where each record is: in the streams as their readers see it, and in the ledger as its entries say."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from bridge.core.proof.ledger_codec import decode
from bridge.core.proof.ledger_entries import Stored, records_of
from tests.integration.kafka_reader import KafkaRecord, read_topic
from tests.integration.kcl_reader import records_inside
from tests.integration.kinesis_reader import read_stream


class Place(NamedTuple):
    """A record in a stream; `sub` is its place in an aggregate, 0 where it is alone."""

    stream: str
    shard_id: str
    sequence_number: int
    sub: int


def places_in_streams(client: Any, streams: Iterable[str]) -> dict[Place, bytes]:
    """The value of every record."""
    found: dict[Place, bytes] = {}
    for stream in streams:
        for stored in read_stream(client, stream):
            inside = records_inside(stored.data)
            values = [stored.data] if inside is None else [data for _, _, data in inside]
            number = int(stored.sequence_number)
            found |= {Place(stream, stored.shard_id, number, sub): value for sub, value in enumerate(values)}
    return found


def places_in_ledger(bootstrap_servers: str, bridge: str) -> dict[tuple[str, int, int], Place]:
    """Of every Kafka record that it has an entry for; the lowest number where it names several."""
    places: dict[tuple[str, int, int], Place] = {}
    for message in read_topic(bootstrap_servers, f"{bridge}.ledger"):
        for group in decode(message.value or b""):
            if not isinstance(group, Stored) or group.is_claim:
                continue
            for number, offsets in zip(group.sequence_numbers, records_of(group.offsets, group.counts), strict=True):
                for sub, offset in enumerate(offsets):
                    origin, place = (*group.partition, offset), Place(*group.shard, number, sub)
                    before = places.get(origin, place)
                    places[origin] = min(place, before, key=lambda one: one.sequence_number)
    return places


def wrong_places(sent: Iterable[KafkaRecord], ledger: dict[tuple[str, int, int], Place], stored: dict[Place, bytes]) -> list[str]:
    """Records that are not where the ledger says, each in a sentence."""
    wrong = []
    for record in sent:
        place = ledger.get((record.topic, record.partition, record.offset))
        if place is None:
            wrong.append(f"{record.topic}-{record.partition} {record.offset}: the ledger has nothing")
        elif stored.get(place) != record.value:
            wrong.append(f"{record.topic}-{record.partition} {record.offset}: {place} holds {stored.get(place)!r}")
    return wrong


def written_twice(stored: dict[Place, bytes]) -> int:
    """How many records are there more than once, where every value is another one within its stream."""
    counted = Counter((place.stream, value) for place, value in stored.items())
    return sum(count - 1 for count in counted.values())
