"""A partition whose records travel in aggregates fills a shard by bytes, one aggregate after the other."""

import gc
import random

from bridge.core.delivery.ack_tracker import acknowledge
from bridge.core.delivery.aggregate_limits import AggregateLimits
from bridge.core.delivery.aggregates import Aggregate
from bridge.core.delivery.key_strategies import KeyCache, MappingSpec
from bridge.core.delivery.lanes import PartitionLanes
from bridge.core.delivery.mapping import Mapper
from bridge.core.delivery.requests import Request, RequestLimits
from bridge.core.delivery.scheduler import Scheduler
from bridge.core.quotas import MIB, SHARD_BYTES_PER_S
from bridge.core.records import Outcome, PutAnswer
from tests.unit.core.delivery.columns import ORDERS_0, even_shard_map, source_batch

ROUND_TRIP_S = 0.0235
JITTER_S = 0.004
STEP_S = 0.0005
OFFER_S = 0.01
MEASURED_S = (10.0, 20.0)


def test_one_key_fills_its_shard() -> None:
    """The window is sent in bursts of whole aggregates, so what is left of it at the end has to be used too."""
    limits = AggregateLimits(bytes_max=50 * 1024, records_max=500, bridge="mover")
    lanes = PartitionLanes(ORDERS_0, linger_s=0.02, aggregates=limits)
    scheduler = Scheduler(RequestLimits(500, 5 * MIB), even_shard_map(1))
    mapper = Mapper(MappingSpec("key", "orders", aggregates_of="mover"), KeyCache())
    chance = random.Random(1)
    offset, stored, offered_at = 0, 0, 0.0
    under_way: tuple[float, Request] | None = None
    for step in range(int(MEASURED_S[1] / STEP_S)):
        now = step * STEP_S
        if now >= offered_at:
            rows: list[tuple[int, bytes | None, bytes | None]] = [(offset + i, b"key-00000001", b"x" * 188) for i in range(100)]
            scheduler.offer(mapper.map(source_batch(rows, ORDERS_0), lanes)[0], now)
            offset, offered_at = offset + 100, offered_at + OFFER_S
        if under_way and now >= under_way[0]:
            shard_ids = [shard for shard, first, end in under_way[1].runs for _ in range(first, end)]
            outcomes = [Outcome.STORED] * len(under_way[1])
            scheduler.resolve(under_way[1], PutAnswer(None, outcomes, shard_ids, ["1"] * len(outcomes)), now)
            stored += under_way[1].size if now >= MEASURED_S[0] else 0
            under_way = None
        if under_way is None and isinstance(request := scheduler.next_request(now), Request):
            under_way = now + ROUND_TRIP_S + JITTER_S * chance.random(), request
    assert stored / (MEASURED_S[1] - MEASURED_S[0]) >= 0.97 * SHARD_BYTES_PER_S


def test_an_aggregate_is_released_as_soon_as_it_is_stored() -> None:
    """And all its records with it: what only the collector finds stays for seconds, tens of megabytes at full rate."""
    limits = AggregateLimits(bytes_max=1024, records_max=500, bridge="mover")
    lanes = PartitionLanes(ORDERS_0, linger_s=0.0, aggregates=limits)
    scheduler = Scheduler(RequestLimits(500, 5 * MIB), even_shard_map(1))
    mapper = Mapper(MappingSpec("key", "orders", aggregates_of="mover"), KeyCache())
    scheduler.offer(mapper.map(source_batch([(0, b"k", b"v")], ORDERS_0), lanes)[0], 0.0)
    request = scheduler.next_request(0.0)
    assert isinstance(request, Request)
    gc.collect()
    gc.disable()
    try:
        acknowledge(scheduler.resolve(request, PutAnswer(None, [Outcome.STORED], ["shard-0-0"], ["1"]), 0.1).stored)
        del request
        assert not any(isinstance(thing, Aggregate) for thing in gc.get_objects())
    finally:
        gc.enable()
