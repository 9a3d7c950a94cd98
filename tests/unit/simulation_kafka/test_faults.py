"""Faults of reading, and rebalances by order; then all of them together, after which everything is read again."""

from random import Random

import pytest

from tests.unit.simulation_kafka.world import App, World, records

READING = ("redeliver", "short_batches", "slow_fetches", "small_fetches", "stale_messages", "late_messages")
COMMITS = ("refuse_commits", "unanswered_commits", "late_commits")
EVERY = {0, 1, 2, 3}


def assigned(world: World, protocol: str) -> App:
    app = App(world, protocol)
    assert world.run(5.0, lambda: app.has == EVERY)
    return app


def test_redelivery_goes_back_but_not_before_the_assignment(world, protocol):
    world.cluster.delete_records("orders", 0, 0)
    app = assigned(world, protocol)
    world.cluster.faults.redeliver = 0.5
    for _ in range(10):
        world.cluster.produce("orders", 0, records(10))
        world.run(1.0)
    world.cluster.faults.redeliver = 0.0
    assert world.run(5.0, lambda: app.read[0][-1:] == [99])
    assert len(app.read[0]) > 100
    assert set(app.read[0]) == set(range(100))
    assert world.cluster.counts["redeliver"] > 0


@pytest.mark.parametrize("fault", ["short_batches", "slow_fetches", "small_fetches"])
def test_slow_and_small_answers_lose_nothing(fault, world, protocol):
    app = assigned(world, protocol)
    setattr(world.cluster.faults, fault, 0.7)
    for _ in range(20):
        world.cluster.produce("orders", 0, records(10))
        world.run(0.2)
    assert world.run(300.0, lambda: app.read.get(0) == list(range(200)))
    assert world.cluster.counts[fault] > 0


def test_a_partition_is_taken_and_given_back(world, protocol):
    app = assigned(world, protocol)
    world.cluster.take_and_give_back("group", [("orders", 1)])
    assert world.run(20.0, lambda: len(app.happened("assign")) > 2 and app.has == EVERY)
    assert app.happened("revoke") == [[1]]
    assert [numbers for numbers in app.happened("assign") if numbers] == [[0, 1, 2, 3], [1]]


def test_partitions_go_where_they_are_sent(world, protocol):
    first, second = App(world, protocol), App(world, protocol)
    assert world.run(30.0, lambda: len(first.has) == len(second.has) == 2)
    world.run(10.0)
    world.cluster.force_rebalance("group", {("orders", number): second.consumer.memberid() for number in EVERY})
    assert world.run(30.0, lambda: second.has == EVERY)
    world.run(30.0)
    assert (first.has, second.has) == (set(), EVERY)


def test_lost_partitions_were_not_asked_for(world, protocol):
    app = assigned(world, protocol)
    world.cluster.lose("group", app.consumer.memberid(), [("orders", 2)])
    assert world.run(20.0, lambda: len(app.happened("assign")) > 1 and app.has == EVERY)
    assert (app.happened("lost"), app.happened("revoke")) == ([[2]], [])
    member = app.consumer.memberid()
    world.cluster.lose("group", member)
    assert world.run(30.0, lambda: app.happened("lost") == [[2], [0, 1, 2, 3]] and app.has == EVERY)


@pytest.mark.parametrize("stale", [True, False])
def test_messages_of_a_partition_that_left_during_the_call(stale, world):
    world.cluster.faults.stale_messages = float(stale)
    app = App(world, "classic")
    assert world.run(5.0, lambda: app.has == EVERY)
    taken: list[int | None] = []

    def gather() -> None:
        world.cluster.produce("orders", 0, records(1))
        taken.extend(message.offset() for message in app.consumer.consume(20, 25.0) if message.error() is None)

    app.commands.append(gather)
    world.run(1.0)
    world.cluster.lose("group", app.consumer.memberid())
    world.run(30.0)
    assert taken == ([0, 0] if stale else [0])  # the partition begins anew
    assert (world.cluster.counts["stale_messages"] > 0) is stale


def befall(world: World, chance: Random, apps: list[App], protocol: str) -> None:
    """Something happens."""
    cluster, app = world.cluster, chance.choice(apps)
    match chance.randrange(10):
        case 0:
            cluster.force_rebalance("group")
        case 1:
            cluster.take_and_give_back("group")
        case 2:
            cluster.lose("group", app.consumer.memberid(), [("orders", 1)] if chance.random() < 0.5 else None)
        case 3:
            app.host.frozen = True
            world.at(world.now + chance.uniform(0, 20), lambda: setattr(app.host, "frozen", False))
        case 4:
            app.host.connected = False
            world.at(world.now + chance.uniform(0, 20), lambda: setattr(app.host, "connected", True))
        case 5:
            cluster.broker_down(world.now + chance.uniform(0, 15))
        case 6 | 7:
            setattr(cluster.faults, chance.choice(READING + COMMITS), chance.choice((0.0, 0.3, 1.0)))
        case 8:
            app.stopped = True
            apps[apps.index(app)] = App(world, protocol)
        case 9:
            cluster.append_hole("orders", chance.randrange(4), 2)
    for number in range(4):
        cluster.produce("orders", number, records(chance.randint(0, 20)))


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_everything_is_assigned_and_read_in_the_end(seed, protocol):
    world, chance = World(seed), Random(seed)
    world.cluster.create_topic("orders", 4)
    world.cluster.settings.consumer_session_timeout_s = 10.0
    apps = [App(world, protocol) for _ in range(3)]
    for app in apps:
        app.drain = lambda app=app: app.sleep(chance.uniform(0.0, 3.0))  # type: ignore[misc]
    for _ in range(30):
        befall(world, chance, apps, protocol)
        for app in apps:
            for number in app.has & set(app.read):
                app.commit(number, app.read[number][-1] + 1)
        world.run(chance.uniform(0.0, 5.0))
    for fault in READING + COMMITS:
        setattr(world.cluster.faults, fault, 0.0)
    world.run(90.0)
    assert sorted(number for app in apps for number in app.has) == sorted(EVERY)
    for number in EVERY:
        (owner,) = [app for app in apps if number in app.has]
        last = world.cluster.logs["orders", number].records()[-1].offset()
        reading = owner.consumer._fetcher.readings["orders", number]
        assert reading.position > (last or 0), "it does not read"
        assert not reading.failed
