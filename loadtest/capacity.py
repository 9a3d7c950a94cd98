"""What the shards can take, and how much of it was used. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bridge.core.quotas import SHARD_BYTES_PER_S, SHARD_RECORDS_PER_S
from loadtest.figures import Figures
from loadtest.series import BRIDGE, CO_WRITER, Counts, Series, offered_by_second, total


@dataclass(frozen=True, slots=True)
class Capacity:
    """Shards of a stream, and the bytes of a record (data and partition key) on average."""

    shards: Sequence[str]
    record_bytes: float

    @property
    def of_shard(self) -> float:
        """Records a second that one shard takes: its limit of records or of bytes, whichever binds."""
        return min(float(SHARD_RECORDS_PER_S), SHARD_BYTES_PER_S / self.record_bytes)

    @property
    def of_stream(self) -> float:
        """Records a second."""
        return self.of_shard * len(self.shards)


def use_figures(series: Series, capacity: Capacity, seconds: Sequence[int]) -> Figures:
    """Stored and throttled records of the bridge, and how evenly the shards were used. Nothing where no second is whole."""
    if not seconds:
        return {}
    counts = total(series, seconds)
    uses = [_stored(series, shard, seconds) / capacity.of_shard for shard in capacity.shards]
    return {
        "records_per_s": counts.stored / len(seconds),
        "mb_per_s": counts.stored_bytes / len(seconds) / 1e6,
        "stored_share": counts.stored / len(seconds) / capacity.of_stream,
        "throttled_share": counts.throttled_share,
        "shard_use_min": min(uses),
        "shard_use_mean": sum(uses) / len(uses),
        "shard_use_max": max(uses),
    }


def _stored(series: Series, shard: str, seconds: Sequence[int]) -> float:
    """Records a second."""
    return total(series, seconds, lambda _, name: name == shard).stored / len(seconds)


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
        if of_bridge.get(second, Counts()).stored >= RECOVERED_SHARE * capacity.of_shard:
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
