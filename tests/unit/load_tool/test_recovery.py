"""What the logs of the survivors and the arrivals of records tell of a replica that was killed."""

import datetime
import json
import math
from typing import Any

import pytest

from loadtest.recovery import Backlog, Taken, exactness, flow_again_s, recovery_figures, resent_s, taken_over

KILLED_S = 1_700_000_000.0


def line(at_s: float, event: str, **members: Any) -> str:
    moment = datetime.datetime.fromtimestamp(KILLED_S + at_s, datetime.UTC)
    return json.dumps({"event": event, "timestamp": moment.isoformat().replace("+00:00", "Z"), **members})


LOG = "\n".join(
    [
        line(-20, "partitions_assigned", partitions=["a-b-0"]),
        "a line of another library",
        line(6, "partitions_assigned", partitions=["a-b-1", "a-b-12"]),
        line(7, "partitions_assigned", partitions=[]),
        line(9, "recovery_started", rows=10),
        line(10, "recovery_started", rows=5),
        line(14, "recovery_finished", landed=9, resent=1, unsettled=0),
        line(15, "recovery_finished", landed=1, resent=4, unsettled=2),
    ]
)


def test_the_last_of_each_event_counts_and_nothing_from_before():
    taken = taken_over(["", LOG], KILLED_S)
    assert taken == Taken(frozenset({1, 12}), KILLED_S + 6, KILLED_S + 10, KILLED_S + 15, 15, 10, 5, 2)


@pytest.mark.parametrize("missing", ["partitions_assigned", "recovery_started", "recovery_finished"])
def test_a_recovery_that_is_not_over_is_none(missing: str):
    assert taken_over(["\n".join(text for text in LOG.splitlines() if missing not in text)], KILLED_S) is None


def at_rate(rate: int, begin_s: float, end_s: float) -> list[float]:
    return [begin_s + number / rate for number in range(int((end_s - begin_s) * rate))]


def test_a_rate_is_back_when_most_of_it_is_kept_for_a_while():
    arrivals = at_rate(100, 0, 10) + at_rate(50, 20, 25) + at_rate(100, 25, 40)
    # Two seconds that have nine tenths of the rate: 0.4 of them may be at half of it.
    assert flow_again_s(arrivals, 100, 15) == pytest.approx(24.6, abs=0.11)
    assert flow_again_s(arrivals, 50, 22) == 22
    assert flow_again_s(arrivals, 200, 15) == math.inf
    assert flow_again_s([], 100, 15) == math.inf


def test_what_is_missing_below_what_was_stored_ends_the_resending():
    numbers = {0: [10, 11, 12, 13], 1: [20]}
    arrivals = {10: [1.0], 11: [9.0], 12: [2.0, 8.5], 13: [50.0], 20: [99.0]}
    assert resent_s(Backlog(numbers, arrivals), frozenset({0}), killed_s=3.0) == 9.0
    del arrivals[11]
    assert resent_s(Backlog(numbers, arrivals), frozenset({0}), killed_s=3.0) == math.inf
    assert resent_s(Backlog(numbers, arrivals), frozenset({1}), killed_s=3.0) == -math.inf


def test_lost_and_twice_are_counted_over_all_partitions():
    numbers, arrivals = {0: [1, 2], 1: [3, 4]}, {1: [1.0], 3: [1.0, 2.0, 3.0], 9: [1.0]}
    assert exactness(Backlog(numbers, arrivals)) == {"lost_records": 2, "twice_records": 2}


def test_the_parts_of_the_total_follow_one_another():
    of_killed = at_rate(100, KILLED_S - 10, KILLED_S) + at_rate(100, KILLED_S + 15, KILLED_S + 30)
    backlog = Backlog({1: range(len(of_killed)), 12: [], 0: []}, {number: [at_s] for number, at_s in enumerate(of_killed)})
    found = recovery_figures(taken_over([LOG], KILLED_S), backlog, KILLED_S, before_s=10)
    assert found["killed_records_per_s"] == pytest.approx(100, rel=0.01)
    assert [found[name] for name in ("expiry_s", "lease_wait_s", "read_back_s")] == [6, 4, 5]
    assert found["flow_s"] == 0
    assert found["total_s"] == 15
    assert found["survivor_records_per_s"] == pytest.approx(100, rel=0.01)
    assert found["possible_duplicates"] == 2
    assert found["lost_records"] == found["twice_records"] == 0


def test_a_recovery_that_was_not_seen_took_for_ever():
    assert recovery_figures(None, Backlog({0: [1]}, {}), KILLED_S, 10)["total_s"] == math.inf
