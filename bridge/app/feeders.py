"""Up to when all outcomes of a stream's attempts are known: the lowest watermark of the partitions that feed it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import isinf

from bridge.app.routing import RouteTopic
from bridge.app.service_time import ServiceTime
from bridge.core.delivery.commit_metadata import decode
from bridge.core.records import Partition
from bridge.ports import GroupDirectory


@dataclass(slots=True, frozen=True)
class Feeders:
    """Of all replicas. Partitions whose records have marks do not count: their records are not taken for others.

    `ours` are the partitions of this process, `own_watermark_ms` tells of a stream since when it has attempts under way.
    """

    directory: GroupDirectory
    group: str
    route_topic: RouteTopic
    time: ServiceTime
    ours: Callable[[], Collection[Partition]]
    own_watermark_ms: Callable[[str], float]

    async def known_to_ms(self, stream: str) -> float:
        """Every attempt at this stream that began before has its outcome or its doubt in the ledger, once that was flushed and
        is read to its end. Raises UnavailableError, RefusedError."""
        now_ms = self.time.now().earliest_ms
        ours, known_to_ms = frozenset(self.ours()), min(now_ms, self.own_watermark_ms(stream))
        feeding = await self.directory.partitions_of(lambda topic: self._feeds(topic, stream))
        others = [partition for partition in feeding if partition not in ours]
        if isinf(known_to_ms) or not others:
            return known_to_ms
        points = await self.directory.committed(self.group, others)
        return min([known_to_ms, *self._watermarks({partition: point.metadata for partition, point in points.items()})])

    def _watermarks(self, metadata: Mapping[Partition, str]) -> list[float]:
        """Of those that are open. One without an owner was never attempted, or its offset was set by hand. Of one that cannot
        be read nothing is known."""
        read = [decode(text) for text in metadata.values()]
        told = [float(known.ownership.watermark_ms) for known in read if known.ownership is not None and known.ownership.is_open]
        return told + [0.0 for known in read if known.unreadable is not None]

    def _feeds(self, topic: str, stream: str) -> bool:
        try:
            routed = self.route_topic(topic, 1)
        except KeyError:
            return False
        return routed is not None and routed.stream == stream and not routed.is_marked
