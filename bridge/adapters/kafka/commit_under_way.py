"""One offset commit between its request and its answer."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from confluent_kafka import KafkaError, TopicPartition

from bridge.core.delivery.commit_metadata import CommitPoint
from bridge.core.records import Partition


class CommitUnderWay:
    """Made on the event loop, which waits for `answer`: reasons by refused partition; sent and settled in the consumer's thread.

    `on_late` hears of its partitions, on the event loop, when it ends after nobody waited any more.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        partitions: Collection[Partition],
        on_late: Callable[[Collection[Partition]], None],
    ) -> None:
        self._loop = loop
        self.answer: asyncio.Future[Mapping[Partition, str]] = loop.create_future()
        self._partitions = partitions
        self._on_late = on_late
        self._said: Mapping[tuple[str, int], tuple[int, str]] = {}

    @property
    def is_given_up(self) -> bool:
        """Whether nobody waits any more."""
        return self.answer.done()

    def sends(self, offsets: Sequence[TopicPartition]) -> None:
        """These are being committed, of those that are still ours."""
        self._said = _said_of(offsets)

    def is_answered_by(self, results: Sequence[TopicPartition]) -> bool:
        """Whether these results are of this commit, or of one that said the same."""
        return _said_of(results) == self._said

    def settle(self, error: KafkaError | None, results: Sequence[TopicPartition]) -> None:
        """Tells the event loop; an error without partitions is that of all of them."""
        refused = {Partition(r.topic, r.partition): r.error.str() for r in results if r.error is not None}
        if error is not None and not refused:
            refused = {Partition(topic, number): error.str() for topic, number in self._said}
        self._loop.call_soon_threadsafe(self._tell, refused)

    def _tell(self, refused: Mapping[Partition, str]) -> None:
        if self.is_given_up:
            self._on_late(self._partitions)
        else:
            self.answer.set_result(refused)


def _said_of(offsets: Sequence[TopicPartition]) -> Mapping[tuple[str, int], tuple[int, str]]:
    return {(o.topic, o.partition): (o.offset, o.metadata or "") for o in offsets}


def offsets_of(points: Mapping[Partition, CommitPoint]) -> list[TopicPartition]:
    """As the client takes them."""
    return [TopicPartition(p.topic, p.number, point.offset, point.metadata) for p, point in points.items()]
