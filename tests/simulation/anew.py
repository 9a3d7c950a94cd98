"""Topics and streams that a run creates anew, and what the laws then say of their partitions.

A partition either stands still by that name in the replica that owns it, and nothing of it is sent; or it was begun anew,
where nothing told any more that the group had read the topic before, and then all of it arrives.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from bridge.core.delivery.commit_metadata import decode
from bridge.core.delivery.halts import Halt, Reason
from bridge.core.records import Partition
from tests.simulation.kafka.cluster import Cluster
from tests.simulation.kafka.messages import Place
from tests.simulation.kinesis import Kinesis
from tests.simulation.plan import Plan
from tests.simulation.process import Process
from tests.simulation.replica import GROUP, Replica

UNDER_WAY_S = 1.0
"""After a partition was seen halted: what its process had on the way to the wire is gone."""


class Anew:
    """Keeps which topic and stream of a name is meant."""

    def __init__(self, plan: Plan, cluster: Cluster, kinesis: Kinesis) -> None:
        self._cluster = cluster
        self._kinesis = kinesis
        self._stream_of = {topic.name: topic.stream for topic in plan.topics}
        self._names: dict[str, str] = {}
        self._topics: set[str] = set()
        self._streams: set[str] = set()
        self._deleted: set[Place] = set()
        self.stops: dict[Place, dict[int, str]] = {}
        """Records at which a policy stops their partition, by offset: the reason."""
        self._halted_since: dict[tuple[str, Partition], float] = {}

    # -- what happens

    def recreate_topic(self, topic: str) -> str:
        """Returns what its records are called from now on."""
        self._names.setdefault(self._id_of(topic), topic)
        self._cluster.recreate_topic(topic)
        self._topics.add(topic)
        name = self._names[self._id_of(topic)] = f"{topic}~{len(self._names)}"
        return name

    def recreate_stream(self, stream: str, gone_s: float) -> bool:
        """Gone now, there again later. Returns False where it cannot be deleted now."""
        world, streams = self._kinesis.world, self._kinesis.model.streams
        found = streams.get(stream, world.wall())
        if found is None or found.status(world.wall()) != "ACTIVE":
            return False
        shards = len(found.open_shards)
        streams.delete(stream, world.wall())

        def create() -> None:
            streams.create(stream, shards, world.wall())

        world.call_later(gone_s, create)
        self._streams.add(stream)
        return True

    def delete_records(self, place: Place) -> None:
        self._deleted.add(place)

    # -- what it is called

    def name_of(self, topic: str, metadata: str = "") -> str:
        """What the records are called of the topic that a committed offset is one of; without metadata of that of now."""
        topic_id = (decode(metadata).topic_id if metadata else None) or self._id_of(topic)
        return self._names.get(topic_id, topic)

    def _id_of(self, topic: str) -> str:
        return str(self._cluster.topic_ids[topic])

    @property
    def happened(self) -> bool:
        """Whether something was created anew or deleted: what is carried then may be carried for the second time."""
        return bool(self._topics or self._streams or self._deleted)

    # -- what must hold

    def watch(self, replicas: Sequence[Replica]) -> None:
        """Since when each partition stands still."""
        now, before = self._kinesis.world.now, self._halted_since
        halted = {(r.process.name, p) for r in replicas for p, halt in _halts(r) if halt.stays}
        self._halted_since = {key: before.get(key, now) for key in halted}

    def sent_though_halted(self, process: Process, topic: str, number: int) -> bool:
        """Whether a process sends a record of a partition of which it knows that it may not."""
        since = self._halted_since.get((process.name, Partition(topic.partition("~")[0], number)))
        return since is not None and self._kinesis.world.now - max(since, process.frozen_until) > UNDER_WAY_S

    def is_settled(self, place: Place, replicas: Sequence[Replica]) -> bool:
        """Whether all that a partition has is carried, or it is halted as it should be."""
        point, log = self._cluster.committed(GROUP).get(place), self._cluster.logs[place]
        offset, metadata = (point.offset, point.metadata) if point else (0, "")
        halts = [halt for replica in replicas for partition, halt in _halts(replica) if partition == Partition(*place)]
        if halts:
            stopped = self.stops.get(place, {})
            if all(stopped.get(offset) == halt.reason for halt in halts):
                return True
            if all(halt.reason == "dead_letters" for halt in halts):
                return self._cluster.counts["refuse_produces"] > 0
            lost = offset < log.start or place[0] in self._topics or self._stream_of[place[0]] in self._streams
            return lost and all(halt.reason in self._reasons(place) for halt in halts)
        return offset >= log.end and self._is_of_now(place[0], metadata)  # asked after every timer, so the cheap ones first

    def _reasons(self, place: Place) -> Iterator[Reason]:
        if place in self._deleted:
            yield "offset_out_of_range"
        if place[0] in self._topics:
            yield "topic_recreated"
        if self._stream_of[place[0]] in self._streams:
            yield "stream_recreated"

    def _is_of_now(self, topic: str, text: str) -> bool:
        stream = self._stream_of[topic]
        if topic not in self._topics and stream not in self._streams:
            return True
        metadata = decode(text)
        found = self._kinesis.model.streams.get(stream, self._kinesis.world.wall())
        created_ms = round(found.created_at * 1000) if found else None
        same_topic = topic not in self._topics or metadata.topic_id == self._id_of(topic)
        return same_topic and (stream not in self._streams or metadata.stream_created_ms == created_ms)


def _halts(replica: Replica) -> list[tuple[Partition, Halt]]:
    alive: Any = replica.forward if replica.process.alive else None
    return list(alive.halts().items()) if alive is not None else []
