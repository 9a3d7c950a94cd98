"""A cluster with the topic `orders` of four partitions, in virtual time."""

import pytest

from tests.unit.simulation_kafka.world import World


@pytest.fixture
def world() -> World:
    world = World()
    world.cluster.create_topic("orders", 4)
    world.cluster.settings.consumer_session_timeout_s = 10.0
    return world


@pytest.fixture(params=["classic", "consumer"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)
