"""Finds out which partitions of all replicas feed each stream, and what they want, so that each replica takes its part."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress

from bridge.app.forward_setup import ForwardPorts
from bridge.app.partition_line import PartitionLine
from bridge.app.routing import RouteTopic
from bridge.app.stream_line import StreamLine
from bridge.core.delivery.commit_metadata import demand_in
from bridge.core.delivery.fair_parts import Place
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.records import Partition

OBSERVE_S = 10.0
"""How often topics are looked at for new partitions."""
OBSERVE_AGAIN_S = 1.0
LOOK_S = 1.0
"""How often it is looked what our partitions carry and want, and whether others are to be asked."""


class FairShare:
    """Tells each stream who feeds it. What is known stays while Kafka does not answer, but for demands, which are soon too old
    to go by; the lag tells of that trouble."""

    def __init__(
        self,
        ports: ForwardPorts,
        group: str,
        route_topic: RouteTopic,
        lines: Mapping[Partition, PartitionLine],
        streams: Mapping[str, StreamLine],
    ) -> None:
        """`group` is that of all replicas; `lines` and `streams` are those of now."""
        self._ports = ports
        self._group = group
        self._route_topic = route_topic
        self._lines = lines
        self._streams = streams
        self._assigned = asyncio.Event()

    def assigned(self) -> None:
        """Partitions came: streams may be new."""
        self._assigned.set()

    async def run(self) -> None:
        """Works until cancelled. A question that waits for its answer holds up nothing else: what is old is to be dropped."""
        async with asyncio.TaskGroup() as tasks:
            for work in (self._observe_forever(), self._look_forever(), self._ask_forever()):
                tasks.create_task(work)

    async def _observe_forever(self) -> None:
        while True:
            known = await self._observe()
            with suppress(TimeoutError):
                async with asyncio.timeout(OBSERVE_S if known else OBSERVE_AGAIN_S):
                    await self._assigned.wait()
            self._assigned.clear()

    async def _observe(self) -> bool:
        try:
            partitions = await self._ports.offsets.partitions_of(self._carries)
        except (UnavailableError, RefusedError):
            return False
        slices = {line.partition.topic: line.slices for line in self._lines.values()}
        for stream, places in feeders(partitions, slices, self._route_topic).items():
            if stream in self._streams:
                self._streams[stream].shares.set_feeders(places)
        return True

    async def _look_forever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            for stream in self._streams.values():
                stream.shares.look()

    async def _ask_forever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            asked = {name: partitions for name, stream in self._streams.items() if (partitions := stream.shares.to_ask())}
            if not asked:
                continue
            began = self._ports.clock.monotonic()
            with suppress(UnavailableError, RefusedError):
                every = [partition for partitions in asked.values() for partition in partitions]
                points = await self._ports.group.committed(self._group, every)
                for name, partitions in asked.items():
                    told = {partition: demand_in(points[partition].metadata) for partition in partitions if partition in points}
                    self._streams[name].shares.set_demands(told, began)

    def _carries(self, topic: str) -> bool:
        try:
            return self._route_topic(topic, 1) is not None
        except KeyError:
            return False


def feeders(
    partitions: Iterable[Partition], slices: Mapping[str, int], route_topic: RouteTopic
) -> Mapping[str, Mapping[Partition, Place]]:
    """Places of all these partitions, by stream. `slices` is N of those topics of which it is known; of the others it is
    their number of partitions."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for partition in partitions:
        numbers[partition.topic].append(partition.number)
    places: dict[str, dict[Partition, Place]] = defaultdict(dict)
    for topic, of_topic in numbers.items():
        if routed := route_topic(topic, slices.get(topic, len(of_topic))):
            places[routed.stream] |= {Partition(topic, number): routed.mapping.place_of(number) for number in of_topic}
    return places
