"""Every figure that a part can have: what it is, in which unit, and how many digits are shown."""

from typing import NamedTuple


class Figure(NamedTuple):
    """A row of the report."""

    text: str
    digits: int = 0


Figures = dict[str, float]
"""Name of a figure -> value. A figure that could not be measured is absent."""

FIGURES: dict[str, Figure] = {
    "records_per_s": Figure("stored, records/s"),
    "mb_per_s": Figure("stored, MB/s (data and partition keys)", 1),
    "records_per_cpu_s": Figure("records per CPU second of the bridge"),
    "cpu_use": Figure("CPU seconds a second of the bridge", 2),
    "baseline_records_per_s": Figure("baseline: records/s"),
    "baseline_records_per_cpu_s": Figure("baseline: records per CPU second"),
    "baseline_cpu_use": Figure("baseline: CPU seconds a second", 2),
    "cpu_ratio": Figure("records per CPU second, bridge : baseline", 2),
    "speed_ratio": Figure("records/s, bridge : baseline", 2),
    "requests_per_s": Figure("PutRecords requests/s", 1),
    "records_per_request": Figure("records per request", 1),
    "peak_memory_mib": Figure("peak resident memory of the bridge, MiB", 1),
}
"""In the order of the report. CPU seconds are user and system time of the whole process with its threads."""


def shown(name: str, value: float) -> str:
    """A figure's value with its digits."""
    return f"{value:,.{FIGURES[name].digits}f}"
