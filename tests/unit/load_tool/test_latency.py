"""Percentiles by nearest rank, quantiles of a histogram as Prometheus has them, and reading back."""

import datetime
import math
from typing import Any

import pytest
from aws_kinesis_agg.aggregator import AggRecord
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from loadtest.latency import histogram_figures, histogram_quantile, latency_figures, percentile, read_back

VALUES = st.lists(st.floats(0, 1e4), min_size=1, max_size=60)


@given(VALUES, st.floats(0.001, 1))
def test_a_percentile_is_the_smallest_value_that_enough_values_do_not_exceed(values: list[float], quantile: float):
    found = percentile(sorted(values), quantile)
    assert found in values

    def share_up_to(limit: float) -> float:
        return sum(value <= limit for value in values)

    enough = math.ceil(quantile * len(values))
    assert share_up_to(found) >= enough
    assert all(share_up_to(value) < enough for value in values if value < found)


def test_percentiles_of_a_hundred_values_are_those_values():
    figures = latency_figures([number / 1000 for number in range(100, 0, -1)])
    assert figures == pytest.approx({"latency_p50_ms": 50, "latency_p90_ms": 90, "latency_p99_ms": 99, "latency_max_ms": 100})
    assert latency_figures([]) == {}
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_a_quantile_is_interpolated_within_its_bucket():
    counts = {"0.01": 0.0, "0.02": 50.0, "0.05": 90.0, "0.1": 100.0, "+Inf": 100.0}
    assert histogram_quantile(counts, 0.25) == pytest.approx(0.015)
    assert histogram_quantile(counts, 0.5) == pytest.approx(0.02)
    assert histogram_quantile(counts, 0.95) == pytest.approx(0.075)


def test_what_no_bucket_closes_has_the_highest_edge():
    assert histogram_quantile({"0.5": 1.0, "1.0": 2.0, "+Inf": 10.0}, 0.9) == 1.0
    assert histogram_quantile({"0.5": 0.0, "+Inf": 0.0}, 0.9) is None
    assert histogram_quantile({}, 0.9) is None


def test_only_what_came_between_two_readings_counts():
    before = {"0.1": 1000.0, "0.2": 1000.0, "+Inf": 1000.0}
    after = {"0.1": 1000.0, "0.2": 1010.0, "+Inf": 1010.0}
    assert histogram_figures(before, after) == pytest.approx({"histogram_p50_ms": 150, "histogram_p99_ms": 199})
    assert histogram_figures(after, after) == {}


class Client:
    """Pages of one shard as Kinesis gives them; the first call of each is throttled."""

    def __init__(self, pages: list[list[dict[str, Any]]]) -> None:
        self._pages = pages
        self._asked: set[str] = set()

    def get_shard_iterator(self, **asked: object) -> dict[str, str]:
        assert asked["ShardIteratorType"] == "AT_TIMESTAMP"
        return {"ShardIterator": "0"}

    def get_records(self, ShardIterator: str, Limit: int) -> dict[str, Any]:
        assert Limit > 0
        if ShardIterator not in self._asked:
            self._asked.add(ShardIterator)
            raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "GetRecords")
        number = int(ShardIterator)
        last = number + 1 == len(self._pages)
        page = [{**record, "SequenceNumber": f"{number}{row:03d}"} for row, record in enumerate(self._pages[number])]
        return {"Records": page, "MillisBehindLatest": 0, "NextShardIterator": None if last else str(number + 1)}


def stored(produced_s: float, arrived_s: float, key: str = "key-00000001", number: int = 0) -> dict[str, Any]:
    arrival = datetime.datetime.fromtimestamp(arrived_s, datetime.UTC)
    value = int(produced_s * 1e6).to_bytes(8, "big") + number.to_bytes(8, "big") + b"x"
    return {"PartitionKey": key, "Data": value, "ApproximateArrivalTimestamp": arrival}


def test_records_of_the_window_are_read_back_from_every_page():
    pages = [
        [stored(99.0, 99.5), stored(100.0, 100.25)],
        [stored(101.0, 101.5), stored(101.0, 101.5, key="co-writer")],
        [stored(102.0, 103.0)],
    ]
    found = read_back(Client(pages), "orders", ["shard"], (100.0, 102.0))
    assert found.latencies_s == pytest.approx([0.25, 0.5])
    assert found.out_of_order == 1, "two records with one number"


def test_records_out_of_order_are_counted_by_key_also_inside_packed_ones():
    packed = AggRecord()
    for key, number in (("key-00000001", 3), ("key-00000002", 0), ("key-00000001", 2), ("key-00000001", 4)):
        packed.add_user_record(key, stored(100.0, 0.0, number=number)["Data"])
    pages = [
        [stored(100.0, 100.5, number=1), {**stored(100.0, 101.0), "PartitionKey": "a", "Data": packed.get_contents()[2]}],
        [stored(100.0, 102.0, "key-00000002", number=7), stored(100.0, 102.0, number=5)],
    ]
    found = read_back(Client(pages), "orders", ["shard"], (100.0, 102.0))
    assert found.latencies_s == pytest.approx([0.5, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0])
    assert found.out_of_order == 1
