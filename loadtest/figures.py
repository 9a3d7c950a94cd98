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
    "stored_share": Figure("stored, part of what the shards take", 4),
    "throttled_share": Figure("throttled, part of what was offered", 4),
    "shard_use_min": Figure("use of a shard: least", 3),
    "shard_use_mean": Figure("use of a shard: mean", 3),
    "shard_use_max": Figure("use of a shard: most", 3),
    "sliding_offered_max": Figure("most offered to a shard in any second, part of its limit", 3),
    "requests_over_limit": Figure("requests over a limit of PutRecords"),
    "co_writer_shard_throttled_share": Figure("co-writer's shard: throttled, part of what was offered to it", 4),
    "other_shards_throttled_share": Figure("other shards meanwhile: throttled, part of what was offered", 4),
    "co_writer_kept_share": Figure("co-writer: stored, part of the rate it wanted", 3),
    "co_writer_throttled_share": Figure("co-writer: throttled, part of what it offered", 4),
    "recovery_s": Figure("seconds until the bridge has 95 % of that shard again", 1),
    "seconds_over_limit": Figure("seconds in which a shard was offered too much, outside rebalances"),
    "alone_stored_share": Figure("stored while a replica was away, part of what the shards take", 4),
    "unsettled_stops": Figure("replicas that were stopped and could not settle everything"),
    "killed_records_per_s": Figure("partitions of the replica that was killed: records/s before"),
    "survivor_records_per_s": Figure("the same partitions, once they flow again: records/s"),
    "expiry_s": Figure("seconds from the kill until the survivor has its partitions", 1),
    "lease_wait_s": Figure("seconds more until the lease is over and the ledger is read", 1),
    "read_back_s": Figure("seconds more until the stream is read back and the partitions are open", 1),
    "flow_s": Figure("seconds more until they flow at the rate from before", 1),
    "total_s": Figure("seconds from the kill until they flow at the rate from before", 1),
    "resend_s": Figure("seconds from their opening until nothing is missing below what was stored before the kill", 1),
    "doubted_records": Figure("records that were looked for in the stream"),
    "landed_records": Figure("records of these that were found there"),
    "resent_records": Figure("records of these that were sent"),
    "possible_duplicates": Figure("records that were sent though it stayed unknown whether they are there"),
    "lost_records": Figure("committed records that are not in the stream"),
    "twice_records": Figure("records that are in the stream more than once"),
    "produced_records_per_s": Figure("produced, records/s"),
    "latency_p50_ms": Figure("production to answer, median, ms", 1),
    "latency_p90_ms": Figure("production to answer, 90th percentile, ms", 1),
    "latency_p99_ms": Figure("production to answer, 99th percentile, ms", 1),
    "latency_max_ms": Figure("production to answer, longest, ms", 1),
    "histogram_p50_ms": Figure("the same by bridge_delivery_seconds: median, ms", 1),
    "histogram_p99_ms": Figure("the same by bridge_delivery_seconds: 99th percentile, ms", 1),
    "out_of_order_records": Figure("records read back that stood behind a later one of their key, or twice"),
    "hot_lane_warnings": Figure("warnings of the bridge that a key needs more than one record per round trip"),
    "sent_records": Figure("records that were produced"),
    "kills": Figure("daemons that were killed"),
    "wrong_places": Figure("records that are not where the ledger says"),
    "unknown_attempts": Figure("attempts whose answer was lost"),
    "drain_s": Figure("seconds from the last record to the last commit", 1),
    "memory_mib": Figure("resident memory of the bridge, median of the second third, MiB", 1),
    "memory_growth_mib": Figure("growth of the bridge's resident memory (median) from the second third to the last, MiB", 1),
    "ledger_mib": Figure("ledger on disk, most in the last third, MiB", 2),
    "ledger_growth_mib": Figure("growth of the ledger on disk from the second third to the last, MiB", 2),
    "ledger_expired_messages": Figure("messages of the ledger that retention removed in the last third"),
    "ledger_kept_share": Figure("messages of the ledger that are kept, part of what its retention and segments imply", 2),
    "offsets_mib": Figure("committed offsets on disk, most in the last third, MiB", 2),
    "control_growth_bytes": Figure("growth of the control topic on disk from the second third to the last, bytes"),
    "kinesis_memory_mib": Figure("resident memory of the embedded Kinesis at the end, MiB", 1),
    "records_per_cpu_s": Figure("records per CPU second of the bridge"),
    "cpu_use": Figure("CPU seconds a second of the bridge", 2),
    "bridge_cores_busy": Figure("use of the bridge's cores, by whatever process", 2),
    "other_cores_busy": Figure("use of the other cores, by whatever process", 2),
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
