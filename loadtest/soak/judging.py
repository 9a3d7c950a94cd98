"""What the samples of a soak say, and what has to hold. Pure."""

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

from loadtest.figures import Figures
from loadtest.scenario import Limit

MIB = 1024**2
MEMORY_GROWTH_SHARE, MEMORY_GROWTH_MIB = 0.1, 16.0
"""The first third does not count: caches, queues and the allocator's arenas fill. From then on the load is the same, and so must
be the memory. A median leaves out moments, such as a read-back of many records. A tenth of it, or 16 MiB where that is more, is
how far the allocator of a process of this size wanders; a leak of less than that in a third of the run needs a longer run."""
LEDGER_MARGIN = 1.2
"""Kafka removes whole segments, some seconds after it may."""
OFFSETS_SEGMENT_BYTES = MIB
OFFSETS_SEGMENTS_MAX = 4
"""The one that is written, one that was just closed, one that is compacted, and what came of those before."""


class Sample(NamedTuple):
    """At one moment, seconds from the beginning. `memory` is of the daemon that has most, None where they are killed; offsets
    are sums over all slots."""

    at_s: float
    memory: int | None
    kinesis_memory: int
    ledger_bytes: int
    ledger_low: int
    ledger_high: int
    offsets_bytes: int
    control_bytes: int


class LedgerKeeping(NamedTuple):
    """How long Kafka keeps the ledger: retention, the time after which a segment is closed, and how often it looks."""

    retention_s: float
    segment_s: float
    check_s: float

    @property
    def longest_s(self) -> float:
        """A message goes with its segment, once the youngest in there is old enough and somebody looks."""
        return self.retention_s + self.segment_s + self.check_s


def figures_of(samples: Sequence[Sample], duration_s: float, keeping: LedgerKeeping | None) -> Figures:
    """Without `keeping` the ledger keeps everything. Nothing of a third in which there is no sample."""
    middle = [one for one in samples if duration_s / 3 <= one.at_s < 2 * duration_s / 3]
    last = [one for one in samples if 2 * duration_s / 3 <= one.at_s]
    if not middle or not last:
        return {}
    found: Figures = {
        "ledger_mib": _most(last, _ledger_bytes) / MIB,
        "offsets_mib": _most(last, _offsets_bytes) / MIB,
        "kinesis_memory_mib": last[-1].kinesis_memory / MIB,
    }
    of_middle, of_last = ([one.memory for one in third if one.memory is not None] for third in (middle, last))
    if of_middle and of_last:
        found["memory_mib"] = median(of_middle) / MIB
        found["memory_growth_mib"] = (median(of_last) - median(of_middle)) / MIB
        found["control_growth_bytes"] = _most(last, _control_bytes) - _most(middle, _control_bytes)
    if keeping is not None:
        found["ledger_growth_mib"] = (_most(last, _ledger_bytes) - _most(middle, _ledger_bytes)) / MIB
        found["ledger_expired_messages"] = last[-1].ledger_low - middle[-1].ledger_low
        # Of the last third: what is written follows from how often the ledger is flushed, and that is not the same all the time.
        per_s = (last[-1].ledger_high - middle[-1].ledger_high) / (last[-1].at_s - middle[-1].at_s)
        kept = _most(last, lambda one: one.ledger_high - one.ledger_low)
        found["ledger_kept_share"] = kept / (per_s * keeping.longest_s) if per_s else math.inf
    return found


def limits_of(figures: Figures, keeping: LedgerKeeping | None, with_places: bool) -> dict[str, Limit]:
    """What has to hold."""
    limits = {name: Limit(max=0) for name in ("lost_records", "twice_records", "out_of_order_records", "unsettled_stops")}
    limits["offsets_mib"] = Limit(max=OFFSETS_SEGMENTS_MAX * OFFSETS_SEGMENT_BYTES / MIB)
    if with_places:
        return limits | {"wrong_places": Limit(max=0)}
    limits["memory_growth_mib"] = Limit(max=max(MEMORY_GROWTH_MIB, MEMORY_GROWTH_SHARE * figures.get("memory_mib", 0.0)))
    limits["control_growth_bytes"] = Limit(max=0)
    if keeping is not None:
        limits["ledger_expired_messages"] = Limit(min=1)
        limits["ledger_kept_share"] = Limit(max=LEDGER_MARGIN)
        limits["ledger_growth_mib"] = Limit(max=max(0.25, (LEDGER_MARGIN - 1) * figures.get("ledger_mib", 0.0)))
    return limits


def _most(samples: Sequence[Sample], value: Callable[[Sample], int]) -> int:
    return max(map(value, samples))


def _ledger_bytes(sample: Sample) -> int:
    return sample.ledger_bytes


def _offsets_bytes(sample: Sample) -> int:
    return sample.offsets_bytes


def _control_bytes(sample: Sample) -> int:
    return sample.control_bytes
