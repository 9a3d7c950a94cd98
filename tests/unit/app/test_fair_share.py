"""Who feeds a stream: all partitions of all routes to it, also those of other replicas."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

import pytest

from bridge.app.fair_share import OBSERVE_AGAIN_S, OBSERVE_S, FairShare, feeders
from bridge.app.routing import RoutedTopic
from bridge.core.delivery.fair_parts import Place
from bridge.core.delivery.key_strategies import MappingSpec
from bridge.core.delivery.partition_keys import slice_hash_key
from bridge.core.errors import UnavailableError
from bridge.core.records import Partition
from tests.unit.app.lines import new_line

ROUTES = {"orders": ("key", "s"), "payments": ("partition", "s"), "clicks": ("key", "other")}
PARTITIONS = [Partition(topic, number) for topic in ("orders", "payments", "clicks", "private") for number in range(2)]


def route_topic(topic: str, slices: int) -> RoutedTopic:
    strategy, stream = ROUTES[topic]
    return RoutedTopic(topic, stream, 1.0, 0.02, MappingSpec(strategy, topic, slices=slices))


class Directory:
    """Knows topics, or does not answer."""

    def __init__(self) -> None:
        self.asked = 0
        self.partitions: list[Partition] | None = PARTITIONS

    async def end_offsets(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        raise AssertionError("not asked here")

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        raise AssertionError("not asked here")

    async def partitions_of(self, wanted: Callable[[str], bool]) -> list[Partition]:
        self.asked += 1
        if self.partitions is None:
            raise UnavailableError("no answer")
        return [partition for partition in self.partitions if wanted(partition.topic)]


class Stream:
    def __init__(self) -> None:
        self.told: list[Sequence[Place]] = []

    def set_feeders(self, places: Sequence[Place]) -> None:
        self.told.append(places)


def test_places_of_all_routes_to_a_stream():
    places = feeders([p for p in PARTITIONS if p.topic in ROUTES], {"payments": 4}, route_topic)
    assert places == {"s": [None, None, slice_hash_key(0, 4), slice_hash_key(1, 4)], "other": [None, None]}


@pytest.mark.looptime
async def test_streams_are_told_at_once_after_an_assignment_and_now_and_then():
    directory, stream = Directory(), Stream()
    line = new_line()
    line.partition = Partition("payments", 0)
    lines = {line.partition: line}
    share = FairShare(directory, route_topic, lines, {"s": stream})  # type: ignore[dict-item]
    task = asyncio.create_task(share.run())
    await asyncio.sleep(0.01)
    assert stream.told == [[None, None, slice_hash_key(0, 4), slice_hash_key(1, 4)]], "N of a line of ours counts"
    share.assigned()
    await asyncio.sleep(0.01)
    assert directory.asked == 2
    await asyncio.sleep(OBSERVE_S)
    assert directory.asked == 3
    directory.partitions = None
    await asyncio.sleep(OBSERVE_S)
    await asyncio.sleep(3 * OBSERVE_AGAIN_S)
    assert directory.asked >= 6, "without an answer it asks again soon"
    assert len(stream.told) == 3, "and what was known stays"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
