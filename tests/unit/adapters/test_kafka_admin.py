"""Questions for offsets when a partition's leader has changed: the client library does not notice by itself."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from bridge.adapters.kafka.admin import EARLIEST, KafkaAdmin
from bridge.core.records import Partition

ORDERS = Partition("orders", 0)


class Answer(NamedTuple):
    offset: int


class Connection:
    """Answers with an error until metadata are asked for; `lasting`: also afterwards."""

    def __init__(self, code: int) -> None:
        self.connection = self
        self.code = code
        self.lasting = False
        self.looked = 0
        self.asked = 0

    def client(self) -> "Connection":
        return self

    def refusal(self) -> None:
        return None

    def metadata(self, _timeout_s: float) -> None:
        self.looked += 1

    def list_offsets(self, specs: Mapping[TopicPartition, Any], **_: Any) -> dict[TopicPartition, "Future[Answer]"]:
        self.asked += 1
        future: Future[Answer] = Future()
        if self.lasting or not self.looked:
            future.set_exception(KafkaException(KafkaError(self.code)))
        else:
            future.set_result(Answer(7))
        return dict.fromkeys(specs, future)


MOVED = [KafkaError.FENCED_LEADER_EPOCH, KafkaError.NOT_LEADER_FOR_PARTITION]


@pytest.mark.parametrize("code", MOVED)
async def test_ends_are_asked_for_again_where_the_leader_is(code):
    kafka = Connection(code)
    assert await KafkaAdmin(kafka).end_offsets([ORDERS]) == {ORDERS: 7}  # type: ignore[arg-type]
    assert (kafka.asked, kafka.looked) == (2, 1)


async def test_an_end_that_nobody_tells_is_left_out_and_asked_for_no_further():
    kafka = Connection(KafkaError.FENCED_LEADER_EPOCH)
    kafka.lasting = True
    assert await KafkaAdmin(kafka).end_offsets([ORDERS]) == {}  # type: ignore[arg-type]
    assert (kafka.asked, kafka.looked) == (2, 1)


async def test_what_is_refused_is_not_asked_again():
    kafka = Connection(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    assert await KafkaAdmin(kafka).end_offsets([ORDERS]) == {}  # type: ignore[arg-type]
    assert (kafka.asked, kafka.looked) == (1, 0)


@pytest.mark.parametrize("code", MOVED)
def test_starts_are_asked_for_again_where_the_leader_is(code):
    kafka = Connection(code)
    found = KafkaAdmin(kafka).start_offsets([ORDERS], [], lambda _: EARLIEST)  # type: ignore[arg-type]
    assert found == {ORDERS: 7}
    kafka = Connection(code)
    kafka.lasting = True
    with pytest.raises(KafkaException):
        KafkaAdmin(kafka).start_offsets([ORDERS], [], lambda _: EARLIEST)  # type: ignore[arg-type]
