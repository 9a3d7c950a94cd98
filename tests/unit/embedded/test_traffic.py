"""Figures of what came to the streams, against what was sent."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.quotas import MIB
from bridge.embedded.kinesis_errors import KinesisError
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.put_path import PutCall
from bridge.embedded.traffic import CLIENTS_MAX, COUNTS, SERIES_SECONDS_MAX, Traffic
from bridge.embedded.traffic_report import report
from tests.unit.embedded.kinesis_driver import NOW, new_model

FIRST, SECOND = "shardId-000000000000", "shardId-000000000001"
UPPER = 2**127


def put(model: KinesisModel, count: int, now: float, client: str = "a", *, hash_key: int = 0, data: bytes = b"xyz") -> int:
    """Records with the partition key "k" on the shard of the hash key; returns how many were stored."""
    call = PutCall("orders", ["k"] * count, [hash_key] * count, [data] * count, client=client)
    return count - len(model.put(call, now).errors)


def test_a_request_is_counted_by_stream_shard_client_and_second():
    model = new_model(shards=2)
    model.traffic = Traffic(NOW)
    put(model, 500, NOW)
    put(model, 500, NOW + 0.5)
    put(model, 10, NOW + 0.5, "b")
    put(model, 7, NOW + 1.2, hash_key=UPPER)
    found = report(model.traffic, NOW + 2)
    stream = found["streams"]["orders"]
    assert {name: stream[name] for name in COUNTS} == {
        "records_offered": 1017,
        "bytes_offered": 4068,
        "records_stored": 1007,
        "bytes_stored": 4028,
        "records_throttled": 10,
        "bytes_throttled": 40,
        "records_failed": 0,
        "bytes_failed": 0,
    }
    assert (stream["requests"], stream["requests_refused"], stream["requests_over_limit"]) == (4, 0, 0)
    assert (stream["largest_request_records"], stream["largest_request_bytes"], stream["largest_record_bytes"]) == (500, 2000, 4)
    first = stream["shards"][FIRST]
    assert (first["records_offered"], first["records_stored"], first["records_throttled"]) == (1010, 1000, 10)
    assert first["series"]["second"] == [int(NOW)]
    assert first["series"]["records_throttled"] == [10]
    assert stream["shards"][SECOND]["series"]["second"] == [int(NOW) + 1]
    assert stream["clients"]["b"]["records_throttled"] == 10
    assert stream["clients"]["b"]["requests"] == 1
    assert stream["clients"]["a"]["shards"][FIRST]["series"]["bytes_stored"] == [4000]
    assert (found["since"], found["now"], found["series_from"]) == (NOW, NOW + 2, int(NOW))


def test_the_sliding_second_does_not_follow_the_seconds_of_the_clock():
    model = new_model()
    put(model, 400, NOW + 0.7)
    put(model, 400, NOW + 1.6)
    put(model, 400, NOW + 1.65)
    put(model, 10, NOW + 1.7)
    shard = report(model.traffic, NOW + 2)["streams"]["orders"]["shards"][FIRST]
    assert shard["sliding_second_max"] == {
        "records_offered": 1200,
        "bytes_offered": 4800,
        "records_stored": 1000,
        "bytes_stored": 4000,
    }
    assert shard["series"]["records_offered"] == [400, 810]


@pytest.mark.parametrize(
    ("keys", "hash_keys", "data", "over_limit"),
    [
        (["k"] * 501, None, b"x", 1),
        (["k"] * 11, None, bytes(MIB - 1), 1),
        (["k"], None, bytes(MIB), 1),
        (["k" * 257], None, b"", 1),
        ([""], None, b"", 0),
        (["k"], [2**128], b"", 0),
    ],
)
def test_a_refused_request_is_counted_and_its_records_are_not(keys, hash_keys, data, over_limit):
    model = new_model()
    with pytest.raises(KinesisError):
        model.put_records("orders", keys, hash_keys, [data] * len(keys), NOW)
    stream = report(model.traffic, NOW)["streams"]["orders"]
    assert (stream["requests"], stream["requests_refused"], stream["requests_over_limit"]) == (1, 1, over_limit)
    assert stream["largest_request_records"] == len(keys)
    assert stream["largest_request_bytes"] == sum(len(key) + len(data) for key in keys)
    assert stream["largest_record_bytes"] == len(keys[0]) + len(data)
    assert stream["records_offered"] == 0


def test_clients_after_the_sixteenth_are_one():
    model = new_model(enforce_limits=False)
    for number in range(CLIENTS_MAX + 3):
        put(model, 2, NOW, f"client-{number:02}")
    clients = report(model.traffic, NOW)["streams"]["orders"]["clients"]
    assert sorted(clients) == [*(f"client-{number:02}" for number in range(CLIENTS_MAX)), "other"]
    assert (clients["other"]["records_offered"], clients["other"]["requests"]) == (6, 3)


def test_the_series_keeps_its_last_seconds_and_the_totals_keep_all():
    model = new_model(enforce_limits=False)
    model.traffic = Traffic(NOW)
    for second in range(SERIES_SECONDS_MAX + 100):
        put(model, 1, NOW + second)
    found = report(model.traffic, NOW)
    shard = found["streams"]["orders"]["shards"][FIRST]
    assert shard["records_stored"] == SERIES_SECONDS_MAX + 100
    assert shard["series"]["second"] == list(range(int(NOW) + 100, int(NOW) + SERIES_SECONDS_MAX + 100))
    assert found["series_from"] == int(NOW) + 100


def test_series_of_many_shards_are_bounded_by_their_number(monkeypatch):
    monkeypatch.setattr("bridge.embedded.traffic.SERIES_CELLS_MAX", 50)
    model = new_model(shards=10)
    model.traffic = Traffic(NOW)
    for second in range(9):
        model.put_records("orders", ["k"] * 10, [(2**128 // 10) * index + 9 for index in range(10)], [b""] * 10, NOW + second)
    found = report(model.traffic, NOW)
    assert found["series_from"] == int(NOW) + 3
    shard = found["streams"]["orders"]["shards"][FIRST]
    assert shard["series"]["second"] == [int(NOW) + second for second in range(3, 9)]
    assert shard["records_offered"] == 9


def test_a_clock_that_is_set_back_loses_nothing():
    model = new_model(enforce_limits=False)
    for moment in (5, 3, 5, 4):
        put(model, 1, NOW + moment)
    series = report(model.traffic, NOW)["streams"]["orders"]["shards"][FIRST]["series"]
    assert series["second"] == [int(NOW) + 3, int(NOW) + 4, int(NOW) + 5]
    assert series["records_offered"] == [1, 1, 2]


requests = st.lists(
    st.tuples(st.integers(0, 700), st.integers(1, 500), st.integers(0, 3), st.sampled_from("abc"), st.sampled_from((0, 5000))),
    max_size=30,
)


@given(requests)
def test_the_figures_are_what_was_sent_and_answered(script):
    """Times are whole milliseconds, so that the windows are judged without fractions."""
    model = new_model(shards=4)
    milliseconds = 0
    sent: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for pause, count, shard, client, size in script:
        milliseconds += pause
        stored = put(model, count, NOW + milliseconds / 1000, client, hash_key=shard * 2**126, data=bytes(size))
        sent[shard].append((milliseconds, count * (size + 1), stored * (size + 1)))
    found = report(model.traffic, NOW)
    stream = found["streams"].get("orders", {"shards": {}, "clients": {}})
    for index, entries in sent.items():
        shard = stream["shards"][f"shardId-{index:012d}"]
        assert shard["bytes_offered"] == sum(entry[1] for entry in entries) == sum(shard["series"]["bytes_offered"])
        assert shard["bytes_stored"] == sum(entry[2] for entry in entries) == sum(shard["series"]["bytes_stored"])
        assert shard["bytes_throttled"] == shard["bytes_offered"] - shard["bytes_stored"]
        for name, column in (("bytes_offered", 1), ("bytes_stored", 2)):
            windows = [sum(e[column] for e in entries if end - 1000 < e[0] <= end) for end, *_ in entries]
            assert shard["sliding_second_max"][name] == max(windows)
        assert shard["sliding_second_max"]["records_stored"] <= 1000
    for name in COUNTS:
        assert sum(client[name] for client in stream["clients"].values()) == model.traffic.total(name)
        assert sum(shard[name] for shard in stream["shards"].values()) == model.traffic.total(name)
