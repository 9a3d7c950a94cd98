"""Every metric and every log event of the bridge: one catalogue, bounded labels.

Counters and histograms are fed by batch or request, never by record. Gauges are asked for when Prometheus scrapes.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

Event = Literal[
    "bridge_started",
    "bridge_stopping",
    "bridge_stopped",
    "drain_incomplete",
    "kafka_trouble",
    "kafka_recovered",
    "kafka_client_log",
    "kafka_consumer_restarting",
    "lease_lapsed",
    "partitions_assigned",
    "partitions_revoked",
    "partitions_lost",
    "partition_halted",
    "commit_refused",
    "stream_ready",
    "stream_trouble",
    "stream_recovered",
    "shard_map_replaced",
    "hot_lane",
    "record_errors",
    "dead_letters_trouble",
    "dead_letters_recovered",
    "ledger_trouble",
    "ledger_recovered",
    "ledger_written_again",
    "ledger_entries_lost",
    "recovery_started",
    "recovery_finished",
    "recovery_trouble",
    "control_trouble",
    "control_recovered",
    "direction_taken_up",
    "route_held",
    "partition_resumed",
]


@dataclass(slots=True, frozen=True)
class MetricSpec:
    """One metric of the catalogue; the name of a counter ends in `_total`."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


CATALOGUE = (
    MetricSpec("bridge_build_info", "gauge", "Always 1; labels say what runs.", ("version", "name")),
    MetricSpec("bridge_kafka_lag_records", "gauge", "Offsets between the committable one and the end.", ("route", "partition")),
    MetricSpec(
        "bridge_kafka_lag_seconds",
        "gauge",
        "Age of the oldest record that is not in Kinesis; 0 without one.",
        ("route", "partition"),
    ),
    MetricSpec("bridge_records_read_total", "counter", "Records read from Kafka.", ("route",)),
    MetricSpec("bridge_records_acked_total", "counter", "Records that Kinesis confirmed.", ("route",)),
    MetricSpec(
        "bridge_records_parked_total",
        "counter",
        "Records that Kafka confirmed in the dead-letter topic; repeated ones too.",
        ("route", "reason"),
    ),
    MetricSpec(
        "bridge_records_skipped_total", "counter", "Records left out because their policy says `skip`.", ("route", "reason")
    ),
    MetricSpec(
        "bridge_keys_hashed_total",
        "counter",
        "Records whose key was too long and was hashed: it cannot be read back.",
        ("route",),
    ),
    MetricSpec(
        "bridge_partition_halted",
        "gauge",
        "1 while a partition stands still until someone acts; /readyz and `bridge status` name the offset.",
        ("route", "partition", "reason"),
    ),
    MetricSpec("bridge_put_requests_total", "counter", "PutRecords requests by what became of them.", ("stream", "outcome")),
    MetricSpec("bridge_put_records_total", "counter", "Records in PutRecords requests, repeated ones too.", ("stream", "shard")),
    MetricSpec("bridge_put_bytes_total", "counter", "Data and partition keys in PutRecords requests.", ("stream", "shard")),
    MetricSpec(
        "bridge_throttled_records_total", "counter", "Records that a shard refused as over its limit.", ("stream", "shard")
    ),
    MetricSpec("bridge_record_errors_total", "counter", "Records refused for another reason.", ("stream", "code")),
    MetricSpec("bridge_unknown_attempts_total", "counter", "Attempts to put a record whose answer was lost.", ("stream",)),
    MetricSpec(
        "bridge_duplicates_total",
        "counter",
        "Records that may have been written twice: stored after an attempt whose answer was lost.",
        ("route", "reason"),
    ),
    MetricSpec(
        "bridge_possible_duplicates_total",
        "counter",
        "Records sent again though nobody could tell whether an attempt before had stored them.",
        ("route",),
    ),
    MetricSpec(
        "bridge_attempts_in_doubt", "gauge", "Records whose attempt has an unknown outcome, which is looked for in the stream."
    ),
    MetricSpec("bridge_put_seconds", "histogram", "Time from sending a PutRecords request to its answer.", ("stream",)),
    MetricSpec("bridge_delivery_seconds", "histogram", "Time from Kafka's timestamp of a record to its ack.", ("route",)),
    MetricSpec(
        "bridge_shard_budget_used_ratio", "gauge", "Part of our share of a shard in the last second.", ("stream", "shard")
    ),
    MetricSpec(
        "bridge_hot_lane_waiting_records",
        "gauge",
        "Records that wait behind one another in the route's fullest lane.",
        ("route",),
    ),
    MetricSpec(
        "bridge_hot_lane_records_per_second", "gauge", "What that lane sends: one record per round trip at most.", ("route",)
    ),
    MetricSpec(
        "bridge_hot_lane_aggregate_records",
        "gauge",
        "How many of those would go per round trip, in one aggregated record, where now one goes.",
        ("route",),
    ),
    MetricSpec(
        "bridge_ledger_records_total", "counter", "Records that Kinesis stored, or that were parked or skipped, in the ledger."
    ),
    MetricSpec("bridge_ledger_bytes_total", "counter", "Bytes of ledger entries before Kafka's compression."),
    MetricSpec("bridge_ledger_unwritten_records", "gauge", "Records whose ledger entries Kafka has not confirmed yet."),
    MetricSpec("bridge_direction", "gauge", "1 for the direction of the route in the control topic.", ("route", "direction")),
    MetricSpec("bridge_direction_epoch", "gauge", "How often the route has changed its direction, from 1.", ("route",)),
    MetricSpec("bridge_buffer_bytes", "gauge", "Bytes of records in memory, read and not yet confirmed."),
)
_SPECS = {spec.name: spec for spec in CATALOGUE}

Labels = tuple[str, ...]
Sample = tuple[str, Labels, float]
"""Name of a gauge, its labels' values in the catalogue's order, its value."""


class _Buckets:
    """Counts of one histogram, per bucket (not cumulative)."""

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.sum = 0.0

    def observe(self, values: Mapping[float, int]) -> None:
        """Adds values, each as often as it says."""
        for value, times in values.items():
            self.counts[bisect_left(SECONDS, value)] += times
            self.sum += value * times

    def cumulative(self) -> list[tuple[str, float]]:
        total, rows = 0, []
        for bound, count in zip((*map(str, SECONDS), "+Inf"), self.counts, strict=True):
            total += count
            rows.append((bound, float(total)))
        return rows


class Telemetry:
    """Counts, measures, logs; renders the metrics as Prometheus text."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._counters: dict[str, dict[Labels, float]] = {s.name: {} for s in CATALOGUE if s.kind == "counter"}
        self._histograms: dict[str, dict[Labels, _Buckets]] = {s.name: {} for s in CATALOGUE if s.kind == "histogram"}
        self._gauges: list[Callable[[], Iterable[Sample]]] = []
        self._registry = registry or CollectorRegistry()
        self._registry.register(self)
        self._log: Any = structlog.get_logger()

    def log(self, level: Literal["debug", "info", "warning", "error"], event: Event, **fields: object) -> None:
        """Writes one log line."""
        getattr(self._log, level)(event, **fields)

    def count(self, name: str, amount: float, *labels: str) -> None:
        """Adds to a counter."""
        series = self._counters[name]
        series[labels] = series.get(labels, 0.0) + amount

    def total(self, name: str, *labels: str) -> float:
        """What a counter stands at."""
        return self._counters[name].get(labels, 0.0)

    def observe(self, name: str, values: Mapping[float, int], *labels: str) -> None:
        """Adds values to a histogram, each as often as it says."""
        series = self._histograms[name]
        if labels not in series:
            series[labels] = _Buckets()
        series[labels].observe(values)

    def gauges(self, samples: Callable[[], Iterable[Sample]]) -> None:
        """Registers a function that is asked for gauges at each scrape."""
        self._gauges.append(samples)

    def render(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Names are checked by the catalogue's test, not by collecting at start."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Called by the registry at each scrape."""
        families: dict[str, Any] = {}
        for name, counted in self._counters.items():
            counter = CounterMetricFamily(name, _SPECS[name].help, labels=_SPECS[name].labels)
            for labels, value in counted.items():
                counter.add_metric(labels, value)
            families[name] = counter
        for name, observed in self._histograms.items():
            histogram = HistogramMetricFamily(name, _SPECS[name].help, labels=_SPECS[name].labels)
            for labels, buckets in observed.items():
                histogram.add_metric(labels, buckets.cumulative(), buckets.sum)
            families[name] = histogram
        for spec in CATALOGUE:
            if spec.kind == "gauge":
                families[spec.name] = GaugeMetricFamily(spec.name, spec.help, labels=spec.labels)
        for samples in self._gauges:
            for name, labels, value in samples():
                families[name].add_metric(labels, value)
        yield from families.values()
