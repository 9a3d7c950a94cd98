"""Fetches: what a client asks for, and how the broker answers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError

from tests.simulation.kafka.messages import Place, SimMessage
from tests.simulation.kafka.wire import Reply

if TYPE_CHECKING:
    from tests.simulation.kafka.cluster import Cluster

SMALL_FETCH = 3


@dataclass(slots=True, eq=False)
class Reading:
    """One partition of the assignment. Its version changes when what was fetched before is not to be taken any more."""

    place: Place
    position: int
    """Next to be taken."""
    fetch_position: int
    assigned_at: int
    paused: bool
    version: int = 0
    failed: bool = False
    reported_end: int = -1
    queued_bytes: int = 0
    begun: bool = False
    """Whether the client's background has taken the assignment over, and lets it seek."""


@dataclass(slots=True, eq=False)
class Chunk:
    """Fetched messages of one partition; `taken` of them are gone."""

    reading: Reading
    version: int
    messages: list[SimMessage]
    taken: int = 0


class Part(NamedTuple):
    """Of a fetch or its answer: with `records`, `next_offset`, and whether the offset is out of range."""

    reading: Reading
    version: int
    offset: int
    records: list[SimMessage] | None = None
    next_offset: int = 0
    end: int = 0
    problem: int = 0


@dataclass(slots=True)
class FetchLimits:
    """Bytes."""

    partition: int
    fetch: int
    queued: int
    reset: str

    @classmethod
    def of(cls, properties: dict[str, Any]) -> "FetchLimits":
        return cls(
            int(properties.get("fetch.message.max.bytes", 1024 * 1024)),
            int(properties.get("fetch.max.bytes", 50 * 1024 * 1024)),
            int(properties.get("queued.max.messages.kbytes", 64 * 1024)) * 1024,
            str(properties.get("auto.offset.reset", "latest")),
        )


def serve(cluster: "Cluster", parts: list[Part], limits: FetchLimits, reply: Reply[list[Part]]) -> None:
    """Answers at once where there is something, else when something comes or after the wait."""
    faults, timeline = cluster.faults, cluster.timeline
    answer = _read(cluster, parts, limits)
    if faults.happens("slow_fetches"):
        timeline.after(faults.chance.uniform(0.0, faults.fetch_delay_s), lambda: reply(answer))
        return
    if any(part.records or part.problem or part.next_offset != part.offset for part in answer):
        reply(answer)
        return
    places = {part.reading.place for part in parts}
    waiting = True

    def finish() -> None:
        nonlocal waiting
        if waiting:
            waiting = False
            cluster.on_append.remove(appended)
            reply(_read(cluster, parts, limits))

    def appended(place: Place) -> None:
        if place in places:
            finish()

    cluster.on_append.append(appended)
    timeline.after(cluster.settings.fetch_wait_s, finish)


def _read(cluster: "Cluster", parts: list[Part], limits: FetchLimits) -> list[Part]:
    room = limits.fetch
    answers = []
    for part in parts:
        log = cluster.logs.get(part.reading.place)
        if log is None:
            answers.append(part._replace(problem=KafkaError.UNKNOWN_TOPIC_OR_PART))
            continue
        offset = {OFFSET_BEGINNING: log.start, OFFSET_END: log.stable_end}.get(part.offset, part.offset)
        if not log.start <= offset <= log.end:
            answers.append(part._replace(problem=KafkaError.OFFSET_OUT_OF_RANGE))
        elif room > 0:
            records, next_offset = log.read(offset, min(limits.partition, room))
            if len(records) > SMALL_FETCH and cluster.faults.happens("small_fetches"):
                records = records[: cluster.faults.chance.randint(1, SMALL_FETCH)]
                next_offset = (records[-1].offset() or 0) + 1
            room -= sum(record.size for record in records)
            answers.append(part._replace(records=records, next_offset=next_offset, end=log.stable_end))
    return answers
