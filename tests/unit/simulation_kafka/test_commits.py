"""Which commits are stored, which are refused, and how the answer comes."""

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaException, TopicPartition

from tests.simulation.kafka.consumer import SimConsumer
from tests.simulation.kafka.group import METADATA_BYTES_MAX
from tests.unit.simulation_kafka.world import App, GreenHost, World, member_properties

EVERY = {0, 1, 2, 3}


def answer_to(world: World, app: App, partition: int, offset: int, metadata: str = "", seconds: float = 60.0) -> str | None:
    """The name of its error; None: it was stored."""
    before = len(app.answers)
    app.commit(partition, offset, metadata)
    assert world.run(seconds, lambda: len(app.answers) > before)
    error, (result,) = app.answers[-1]
    assert (error and error.name()) == (result.error and result.error.name())
    assert (result.partition, result.offset, result.metadata) == (partition, offset, metadata)
    return error.name() if error else None


def outsider(world: World) -> SimConsumer:
    """A client of the group that does not subscribe."""
    return SimConsumer(member_properties("classic"), world.cluster, GreenHost(world))


def test_a_commit_of_a_member_is_stored_with_its_metadata(world, protocol):
    stored: list[tuple[object, ...]] = []
    world.cluster.on_commit_stored.append(lambda *what: stored.append(what))
    app = App(world, protocol)
    world.run(5.0, lambda: app.has == EVERY)
    assert answer_to(world, app, 1, 7, "mine") is None
    assert world.cluster.committed("group") == {("orders", 1): (7, "mine")}
    ((group, member, topic, partition, offset, metadata, when),) = stored
    assert (group, member, topic, partition, offset, metadata) == ("group", app.consumer.memberid(), "orders", 1, 7, "mine")
    assert 0.0 < float(str(when)) < world.now
    found = world.call(lambda: outsider(world).committed([TopicPartition("orders", n) for n in (1, 2)], 10.0))
    assert [(f.offset, f.metadata, f.error) for f in found] == [(7, "mine", None), (OFFSET_INVALID, None, None)]


def test_another_ones_partition_may_be_committed_by_a_member_of_the_generation(world, protocol):
    first, second = App(world, protocol), App(world, protocol)
    world.run(30.0, lambda: len(first.has) == len(second.has) == 2)
    world.run(6.0)  # the last heartbeats of the rebalance
    (foreign, *_) = second.has
    assert answer_to(world, first, foreign, 3) is None


def test_metadata_that_are_too_long_cost_their_own_partition_only(world, protocol):
    app = App(world, protocol)
    world.run(5.0, lambda: app.has == EVERY)
    offsets = [TopicPartition("orders", 0, 1, "x" * (METADATA_BYTES_MAX + 1)), TopicPartition("orders", 1, 1, "fits")]
    app.commands.append(lambda: app.consumer.commit(offsets=offsets, asynchronous=True))
    assert world.run(5.0, lambda: bool(app.answers))
    error, results = app.answers[0]
    assert [result.error and result.error.name() for result in results] == ["OFFSET_METADATA_TOO_LARGE", None]
    assert error.name() == "OFFSET_METADATA_TOO_LARGE"
    assert world.cluster.committed("group") == {("orders", 1): (1, "fits")}


def test_who_is_out_of_the_group_commits_nothing(world, protocol):
    first, second = App(world, protocol), App(world, protocol)
    world.run(30.0, lambda: len(first.has) == len(second.has) == 2)
    second.host.frozen = True
    assert world.run(20.0, lambda: first.has == EVERY)
    number = min(second.has)
    second.commit(number, 9)
    second.host.frozen = False
    assert world.run(10.0, lambda: bool(second.answers))
    assert second.answers[0][0].name() == "UNKNOWN_MEMBER_ID"
    assert ("orders", number) not in world.cluster.committed("group")


def test_a_commit_behind_a_join_waits_for_the_round_and_is_of_the_generation_before(world):
    """Seen with Kafka 4.1: a broker answers one request of a connection after the other."""
    first, second = App(world, "classic"), App(world, "classic")
    world.run(30.0, lambda: len(first.has) == len(second.has) == 2)
    second.drain = lambda: second.sleep(12.0)
    App(world, "classic")
    App(world, "classic")
    assert world.run(20.0, lambda: bool(second.happened("revoke")))
    App(world, "classic")
    world.run(4.0)
    began = world.now
    assert answer_to(world, first, 0, 1) == "ILLEGAL_GENERATION"
    assert world.now - began > 3.0


def test_a_member_that_lags_behind_its_epoch_is_told_so(world):
    app = App(world, "consumer")
    world.run(5.0, lambda: app.has == EVERY)
    world.cluster.force_rebalance("group", {})
    membership = app.consumer._membership
    assert membership is not None
    group = world.cluster.consumer_group("group")
    assert group.generation == membership.generation + 1
    assert answer_to(world, app, 0, 1) is None  # the coordinator changes a member's epoch with its next heartbeat
    membership.generation -= 1
    assert answer_to(world, app, 0, 2) == "STALE_MEMBER_EPOCH"


def test_a_blocking_commit_raises_what_an_asynchronous_one_reports(world, protocol):
    app = App(world, protocol)
    world.run(5.0, lambda: app.has == EVERY)
    with pytest.raises(KafkaException) as caught:
        world.call(lambda: outsider(world).commit(offsets=[TopicPartition("orders", 0, 1)], asynchronous=False))
    assert caught.value.args[0].name() == "UNKNOWN_MEMBER_ID"
    app.stopped = True
    world.run(2.0)
    (stored,) = world.call(lambda: outsider(world).commit(offsets=[TopicPartition("orders", 0, 1)], asynchronous=False))
    assert (stored.offset, stored.error) == (1, None)


@pytest.mark.parametrize("applied", [True, False])
def test_a_commit_without_an_answer_is_sent_again(applied, world, protocol):
    app = App(world, protocol)
    world.run(5.0, lambda: app.has == EVERY)
    world.cluster.faults.unanswered_commits, world.cluster.faults.unanswered_applied = 1.0, applied
    app.commit(0, 5)
    world.run(3.0)
    assert app.answers == []
    assert (("orders", 0) in world.cluster.committed("group")) is applied
    assert world.cluster.counts["unanswered_commits"] > 1
    world.cluster.faults.unanswered_commits = 0.0
    assert world.run(5.0, lambda: bool(app.answers))
    assert app.answers[0][0] is None
    assert world.cluster.committed("group")["orders", 0].offset == 5


def test_a_commit_is_given_up_after_the_session_timeout(world):
    app = App(world, "classic")
    world.run(5.0, lambda: app.has == EVERY)
    app.host.connected = False
    assert answer_to(world, app, 0, 5) == "_TRANSPORT"
    assert "_ALL_BROKERS_DOWN" in app.errors


def test_refused_commits_are_not_stored(world, protocol):
    app = App(world, protocol)
    world.run(5.0, lambda: app.has == EVERY)
    world.cluster.faults.refuse_commits = 1.0
    assert answer_to(world, app, 0, 5) == "NOT_COORDINATOR"
    assert (world.cluster.committed("group"), world.cluster.counts["refuse_commits"]) == ({}, 1)


def test_a_late_commit_may_overwrite_one_that_was_sent_after_it(world, protocol):
    app = App(world, protocol)
    world.run(5.0, lambda: app.has == EVERY)
    world.cluster.faults.late_commits = 1.0
    app.commit(0, 5)
    world.run(0.2)
    world.cluster.faults.late_commits = 0.0
    app.commit(0, 6)
    assert world.run(10.0, lambda: len(app.answers) == 2)
    assert world.cluster.committed("group")["orders", 0].offset == 5


def test_commits_keep_their_order(world, protocol):
    app = App(world, protocol)
    world.run(5.0, lambda: app.has == EVERY)
    for offset in range(50):
        app.commit(0, offset)
    assert world.run(10.0, lambda: len(app.answers) == 50)
    assert [results[0].offset for _, results in app.answers] == list(range(50))
    assert world.cluster.committed("group")["orders", 0].offset == 49
