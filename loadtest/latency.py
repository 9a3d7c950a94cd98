"""How long records took: read back one by one, and as the bridge's own histogram tells it."""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from loadtest.figures import Figures
from loadtest.keys import is_own_key, number_of, produced_at_s
from loadtest.reading import stored_since
from loadtest.servers import READERS_MAX

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def percentile(ordered: Sequence[float], quantile: float) -> float:
    """The smallest value that at least this part of all values do not exceed (nearest rank). Raises ValueError without values."""
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, math.ceil(quantile * len(ordered)) - 1)]


def latency_figures(latencies_s: Sequence[float]) -> Figures:
    """Exact percentiles in milliseconds; nothing without values."""
    if not latencies_s:
        return {}
    ordered = sorted(latencies_s)
    found = {f"latency_{name}_ms": percentile(ordered, quantile) * 1000 for name, quantile in QUANTILES.items()}
    return {**found, "latency_max_ms": ordered[-1] * 1000}


def histogram_quantile(counts: Mapping[str, float], quantile: float) -> float | None:
    """From cumulative counts by upper edge (`le`), linear within a bucket as Prometheus does it; None without records. What lies
    in the last, open bucket has the highest closed edge."""
    edges = sorted((float(edge), count) for edge, count in counts.items())
    rank = quantile * edges[-1][1] if edges else 0.0
    if not rank:
        return None
    lower, below = 0.0, 0.0
    for edge, count in edges:
        if count >= rank:
            return lower if math.isinf(edge) else lower + (edge - lower) * (rank - below) / (count - below)
        lower, below = edge, count
    return lower


def histogram_figures(before: Mapping[str, float], after: Mapping[str, float]) -> Figures:
    """Of what came between two readings of the bridge's histogram of deliveries, in milliseconds."""
    counts = {edge: count - before.get(edge, 0.0) for edge, count in after.items()}
    found = {name: histogram_quantile(counts, QUANTILES[name]) for name in ("p50", "p99")}
    return {f"histogram_{name}_ms": value * 1000 for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ReadBack:
    """Of every record that was produced between two moments: seconds from production to arrival; and how many of them stood
    behind a later record of their key."""

    latencies_s: list[float]
    out_of_order: int


def read_back(client: Any, stream: str, shards: Sequence[str], window: tuple[float, float]) -> ReadBack:  # noqa: ANN401 - botocore has no types
    """All shards at once. Packed records are opened by another's code. A key has one shard.

    Raises LoadTestError when a shard cannot be read to its end in time.
    """
    with ThreadPoolExecutor(READERS_MAX) as readers:
        parts = list(readers.map(lambda shard: _of_shard(client, stream, shard, window), shards))
    latencies = [latency for part in parts for latency in part.latencies_s]
    return ReadBack(latencies, sum(part.out_of_order for part in parts))


def _of_shard(client: Any, stream: str, shard: str, window: tuple[float, float]) -> ReadBack:  # noqa: ANN401 - botocore has no types
    start_s, end_s = window
    last: dict[str, int] = {}
    out_of_order = 0
    latencies = []
    for key, value, arrived_s in stored_since(client, stream, shard, start_s - 1.0):
        if is_own_key(key) and start_s <= (at_s := produced_at_s(value)) < end_s:
            latencies.append(arrived_s - at_s)
            number = number_of(value)
            out_of_order += number <= last.get(key, -1)
            last[key] = max(number, last.get(key, -1))
    return ReadBack(latencies, out_of_order)
