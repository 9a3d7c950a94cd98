"""Members come, go, hang and come back: who is asked to give up what, and what is lost."""

from tests.unit.simulation_kafka.world import App, World

EVERY = {0, 1, 2, 3}


def settled(*apps: App) -> bool:
    return sorted(number for app in apps for number in app.has) == sorted(EVERY)


def joined(world: World, *apps: App) -> None:
    """All have a part."""
    assert world.run(30.0, lambda: settled(*apps) and all(app.has for app in apps))


def test_the_first_member_gets_everything_and_the_second_one_half_of_it(world, protocol):
    first = App(world, protocol)
    assert world.run(5.0, lambda: first.has == EVERY)
    second = App(world, protocol)
    joined(world, first, second)
    assert (len(first.has), len(second.has)) == (2, 2)
    assert first.happened("revoke") == [sorted(second.has)]
    assert first.happened("assign") == ([[0, 1, 2, 3], [], []] if protocol == "classic" else [[0, 1, 2, 3], []])


def test_a_partition_is_given_on_only_when_it_has_been_given_up(world, protocol):
    first = App(world, protocol)
    world.run(5.0, lambda: first.has == EVERY)
    first.drain = lambda: first.sleep(8.0)
    second = App(world, protocol)
    assert world.run(10.0, lambda: bool(first.happened("revoke")))
    began = world.now
    joined(world, first, second)
    (given,) = [when for when, kind, numbers in second.log if kind == "assign" and numbers]
    assert given > began + 8.0


def test_a_revocation_that_takes_too_long_costs_the_membership(world):
    first = App(world, "consumer", max_poll_interval_ms=9_000)
    world.run(5.0, lambda: first.has == EVERY)
    first.drain = lambda: first.sleep(20.0)
    second = App(world, "consumer")
    assert world.run(60.0, lambda: second.has == EVERY)
    assert world.cluster.counts["rebalance_timeouts"] == 1
    first.drain = lambda: None
    joined(world, first, second)
    assert first.happened("lost")


def test_a_round_goes_on_without_a_member_that_does_not_join_in_time(world):
    first, second = App(world, "classic", max_poll_interval_ms=9_000), App(world, "classic", max_poll_interval_ms=9_000)
    joined(world, first, second)
    first.drain = lambda: first.sleep(30.0)
    third = App(world, "classic", max_poll_interval_ms=9_000)
    assert world.run(20.0, lambda: first.has < {0, 1} or bool(first.happened("revoke")))
    fourth = App(world, "classic", max_poll_interval_ms=9_000)
    assert world.run(25.0, lambda: settled(second, third, fourth))
    assert world.cluster.counts["rebalance_timeouts"] >= 1
    assert world.run(60.0, lambda: bool(first.happened("lost")))


def test_who_leaves_gives_up_first_and_the_others_have_it_at_once(world, protocol):
    first, second = App(world, protocol), App(world, protocol)
    joined(world, first, second)
    had = sorted(second.has)
    second.stopped = True
    assert world.run(6.0, lambda: first.has == EVERY)
    assert second.happened("revoke")[-1] == had
    assert len(world.cluster.members("group")) == 1


def test_a_frozen_member_loses_all_and_hears_of_it_when_it_comes_back(world, protocol):
    first, second = App(world, protocol), App(world, protocol)
    joined(world, first, second)
    had = sorted(second.has)
    second.host.frozen = True
    assert world.run(20.0, lambda: first.has == EVERY)
    assert not second.happened("lost")
    second.host.frozen = False
    joined(world, first, second)
    assert second.happened("lost") == [had]


def test_a_member_that_is_cut_off_gives_its_session_up_by_itself_under_the_classic_protocol_only(world, protocol):
    app = App(world, protocol)
    world.run(5.0, lambda: app.has == EVERY)
    app.host.connected = False
    assert world.run(20.0, lambda: bool(app.happened("lost"))) is (protocol == "classic")
    app.host.connected = True
    assert world.run(20.0, lambda: app.has == EVERY and bool(app.happened("lost")))


def test_a_short_cut_costs_nothing(world, protocol):
    app = App(world, protocol)
    world.run(5.0, lambda: app.has == EVERY)
    app.host.connected = False
    world.run(4.0)
    app.host.connected = True
    world.run(30.0)
    assert (app.has, app.happened("lost"), len(app.happened("assign"))) == (EVERY, [], 1)


def test_an_application_that_does_not_poll_is_out_until_it_does(world, protocol):
    app = App(world, protocol, max_poll_interval_ms=9_000)
    world.run(5.0, lambda: app.has == EVERY)
    app.commands.append(lambda: app.sleep(20.0))
    world.run(18.0)
    assert world.cluster.members("group") == {}
    assert world.run(20.0, lambda: app.has == EVERY and bool(app.happened("lost")))
    assert "_MAX_POLL_EXCEEDED" in app.errors


def test_new_partitions_and_topics_are_noticed(world, protocol):
    app = App(world, protocol, topics=("^or.*s$",))
    world.run(5.0, lambda: app.has == EVERY)
    world.cluster.add_partitions("orders", 1)
    assert world.run(15.0, lambda: app.has == {0, 1, 2, 3, 4})
    world.cluster.create_topic("oranges", 1)
    assert world.run(15.0, lambda: ("oranges", 0) in app.consumer._fetcher.readings)


def test_a_static_member_that_left_finds_its_partitions_again(world, protocol):
    first = App(world, protocol, group_instance_id="one")
    second = App(world, protocol, group_instance_id="two")
    joined(world, first, second)
    had, before = set(second.has), world.cluster.counts["generations"]
    second.stopped = True
    world.run(2.0)
    again = App(world, protocol, group_instance_id="two")
    assert world.run(10.0, lambda: again.has == had)
    assert first.happened("revoke")[1:] == []
    if protocol == "classic":
        assert world.cluster.counts["generations"] == before


def test_a_static_member_after_a_crash(world, protocol):
    """Under the `consumer` protocol its name is taken until its session ends, and librdkafka gives up for good."""
    crashed = App(world, protocol, group_instance_id="one")
    world.run(5.0, lambda: crashed.has == EVERY)
    crashed.host.frozen, crashed.host.connected = True, False
    again = App(world, protocol, group_instance_id="one")
    assert world.run(30.0, lambda: again.has == EVERY) is (protocol == "classic")
    assert again.errors == ([] if protocol == "classic" else ["_FATAL"])


def test_two_that_share_an_instance_fence_each_other_under_the_classic_protocol(world):
    first = App(world, "classic", group_instance_id="one")
    world.run(5.0, lambda: first.has == EVERY)
    second = App(world, "classic", group_instance_id="one")
    assert world.run(10.0, lambda: second.has == EVERY and bool(first.errors))
    assert (first.errors, first.happened("lost")) == (["_FATAL"], [[0, 1, 2, 3]])


def test_one_seed_gives_one_run(protocol):
    def run(seed: int) -> list[object]:
        world = World(seed)
        world.cluster.create_topic("orders", 4)
        apps = [App(world, protocol) for _ in range(3)]
        for _ in range(5):
            world.run(7.0)
            world.cluster.force_rebalance("group")
        world.run(30.0)
        assert settled(*apps)
        return [app.log for app in apps]

    assert run(7) == run(7)
    assert run(7) != run(8)
