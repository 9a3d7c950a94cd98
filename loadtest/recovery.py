"""A replica that was killed: from the kill until its partitions flow as before, and whether every record is there once. Pure."""

import datetime
import json
import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from loadtest.figures import Figures

RATE_S = 2.0
"""A rate is counted over so long; a step of the search is much shorter."""
STEP_S = 0.1
AS_BEFORE_SHARE = 0.9
"""Of the rate from before: two seconds of a shard that is shared out anew are not exactly as two others."""


class Taken(NamedTuple):
    """What the survivors' logs say of the partitions of the one that was killed; moments are seconds since the epoch."""

    partitions: frozenset[int]
    assigned_s: float
    started_s: float
    finished_s: float
    doubted: int
    landed: int
    resent: int
    unsettled: int


class Backlog(NamedTuple):
    """By partition the numbers of the committed records in the order of their offsets; by number the moments of arrival."""

    numbers: Mapping[int, Sequence[int]]
    arrivals: Mapping[int, Sequence[float]]


def taken_over(logs: Sequence[str], killed_s: float) -> Taken | None:
    """None where nothing was assigned or recovered to its end."""
    events = [event for log in logs for event in _events(log) if event["at_s"] >= killed_s]
    assigned = [event for event in events if event["event"] == "partitions_assigned" and event["partitions"]]
    started = [event for event in events if event["event"] == "recovery_started"]
    finished = [event for event in events if event["event"] == "recovery_finished"]
    if not (assigned and started and finished):
        return None
    return Taken(
        partitions=frozenset(int(name.rpartition("-")[2]) for event in assigned for name in event["partitions"]),
        assigned_s=max(event["at_s"] for event in assigned),
        started_s=max(event["at_s"] for event in started),
        finished_s=max(event["at_s"] for event in finished),
        doubted=sum(event["rows"] for event in started),
        landed=sum(event["landed"] for event in finished),
        resent=sum(event["resent"] for event in finished),
        unsettled=sum(event["unsettled"] for event in finished),
    )


def _events(log: str) -> Iterator[dict[str, Any]]:
    for line in log.splitlines():
        if line.startswith("{"):
            event = json.loads(line)
            yield event | {"at_s": datetime.datetime.fromisoformat(event["timestamp"]).timestamp()}


def flow_again_s(arrivals_s: Sequence[float], rate: float, after_s: float) -> float:
    """The first moment, not before `after_s`, from which `rate` is kept for `RATE_S`; infinity when that never was. `arrivals_s`
    are in order."""
    wanted = AS_BEFORE_SHARE * rate * RATE_S
    last_s = arrivals_s[-1] if arrivals_s else -math.inf
    steps = 0
    while (begin_s := after_s + steps * STEP_S) + RATE_S <= last_s:
        if bisect_left(arrivals_s, begin_s + RATE_S) - bisect_left(arrivals_s, begin_s) >= wanted:
            return begin_s
        steps += 1
    return math.inf


def resent_s(backlog: Backlog, partitions: frozenset[int], killed_s: float) -> float:
    """When the last record had arrived that stands below one which was stored before the kill; infinity where one never did."""
    latest = -math.inf
    for partition in partitions:
        first = [min(backlog.arrivals.get(number, [math.inf])) for number in backlog.numbers[partition]]
        below = max((place for place, at_s in enumerate(first) if at_s <= killed_s), default=-1)
        latest = max(latest, max(first[: below + 1], default=-math.inf))
    return latest


def recovery_figures(taken: Taken | None, backlog: Backlog, killed_s: float, before_s: float) -> Figures:
    """`before_s`: for so long before the kill the rate is counted. A recovery that was not seen took for ever."""
    if taken is None:
        return {"total_s": math.inf} | exactness(backlog)
    arrivals = sorted(
        at_s
        for partition in taken.partitions
        for number in backlog.numbers[partition]
        for at_s in backlog.arrivals.get(number, [])
    )
    rate = (bisect_left(arrivals, killed_s) - bisect_left(arrivals, killed_s - before_s)) / before_s
    opened_s = taken.finished_s
    flows_s = flow_again_s(arrivals, rate, opened_s)
    rest_s = max(arrivals, default=flows_s) - flows_s
    figures: Figures = {
        "killed_records_per_s": rate,
        "expiry_s": taken.assigned_s - killed_s,
        "lease_wait_s": taken.started_s - taken.assigned_s,
        "read_back_s": taken.finished_s - taken.started_s,
        "flow_s": flows_s - opened_s,
        "resend_s": max(0.0, resent_s(backlog, taken.partitions, killed_s) - opened_s),
        "total_s": flows_s - killed_s,
        "doubted_records": taken.doubted,
        "landed_records": taken.landed,
        "resent_records": taken.resent,
        "possible_duplicates": taken.unsettled,
    }
    if rest_s > 0:
        figures["survivor_records_per_s"] = (len(arrivals) - bisect_left(arrivals, flows_s)) / rest_s
    return figures | exactness(backlog)


def exactness(backlog: Backlog) -> Figures:
    """Of all partitions, whoever carried them."""
    lost = sum(number not in backlog.arrivals for numbers in backlog.numbers.values() for number in numbers)
    return {"lost_records": lost, "twice_records": sum(len(moments) - 1 for moments in backlog.arrivals.values())}
