"""What the shards can take, and how much of it was used. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bridge.core.quotas import SHARD_BYTES_PER_S, SHARD_RECORDS_PER_S
from loadtest.figures import Figures
from loadtest.series import BRIDGE, CO_WRITER, Counts, Series, offered_by_second, total


@dataclass(frozen=True, slots=True)
class Capacity:
    """Shards of a stream, and the bytes of a record (data and partition key) on average.

    Where many records travel in one, bytes alone bind, and use is counted in them.
    """

    shards: Sequence[str]
    record_bytes: float
    aggregated: bool = False

    @property
    def of_shard(self) -> float:
        """What one shard takes in a second: records, its limit of records or of bytes, whichever binds; bytes where they bind."""
        if self.aggregated:
            return float(SHARD_BYTES_PER_S)
        return min(float(SHARD_RECORDS_PER_S), SHARD_BYTES_PER_S / self.record_bytes)

    @property
    def of_stream(self) -> float:
        """The same of all shards."""
        return self.of_shard * len(self.shards)

    @property
    def records_per_s(self) -> float:
        """Kafka's records that the stream takes at most."""
        return self.of_stream / self.record_bytes if self.aggregated else self.of_stream

    def used(self, counts: Counts) -> float:
        """What was stored, in the unit of `of_shard`."""
        return counts.stored_bytes if self.aggregated else counts.stored


def use_figures(series: Series, capacity: Capacity, seconds: Sequence[int]) -> Figures:
    """Stored and throttled records of the bridge, and how evenly the shards were used. Nothing where no second is whole."""
    if not seconds:
        return {}
    counts = total(series, seconds)
    of_shards = [total(series, seconds, lambda _, name, shard=shard: name == shard) for shard in capacity.shards]  # type: ignore[misc]
    uses = [capacity.used(of_shard) / len(seconds) / capacity.of_shard for of_shard in of_shards]
    return {
        "records_per_s": counts.stored / len(seconds),
        "mb_per_s": counts.stored_bytes / len(seconds) / 1e6,
        "stored_share": capacity.used(counts) / len(seconds) / capacity.of_stream,
        "throttled_share": counts.throttled_share,
        "shard_use_min": min(uses),
        "shard_use_mean": sum(uses) / len(uses),
        "shard_use_max": max(uses),
    }


def co_writer_figures(series: Series, shard: str, written: Sequence[int], wanted_per_s: float) -> Figures:
    """The seconds in which the co-writer wrote to one shard."""
    own = total(series, written, lambda client, name: client == CO_WRITER and name == shard)
    return {
        "co_writer_shard_throttled_share": total(series, written, lambda _, name: name == shard).throttled_share,
        "other_shards_throttled_share": total(series, written, lambda _, name: name != shard).throttled_share,
        "co_writer_kept_share": own.stored / len(written) / wanted_per_s,
        "co_writer_throttled_share": own.throttled_share,
    }


RECOVERED_SHARE = 0.95


def recovery_s(series: Series, shard: str, stopped_s: float, watched: Iterable[int], capacity: Capacity) -> float | None:
    """Seconds from the co-writer's stop to the first whole second in which the bridge stored 95 % of what the shard takes;
    None when that never was."""
    of_bridge = series.get(BRIDGE, {}).get(shard, {})
    for second in sorted(watched):
        if capacity.used(of_bridge.get(second, Counts())) >= RECOVERED_SHARE * capacity.of_shard:
            return max(0.0, second - stopped_s)
    return None


def seconds_over_limit(series: Series, capacity: Capacity, seconds: Iterable[int]) -> int:
    """Pairs of shard and second in which more was offered than a shard takes, in records or bytes."""
    wanted = set(seconds)
    over = 0
    for shard in capacity.shards:
        for second, counts in offered_by_second(series, shard).items():
            too_much = counts.offered > SHARD_RECORDS_PER_S or counts.offered_bytes > SHARD_BYTES_PER_S
            over += second in wanted and too_much
    return over
