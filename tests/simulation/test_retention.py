"""A partition that stands still for longer than the ledger keeps its entries, and processes that end meanwhile."""

from collections.abc import Mapping
from typing import Any

import pytest

from bridge.app.ledger_refresh import LedgerRefresh
from bridge.core.proof.ledger_floors import ReadSlots
from tests.simulation.ledgered import TOPIC
from tests.simulation.plan import Burst, Fault, Plan, Topic
from tests.simulation.run import Run

RETENTION_S = 60.0
STUCK_TO_S = 200.0
"""Until then one of two shards refuses every record, so that offsets above those are carried and stay uncommitted."""
RECORDS = 60
MARKS: Mapping[str, Mapping[str, Any]] = {
    "unmarked": {},
    "origin": {"carry_origin": True},
    "aggregated": {"format": "aggregated", "aggregate_records_max": 3},
}
AWAY = Fault(10.0, "crash", {"replica": 0, "turns": 0, "again_after": 2 * RETENTION_S})
CRASH = {"replica": 0, "turns": 0, "again_after": 1.0}
LOST = {"stream": "stream", "probability": 0.5, "seconds": 12.0}
ENDS: Mapping[str, tuple[Fault, ...]] = {
    "crash": (Fault(150.0, "crash", CRASH),),
    "stopped": (Fault(150.0, "sigterm", {"replica": 0, "again_after": 1.0}),),
    "crashes": tuple(Fault(at, "crash", CRASH) for at in (8.0, 32.0, 75.0, 150.0)),
    "lost answers": (*(Fault(at, "connection_closed_after_storing", LOST) for at in (20.0, 90.0)), Fault(150.0, "crash", CRASH)),
    "ledger away": (Fault(25.0, "broker_down", {"seconds": 12.0}), Fault(150.0, "crash", CRASH)),
}


def plan(seed: int, route: Mapping[str, Any], *faults: Fault) -> Plan:
    refusing = {"stream": "stream", "shard": "shardId-000000000000", "probability": 1.0, "seconds": STUCK_TO_S - 1}
    policies = {"shard_share": 1.0, "linger": "5ms", "partition_key": "key", "ordering": "key", "null_key": "spread"}
    records = tuple((n % 2, b"key-%d" % (n % 7), 20) for n in range(RECORDS))
    return Plan(
        seed=seed,
        replicas=1,
        protocol="classic",
        static=False,
        buffer_bytes_max=8 * 2**20,
        requests_in_flight_max=8,
        request_records_max=500,
        session_timeout_s=6.0,
        distance_s=0.0,
        streams={"stream": 2},
        topics=(Topic("topic", 2, "stream", {**policies, **route}),),
        bursts=(Burst(3.0, "topic", records),),
        holes=(),
        odd=(),
        faults=(Fault(1.0, "record_internal_failure", refusing), *faults),
        ends_at=STUCK_TO_S + 1,
        ledger_retention_s=RETENTION_S,
    )


def forgot_something(run: Run) -> bool:
    return any(run.cluster.logs[place].start for place in run.cluster.topics[TOPIC])


@pytest.mark.parametrize("route", MARKS.values(), ids=MARKS)
@pytest.mark.parametrize("faults", ENDS.values(), ids=ENDS)
def test_nothing_is_written_twice_however_long_a_record_is_stuck(route, faults):
    run = Run(plan(1, route, *faults))
    outcome = run.run()
    assert outcome.broken == [], "\n".join(outcome.lines)
    assert forgot_something(run)
    assert (outcome.records, outcome.duplicates) == (RECORDS, 0)
    assert sum(replica.possible_duplicates for replica in run.replicas) == 0


def test_where_nobody_was_there_for_as_long_the_partitions_stand_still():
    run = Run(plan(2, {}, AWAY))
    outcome = run.run()
    assert [(broken.law, "halted: {'topic-0': 'evidence_expired'" in broken.detail) for broken in outcome.broken] == [
        ("L1", True)
    ]
    assert forgot_something(run)
    assert outcome.duplicates == 0


def test_without_either_the_law_is_broken(monkeypatch):
    async def look(self: LedgerRefresh) -> None:
        """Nothing is written again."""

    monkeypatch.setattr(LedgerRefresh, "_look", look)
    crash = ENDS["crash"]
    (broken,) = Run(plan(3, {}, *crash)).run().broken
    assert "evidence_expired" in broken.detail
    monkeypatch.setattr(ReadSlots, "lacks", lambda self, floors: None)
    assert {broken.law for broken in Run(plan(3, {}, *crash)).run().broken} == {"L3"}
