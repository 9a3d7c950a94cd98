"""Writing to the Kinesis model, its limits and the states of its streams, case by case."""

import pytest

from bridge.core.quotas import KIB, MIB
from bridge.embedded import kinesis_errors as errors
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.put_path import PutCall
from bridge.embedded.stream import ROUTES_MAX, hash_key
from tests.unit.embedded.kinesis_driver import NOW, new_model, open_shards, put, read_shard

FIRST = "shardId-000000000000"
MIDDLE = 2**127


# Limits of a shard


def test_the_1001st_record_of_a_second_is_refused_and_the_error_names_the_shard():
    model = new_model()
    assert all(put(model, ["k"] * 500, NOW) + put(model, ["k"] * 500, NOW + 0.5))
    answer = model.put_records("orders", ["k"], None, [b"x"], NOW + 0.999)
    assert answer.sequence_numbers == [""]
    assert answer.errors[0].code == "ProvisionedThroughputExceededException"
    assert answer.errors[0].message == (
        "Rate exceeded for shard shardId-000000000000 in stream orders under account 000000000000."
    )
    assert all(put(model, ["k"] * 500, NOW + 1.0))


def test_a_refused_record_does_not_hold_up_a_smaller_one_behind_it():
    model = new_model()
    datas = [bytes(900 * KIB), bytes(200 * KIB), b"small"]
    answer = model.put_records("orders", ["k"] * 3, None, datas, NOW)
    assert list(answer.errors) == [1]
    assert read_shard(model, "orders", FIRST, NOW) == [
        (answer.sequence_numbers[0], "k", datas[0]),
        (answer.sequence_numbers[2], "k", datas[2]),
    ]


def test_partition_keys_count_towards_the_bytes_of_a_second():
    model = new_model()
    assert put(model, ["k" * 256], NOW, bytes(MIB - 256)) != [""]
    assert put(model, ["k"], NOW + 0.5, b"") == [""]
    assert put(model, ["k"], NOW + 1.0, b"") != [""]


def test_a_full_shard_does_not_throttle_its_neighbour():
    model = new_model(shards=2)
    for _ in range(2):
        model.put_records("orders", ["k"] * 500, [0] * 500, [b"x"] * 500, NOW)
    answer = model.put_records("orders", ["k"] * 4, [0, MIDDLE, 1, MIDDLE + 1], [b"x"] * 4, NOW)
    assert sorted(answer.errors) == [0, 2]
    assert answer.shard_ids[1] == "shardId-000000000001"


def test_without_limits_nothing_is_throttled():
    model = new_model(enforce_limits=False)
    assert all(number for _ in range(10) for number in put(model, ["k"] * 500, NOW))


def test_a_record_above_a_seconds_budget_goes_alone_and_is_waited_off():
    model = new_model()
    model.update_max_record_size("orders", 4096, NOW)
    assert put(model, ["k"], NOW, b"first") != [""]
    large = bytes(3 * MIB - 1)
    assert put(model, ["k"], NOW + 0.9, large) == [""]
    assert put(model, ["k"], NOW + 1.0, large) != [""]
    assert put(model, ["k"], NOW + 3.9, b"x") == [""]
    assert put(model, ["k"], NOW + 4.0, b"x") != [""]


# Limits of a request


@pytest.mark.parametrize(
    ("keys", "hash_keys", "data", "error"),
    [
        ([], None, b"x", errors.ValidationException),
        (["k"] * 501, None, b"x", errors.ValidationException),
        ([""], None, b"x", errors.ValidationException),
        (["k" * 257], None, b"x", errors.ValidationException),
        (["\N{GRINNING FACE}" * 129], None, b"x", errors.ValidationException),
        (["k"], [2**128], b"x", errors.InvalidArgumentException),
        (["k"], [-1], b"x", errors.InvalidArgumentException),
        (["k"], None, bytes(MIB), errors.InvalidArgumentException),
        (["k"] * 11, None, bytes(MIB - 1), errors.InvalidArgumentException),
    ],
)
def test_a_request_that_breaks_a_limit_stores_nothing(keys, hash_keys, data, error):
    model = new_model()
    with pytest.raises(error):
        model.put_records("orders", keys, hash_keys, [data] * len(keys), NOW)
    assert read_shard(model, "orders", FIRST, NOW) == []


def test_a_request_at_its_limits_is_taken():
    model = new_model(enforce_limits=False)
    assert all(put(model, ["\N{GRINNING FACE}" * 128] * 10, NOW, bytes(MIB - 512)))


def test_the_size_of_a_request_counts_its_partition_keys():
    model = new_model(shards=2, enforce_limits=False)
    datas = [bytes(MIB - 1)] * 10
    assert model.put_records("orders", ["k"] * 10, None, datas, NOW).errors == {}
    with pytest.raises(errors.InvalidArgumentException):
        model.put_records("orders", ["k"] * 10 + ["k"], None, [*datas, b""], NOW)


def test_dry_run_checks_and_stores_nothing():
    model = new_model()
    with pytest.raises(errors.DryRunOperationException):
        model.put_records("orders", ["k"], None, [b"x"], NOW, dry_run=True)
    with pytest.raises(errors.ResourceNotFoundException):
        model.put_records("unknown", ["k"], None, [b"x"], NOW, dry_run=True)
    assert read_shard(model, "orders", FIRST, NOW) == []


def test_more_partition_keys_than_the_cache_remembers_keep_their_shards():
    model = new_model(shards=4, enforce_limits=False)
    model.streams.find("orders", NOW).route([f"key-{number}" for number in range(ROUTES_MAX + 10)])
    shards = open_shards(model, "orders", NOW)
    for shard_id, key in zip(model.put_records("orders", ["a", "b"], None, [b"", b""], NOW).shard_ids, "ab", strict=True):
        (holder,) = [shard for shard in shards if shard.start_hash_key <= hash_key(key) <= shard.end_hash_key]
        assert shard_id == holder.shard_id


def test_put_record_raises_when_it_is_throttled():
    model = new_model()
    shard_id, number = model.put_record(PutCall("orders", ["k"], None, [bytes(MIB - 1)]), NOW)
    assert (shard_id, len(number)) == (FIRST, 56)
    with pytest.raises(errors.ProvisionedThroughputExceededException):
        model.put_record(PutCall("orders", ["k"], [5], [b"x"]), NOW)


# States


def test_creating_resharding_and_deleting_take_their_time():
    model = KinesisModel(transition_s=10)
    model.streams.create("orders", 1, NOW)
    assert model.streams.find("orders", NOW + 9).status(NOW + 9) == "CREATING"
    with pytest.raises(errors.ResourceNotFoundException):
        put(model, ["k"], NOW + 9)
    with pytest.raises(errors.ResourceInUseException):
        model.split_shard("orders", FIRST, MIDDLE, NOW + 9)
    put(model, ["k"], NOW + 10)
    model.split_shard("orders", FIRST, MIDDLE, NOW + 20)
    assert model.streams.find("orders", NOW + 29).status(NOW + 29) == "UPDATING"
    assert model.put_records("orders", ["k"], None, [b"x"], NOW + 29).shard_ids == [FIRST]
    with pytest.raises(errors.ResourceInUseException):
        model.update_shard_count("orders", 2, NOW + 29)
    assert model.put_records("orders", ["k"], None, [b"x"], NOW + 35).shard_ids != [FIRST]
    closed = model.streams.find("orders", NOW + 40).shards[0]
    assert closed.closed_at == NOW + 30
    model.streams.delete("orders", NOW + 50)
    assert model.streams.find("orders", NOW + 59).status(NOW + 59) == "DELETING"
    with pytest.raises(errors.ResourceNotFoundException):
        model.streams.find("orders", NOW + 60)


def test_at_most_five_streams_are_created_at_once():
    model = KinesisModel(transition_s=1)
    for number in range(5):
        model.streams.create(f"orders-{number}", 1, NOW)
    with pytest.raises(errors.LimitExceededException):
        model.streams.create("orders-5", 1, NOW)
    model.streams.create("orders-5", 1, NOW + 1)


def test_a_stream_is_found_by_its_arn_and_not_by_a_foreign_one():
    model = new_model()
    arn = model.account.arn("orders")
    assert model.streams.find(arn, NOW).name == "orders"
    with pytest.raises(errors.ResourceNotFoundException):
        model.streams.find(arn.replace("us-east-1", "eu-west-1"), NOW)


def test_a_stream_that_ignores_partition_keys_spreads_one_key_over_its_shards():
    model = new_model(shards=3)
    model.streams.find("orders", NOW).distribution = "AUTO"
    answer = model.put_records("orders", ["k"] * 6, [0] * 6, [b"x"] * 6, NOW)
    assert len(set(answer.shard_ids)) == 3
