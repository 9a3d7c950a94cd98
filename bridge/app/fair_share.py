"""Finds out which partitions of all replicas feed each stream, so that each replica takes its part of the shards."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from bridge.app.partition_line import PartitionLine
from bridge.app.routing import RouteTopic
from bridge.app.stream_line import StreamLine
from bridge.core.delivery.fair_parts import Place
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.records import Partition
from bridge.ports import OffsetDirectory

OBSERVE_S = 10.0
"""How often topics are looked at for new partitions."""
OBSERVE_AGAIN_S = 1.0


class FairShare:
    """Tells each stream who feeds it. What is known stays while Kafka does not answer; the lag tells of that trouble."""

    def __init__(
        self,
        directory: OffsetDirectory,
        route_topic: RouteTopic,
        lines: Mapping[Partition, PartitionLine],
        streams: Mapping[str, StreamLine],
    ) -> None:
        self._directory = directory
        self._route_topic = route_topic
        self._lines = lines
        self._streams = streams
        self._assigned = asyncio.Event()

    def assigned(self) -> None:
        """Partitions came: streams may be new."""
        self._assigned.set()

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            known = await self._observe()
            with suppress(TimeoutError):
                async with asyncio.timeout(OBSERVE_S if known else OBSERVE_AGAIN_S):
                    await self._assigned.wait()
            self._assigned.clear()

    async def _observe(self) -> bool:
        try:
            partitions = await self._directory.partitions_of(self._carries)
        except (UnavailableError, RefusedError):
            return False
        slices = {line.partition.topic: line.slices for line in self._lines.values()}
        for stream, places in feeders(partitions, slices, self._route_topic).items():
            if stream in self._streams:
                self._streams[stream].set_feeders(places)
        return True

    def _carries(self, topic: str) -> bool:
        try:
            return self._route_topic(topic, 1) is not None
        except KeyError:
            return False


def feeders(partitions: Iterable[Partition], slices: Mapping[str, int], route_topic: RouteTopic) -> Mapping[str, Sequence[Place]]:
    """Places of all these partitions, by stream. `slices` is N of those topics of which it is known; of the others it is
    their number of partitions."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for partition in partitions:
        numbers[partition.topic].append(partition.number)
    places: dict[str, list[Place]] = defaultdict(list)
    for topic, of_topic in numbers.items():
        if routed := route_topic(topic, slices.get(topic, len(of_topic))):
            places[routed.stream] += [routed.mapping.place_of(number) for number in of_topic]
    return places
