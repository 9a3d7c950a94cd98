"""One offset commit between its request and its answer."""

import asyncio
from collections.abc import Mapping, Sequence

from confluent_kafka import KafkaError, TopicPartition

from bridge.core.records import Partition


class CommitUnderWay:
    """Made and settled in the consumer's thread; the event loop waits for `answer`: reasons by refused partition."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        answer: "asyncio.Future[Mapping[Partition, str]]",
        offsets: Sequence[TopicPartition],
    ) -> None:
        self._loop = loop
        self._answer = answer
        self._offsets = {(o.topic, o.partition): o.offset for o in offsets}

    def is_answered_by(self, results: Sequence[TopicPartition]) -> bool:
        """Whether these results are of this commit; without any, the error is of the one that was asked last."""
        return not results or {(r.topic, r.partition): r.offset for r in results} == self._offsets

    def settle(self, error: KafkaError | None, results: Sequence[TopicPartition]) -> None:
        """Tells the event loop; an error without partitions is that of all of them."""
        refused = {Partition(r.topic, r.partition): r.error.str() for r in results if r.error is not None}
        if error is not None and not refused:
            refused = {Partition(topic, number): error.str() for topic, number in self._offsets}
        self._loop.call_soon_threadsafe(self._tell, refused)

    def _tell(self, refused: Mapping[Partition, str]) -> None:
        if not self._answer.done():  # else nobody waits any more
            self._answer.set_result(refused)
