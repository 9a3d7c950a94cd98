"""How fast a backlog was carried, from samples of counters. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from loadtest.bridges import Sample
from loadtest.errors import LoadTestError


@dataclass(frozen=True, slots=True)
class Speed:
    """Rates between the end of the warm-up and the last sample before the end of the backlog."""

    records_per_s: float
    records_per_cpu_s: float
    cpu_use: float
    """CPU seconds a second."""
    requests_per_s: float
    records_per_request: float
    busy_s_per_s: tuple[float, float] = (0.0, 0.0)
    """Work of the bridge's cores and of the others, by whatever process, in CPU seconds a second."""


def speed_of(samples: Sequence[Sample], backlog_records: int, warm_up_share: float) -> Speed:
    """Raises LoadTestError when fewer than two samples lie between the warm-up and the end."""
    warm_up = backlog_records * warm_up_share
    within = [sample for sample in samples if warm_up <= sample.records < backlog_records]
    if len(within) < 2 or within[-1].cpu_s <= within[0].cpu_s:
        raise LoadTestError(f"drain.backlog_records: {backlog_records} is over before it can be measured; write more")
    return speed_between(within[0], within[-1])


def speed_between(first: Sample, last: Sample) -> Speed:
    """Rates between two samples of one process."""
    seconds, cpu_s = last.at_s - first.at_s, last.cpu_s - first.cpu_s
    records, requests = last.records - first.records, last.requests - first.requests
    return Speed(
        records_per_s=records / seconds,
        records_per_cpu_s=records / cpu_s if cpu_s else 0.0,
        cpu_use=cpu_s / seconds,
        requests_per_s=requests / seconds,
        records_per_request=(last.put_records - first.put_records) / requests if requests else 0.0,
        busy_s_per_s=(
            (last.busy_s[0] - first.busy_s[0]) / seconds,
            (last.busy_s[1] - first.busy_s[1]) / seconds,
        ),
    )


def median_speed(speeds: Sequence[Speed]) -> Speed:
    """Each rate's median: one disturbed round of a noisy machine does not count."""
    return Speed(
        records_per_s=median(speed.records_per_s for speed in speeds),
        records_per_cpu_s=median(speed.records_per_cpu_s for speed in speeds),
        cpu_use=median(speed.cpu_use for speed in speeds),
        requests_per_s=median(speed.requests_per_s for speed in speeds),
        records_per_request=median(speed.records_per_request for speed in speeds),
        busy_s_per_s=(
            median(speed.busy_s_per_s[0] for speed in speeds),
            median(speed.busy_s_per_s[1] for speed in speeds),
        ),
    )
