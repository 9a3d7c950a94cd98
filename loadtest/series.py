"""What came to each shard in each second, from the service's own statistics or from the bridge's metrics. Pure.

Seconds are whole ones of the wall clock. The embedded service counts exactly; from metrics, which are read about once a
second, a second may have a part of its neighbour's records.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

BRIDGE = "bridge"
CO_WRITER = "co-writer"


class Counts(NamedTuple):
    """Records offered to a shard, stored and throttled by it, and bytes (data and partition keys) offered and stored."""

    offered: float = 0.0
    stored: float = 0.0
    throttled: float = 0.0
    offered_bytes: float = 0.0
    stored_bytes: float = 0.0

    @property
    def throttled_share(self) -> float:
        """Throttled records of those offered; 0 where nothing was offered."""
        return self.throttled / self.offered if self.offered else 0.0


COLUMNS = ("records_offered", "records_stored", "records_throttled", "bytes_offered", "bytes_stored")
"""Those of the statistics, in the order of `Counts`."""

Shards = dict[str, dict[int, Counts]]
"""Shard -> second -> counts."""
Series = dict[str, Shards]
"""Client (`BRIDGE`, `CO_WRITER`) -> shards."""


class ShardSample(NamedTuple):
    """What a client says of its records so far: by shard (offered, throttled, offered bytes)."""

    wall_s: float
    shards: Mapping[str, tuple[float, float, float]]


def plus(one: Counts, other: Counts) -> Counts:
    """Column by column."""
    return Counts(*(a + b for a, b in zip(one, other, strict=True)))


def add_series(into: Series, more: Series) -> None:
    """Adds up second by second."""
    for client, shards in more.items():
        for shard, seconds in shards.items():
            target = into.setdefault(client, {}).setdefault(shard, {})
            for second, counts in seconds.items():
                target[second] = plus(target.get(second, Counts()), counts)


def series_of_statistics(document: Mapping[str, Any], stream: str, clients: Mapping[str, str]) -> Series:
    """From the embedded service's document; `clients` is access key id -> name here."""
    found: Series = {}
    told = document["streams"].get(stream, {"clients": {}})["clients"]
    for key, client in told.items():
        for shard, figures in client["shards"].items():
            columns = [figures["series"][name] for name in COLUMNS]
            seconds = zip(figures["series"]["second"], zip(*columns, strict=True), strict=True)
            own = {int(second): Counts(*map(float, counts)) for second, counts in seconds}
            add_series(found, {clients.get(key, key): {shard: own}})
    return found


def series_of_samples(client: str, samples: Sequence[ShardSample]) -> Series:
    """From samples of one process; what came between two of them counts in the second of their middle. What was offered and
    not throttled counts as stored, in records and in bytes."""
    found: Series = {client: {}}
    for before, after in pairwise(samples):
        second = int((before.wall_s + after.wall_s) / 2)
        for shard, now in after.shards.items():
            earlier = before.shards.get(shard, (0.0, 0.0, 0.0))
            offered, throttled, size = (a - b for a, b in zip(now, earlier, strict=True))
            stored = offered - throttled
            counts = Counts(offered, stored, throttled, size, size * stored / offered if offered else 0.0)
            add_series(found, {client: {shard: {second: counts}}})
    return found


def whole_seconds(start_s: float, end_s: float) -> range:
    """Seconds that lie entirely between two moments."""
    first = int(start_s) + (start_s > int(start_s))
    return range(first, max(first, int(end_s)))


def total(series: Series, seconds: Iterable[int], keep: Callable[[str, str], bool] = lambda _client, _shard: True) -> Counts:
    """Sums over seconds; `keep(client, shard)` chooses."""
    wanted = set(seconds)
    sums = Counts()
    for client, shard, of_shard in _cells(series):
        if keep(client, shard):
            for second in wanted & of_shard.keys():
                sums = plus(sums, of_shard[second])
    return sums


def offered_by_second(series: Series, shard: str) -> dict[int, Counts]:
    """Everything that came to one shard, all clients together."""
    sums: dict[int, Counts] = {}
    for _, name, of_shard in _cells(series):
        if name == shard:
            for second, counts in of_shard.items():
                sums[second] = plus(sums.get(second, Counts()), counts)
    return sums


def by_second(series: Series) -> dict[str, dict[str, list[float]]]:
    """Columns for the report: of each client the seconds in which something came, and what was offered, stored, throttled."""
    found = {}
    for client in series:
        seconds = sorted({second for of_shard in series[client].values() for second in of_shard})
        counts = [total({client: series[client]}, [second]) for second in seconds]
        columns = {name: [float(getattr(one, name)) for one in counts] for name in ("offered", "stored", "throttled")}
        found[client] = {"second": [float(second) for second in seconds], **columns}
    return found


def _cells(series: Series) -> Iterator[tuple[str, str, dict[int, Counts]]]:
    for client, shards in series.items():
        for shard, seconds in shards.items():
            yield client, shard, seconds
