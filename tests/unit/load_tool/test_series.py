"""Counts by client, shard and second, and what is made of them: use, co-writer, recovery, seconds over a limit."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.quotas import MIB, SHARD_BYTES_PER_S, SHARD_RECORDS_PER_S
from bridge.embedded.traffic import COUNTS
from loadtest.capacity import Capacity, co_writer_figures, recovery_s, seconds_over_limit, use_figures
from loadtest.series import (
    BRIDGE,
    CO_WRITER,
    COLUMNS,
    Counts,
    Series,
    ShardSample,
    add_series,
    by_second,
    series_of_samples,
    series_of_statistics,
    total,
    whole_seconds,
)

SMALL = Capacity(["a", "b"], 100)


def steady(stored: float, seconds: range, throttled: float = 0.0) -> dict[int, Counts]:
    return {second: Counts(stored + throttled, stored, throttled, (stored + throttled) * 100, stored * 100) for second in seconds}


def document(clients: dict[str, dict[str, dict[int, Counts]]]) -> dict[str, Any]:
    def of_shard(seconds: dict[int, Counts]) -> dict[str, Any]:
        columns = {name: [counts[column] for counts in seconds.values()] for column, name in enumerate(COLUMNS)}
        return {"series": {"second": list(seconds), **columns}}

    told = {key: {"shards": {shard: of_shard(seconds) for shard, seconds in shards.items()}} for key, shards in clients.items()}
    return {"streams": {"orders": {"clients": told}}}


@given(st.floats(0, 100), st.floats(0, 100))
def test_whole_seconds_lie_between_two_moments(start: float, end: float):
    seconds = whole_seconds(start, end)
    assert all(start <= second and second + 1 <= end for second in seconds)
    assert len(seconds) >= end - start - 2


def test_columns_are_those_of_the_service():
    assert set(COLUMNS) <= set(COUNTS)
    assert len(COLUMNS) == len(Counts._fields)


def test_statistics_are_taken_by_client_and_second():
    told = document({"KEY": {"a": steady(10, range(5, 7))}, "ELSE": {"a": steady(1, range(6, 7))}})
    series = series_of_statistics(told, "orders", {"KEY": BRIDGE})
    assert total(series, [5]).stored == 10
    assert total(series, [6]).stored == 11
    assert total(series, [6], lambda client, _: client == BRIDGE).stored == 10
    assert total(series, [7]) == Counts()
    assert series_of_statistics(told, "other", {}) == {}


def test_samples_of_counters_become_differences_in_the_second_of_their_middle():
    samples = [
        ShardSample(10.2, {"a": (100, 10, 1000)}),
        ShardSample(11.2, {"a": (200, 10, 2000), "b": (50, 25, 500)}),
        ShardSample(12.2, {"a": (200, 10, 2000), "b": (50, 25, 500)}),
    ]
    series = series_of_samples(BRIDGE, samples)
    assert series[BRIDGE]["a"][10] == Counts(100, 100, 0, 1000, 1000)
    assert series[BRIDGE]["b"][10] == Counts(50, 25, 25, 500, 250)
    assert series[BRIDGE]["a"][11] == Counts()


def test_adding_up_series_keeps_every_record():
    sums: Series = {}
    for _ in range(3):
        add_series(sums, {BRIDGE: {"a": steady(10, range(2))}, CO_WRITER: {"a": steady(1, range(1))}})
    assert total(sums, range(2)).stored == 63


def test_seconds_of_the_report_are_those_of_all_shards_of_a_client():
    series: Series = {BRIDGE: {"a": steady(10, range(1, 3)), "b": steady(5, range(2, 4), throttled=1)}}
    assert by_second(series) == {
        BRIDGE: {"second": [1, 2, 3], "offered": [10, 16, 6], "stored": [10, 15, 5], "throttled": [0, 1, 1]}
    }


@pytest.mark.parametrize(("size", "takes"), [(100, SHARD_RECORDS_PER_S), (2048, SHARD_BYTES_PER_S / 2048)])
def test_the_limit_that_binds_is_the_capacity(size: int, takes: float):
    assert Capacity(["a"], size).of_shard == takes
    assert Capacity(["a", "b", "c"], size).of_stream == 3 * takes
    assert Capacity(["a", "b", "c"], size).records_per_s == 3 * takes


def test_packed_records_are_counted_in_bytes():
    packed = Capacity(["a", "b"], 100, aggregated=True)
    assert (packed.of_shard, packed.of_stream) == (MIB, 2 * MIB)
    assert packed.records_per_s == 2 * MIB / 100
    half = {second: Counts(10, 10, 0, MIB / 2, MIB / 2) for second in range(4)}
    figures = use_figures({BRIDGE: {"a": half, "b": half}}, packed, range(4))
    assert (figures["stored_share"], figures["shard_use_min"]) == (0.5, 0.5)


def test_use_of_the_shards():
    series: Series = {BRIDGE: {"a": steady(1000, range(10)), "b": steady(500, range(10), throttled=100)}}
    figures = use_figures(series, SMALL, range(2, 8))
    assert figures == pytest.approx(
        {
            "records_per_s": 1500,
            "mb_per_s": 0.15,
            "stored_share": 0.75,
            "throttled_share": 1 / 16,
            "shard_use_min": 0.5,
            "shard_use_mean": 0.75,
            "shard_use_max": 1.0,
        }
    )
    assert use_figures(series, SMALL, []) == {}


def test_a_shard_that_got_nothing_is_the_least_used():
    assert use_figures({BRIDGE: {"a": steady(1000, range(3))}}, SMALL, range(3))["shard_use_min"] == 0


def test_the_co_writers_shard_and_the_others_are_told_apart():
    series: Series = {
        BRIDGE: {"a": steady(600, range(4), throttled=30), "b": steady(990, range(4), throttled=10)},
        CO_WRITER: {"a": steady(360, range(4), throttled=10)},
    }
    figures = co_writer_figures(series, "a", range(4), 400)
    assert figures == pytest.approx(
        {
            "co_writer_shard_throttled_share": 40 / 1000,
            "other_shards_throttled_share": 0.01,
            "co_writer_kept_share": 0.9,
            "co_writer_throttled_share": 10 / 370,
        }
    )


def test_recovery_is_the_first_second_at_95_percent_by_the_bridge_alone():
    rising = {20 + number: Counts(stored=stored) for number, stored in enumerate((600, 800, 949, 950, 700))}
    series: Series = {BRIDGE: {"a": rising}, CO_WRITER: {"a": steady(400, range(20, 25))}}
    assert recovery_s(series, "a", 19.5, range(20, 25), SMALL) == pytest.approx(3.5)
    assert recovery_s(series, "a", 19.5, range(20, 23), SMALL) is None
    assert recovery_s(series, "b", 19.5, range(20, 25), SMALL) is None


def test_seconds_over_a_limit_count_all_clients_together():
    series: Series = {
        BRIDGE: {"a": {1: Counts(offered=1000), 2: Counts(offered=700), 3: Counts(offered=1001)}},
        CO_WRITER: {"a": {2: Counts(offered=301)}, "b": {1: Counts(offered=1, offered_bytes=SHARD_BYTES_PER_S + 1)}},
    }
    assert seconds_over_limit(series, SMALL, range(10)) == 3
    assert seconds_over_limit(series, SMALL, [1]) == 1
    assert seconds_over_limit(series, SMALL, [4]) == 0
