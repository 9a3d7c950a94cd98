"""`bridge route resume`: the operator's word for a halted partition goes into the control topic, where its owner finds it."""

from dataclasses import dataclass

from bridge.app.routing import route_of
from bridge.app.settings import Settings
from bridge.core.delivery.commit_metadata import decode
from bridge.core.delivery.halts import HALTS, reason_named
from bridge.core.direction.control_state import message_of
from bridge.core.direction.resume import Resume, Way, remedy_where_no_word_helps
from bridge.core.errors import RefusedError
from bridge.core.records import Partition
from bridge.ports import Clock, ControlStore, GroupDirectory


@dataclass(slots=True, frozen=True)
class Word:
    """What the operator says, who it is, and why."""

    partition: Partition
    way: Way
    who: str
    why: str


async def resume(settings: Settings, kafka: GroupDirectory, store: ControlStore, clock: Clock, word: Word) -> Resume:
    """What was written. Raises UnavailableError; RefusedError where the partition does not stand still, or a word is no help."""
    partition = word.partition
    there = await kafka.partitions_of(lambda topic: topic == partition.topic and route_of(settings, topic) is not None)
    if not there:
        raise RefusedError(f"--route {partition.topic}: no route of the configuration carries such a topic of Kafka")
    if partition not in there:
        raise RefusedError(f"--partition {partition.number}: topic {partition.topic} has 0 to {len(there) - 1}")
    point = (await kafka.committed(settings.kafka.group, [partition])).get(partition)
    metadata = decode(point.metadata if point else None)
    if metadata.unreadable is not None:
        todo = HALTS["metadata_version"].remedy
        raise RefusedError(f"{partition}: what stands beside its committed offset: {metadata.unreadable}: {todo}")
    if metadata.halted is None or metadata.halted_at is None:
        raise RefusedError(f"{partition}: it is not halted, so nothing waits for a word: look at `bridge status`")
    reason = reason_named(metadata.halted)
    if reason is None:
        raise RefusedError(f"{partition}: no halt of this version is called {metadata.halted}: use the daemon's version")
    if remedy := remedy_where_no_word_helps(reason):
        raise RefusedError(f"{partition}: it is halted at {metadata.halted_at} ({reason}), which no word ends: {remedy}")
    said = Resume(partition, metadata.halted_at, reason, word.way, word.who, word.why, round(clock.wall_ms()), metadata.topic_id)
    await store.change(lambda _: message_of(said))
    return said
