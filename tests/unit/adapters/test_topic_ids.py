"""Which topic an offset is one of: by what stands beside committed offsets, and by what this process has seen."""

import pytest

from bridge.adapters.kafka.topic_ids import TopicId, TopicIds


class Kafka:
    """Names the ids it was given."""

    def __init__(self, **ids: str) -> None:
        self.ids = ids
        self.asked: list[list[str]] = []
        self.topic_ids = TopicIds(self.ask)

    def ask(self, topics):
        self.asked.append(sorted(topics))
        return {topic: self.ids[topic] for topic in topics if topic in self.ids}


@pytest.mark.parametrize(
    ("committed", "begun"),
    [
        ([], "new"),
        ([None, None], "new"),
        (["old", None], "old"),
        (["new", None], "new"),
        (["old", "new"], "new"),
    ],
    ids=["first run", "earlier version", "created anew", "the same", "set by the operator in part"],
)
def test_what_stands_beside_committed_offsets_tells(committed, begun):
    assert Kafka(orders="new").topic_ids.of({"orders": committed}) == {"orders": TopicId("new", begun)}


def test_it_remembers_where_kafka_has_forgotten_the_offsets_with_the_topic():
    kafka = Kafka(orders="old", other="same")
    kafka.topic_ids.of({"orders": [], "other": []})
    kafka.ids["orders"] = "new"
    assert kafka.topic_ids.of({"orders": [], "other": []}) == {"orders": TopicId("new", "old"), "other": TopicId("same", "same")}
    assert kafka.topic_ids.of({"orders": []}) == {"orders": TopicId("new", "old")}
    assert kafka.asked == [["orders", "other"], ["orders", "other"], ["orders"]]


def test_offsets_that_the_operator_has_set_outweigh_what_it_remembers():
    kafka = Kafka(orders="old")
    kafka.topic_ids.of({"orders": ["old"]})
    kafka.ids["orders"] = "new"
    assert kafka.topic_ids.of({"orders": ["new"]}) == {"orders": TopicId("new", "new")}
    assert kafka.topic_ids.of({"orders": []}) == {"orders": TopicId("new", "new")}


def test_a_kafka_without_ids_tells_nothing():
    assert Kafka().topic_ids.of({"orders": [None]}) == {"orders": TopicId(None, None)}
    assert Kafka().topic_ids.of({"orders": ["old"]}) == {"orders": TopicId(None, "old")}
