"""Iterators and GetRecords of the Kinesis model, case by case."""

import pytest

from bridge.core.quotas import MIB
from bridge.embedded import kinesis_errors as errors
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.shard_listing import ShardFilter
from tests.unit.embedded.kinesis_driver import NOW, listed, new_model, open_shards, put, read_shard

FIRST = "shardId-000000000000"
MIDDLE = 2**127


def read_arrivals(model: KinesisModel, now: float) -> list[int]:
    iterator = model.get_shard_iterator("orders", FIRST, "TRIM_HORIZON", now)
    return model.get_records(iterator, now).records.arrivals_ms


def test_latest_begins_after_what_is_there():
    model = new_model()
    put(model, ["old"], NOW)
    iterator = model.get_shard_iterator("orders", FIRST, "LATEST", NOW)
    put(model, ["new"], NOW)
    assert model.get_records(iterator, NOW).records.partition_keys == ["new"]


def test_at_timestamp_begins_with_the_first_record_that_arrived_then_or_later():
    model = new_model()
    for moment in (NOW, NOW + 0.25, NOW + 0.25, NOW + 0.5):
        put(model, [f"{moment - NOW}"], moment)
    now = NOW + 1
    expected = {NOW - 5: 4, NOW: 4, NOW + 0.001: 3, NOW + 0.25: 3, NOW + 0.251: 1, NOW + 0.5: 1, NOW + 0.6: 0}
    for timestamp, count in expected.items():
        now += 1
        iterator = model.get_shard_iterator("orders", FIRST, "AT_TIMESTAMP", now, timestamp)
        assert len(model.get_records(iterator, now).records.datas) == count, timestamp
    with pytest.raises(errors.InvalidArgumentException):
        model.get_shard_iterator("orders", FIRST, "AT_TIMESTAMP", now, now + 1)


def test_an_arrival_that_is_read_finds_its_record_again():
    model = new_model()
    moments = [NOW + 0.0007 * step for step in range(1, 400)]
    for moment in moments:
        put(model, ["k"], moment)
    arrivals = read_arrivals(model, NOW + 1)
    stream = model.streams.find("orders", NOW + 1)
    for place, arrival in enumerate(arrivals, 1):
        assert stream.shards[0].arrival_ms(stream.shards[0].place_at_time(arrival)) == arrivals[place - 1]


def test_the_starting_number_of_a_shard_names_its_beginning():
    model = new_model()
    put(model, ["k"], NOW)
    start = open_shards(model, "orders", NOW)[0].starting_sequence_number
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        iterator = model.get_shard_iterator("orders", FIRST, kind, NOW, start)
        assert len(model.get_records(iterator, NOW).records.datas) == 1


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (None, errors.InvalidArgumentException),
        ("0", errors.InvalidArgumentException),
        ("1" * 56, errors.InvalidArgumentException),
        ("", errors.ValidationException),
        ("x", errors.ValidationException),
        ("-5", errors.ValidationException),
        ("01", errors.ValidationException),
        ("٣", errors.ValidationException),
    ],
)
def test_a_number_of_no_record_is_refused(number, error):
    model = new_model()
    put(model, ["k"], NOW)
    with pytest.raises(error):
        model.get_shard_iterator("orders", FIRST, "AT_SEQUENCE_NUMBER", NOW, number)


def test_a_number_of_another_shard_is_refused():
    model = new_model(shards=2)
    number = model.put_records("orders", ["k"], [MIDDLE], [b"x"], NOW).sequence_numbers[0]
    with pytest.raises(errors.InvalidArgumentException):
        model.get_shard_iterator("orders", FIRST, "AFTER_SEQUENCE_NUMBER", NOW, number)


def test_an_iterator_lives_for_300_seconds():
    model = new_model()
    iterator = model.get_shard_iterator("orders", FIRST, "TRIM_HORIZON", NOW)
    model.get_records(iterator, NOW + 300)
    with pytest.raises(errors.ExpiredIteratorException):
        model.get_records(iterator, NOW + 300.1)


def test_an_iterator_does_not_outlive_its_stream():
    model = new_model()
    iterator = model.get_shard_iterator("orders", FIRST, "TRIM_HORIZON", NOW)
    model.streams.delete("orders", NOW + 1)
    with pytest.raises(errors.ResourceNotFoundException):
        model.get_records(iterator, NOW + 1)
    model.streams.create("orders", 1, NOW + 2)
    with pytest.raises(errors.InvalidArgumentException):
        model.get_records(iterator, NOW + 2)


def test_five_reads_of_a_shard_per_second():
    model = new_model()
    iterator = model.get_shard_iterator("orders", FIRST, "TRIM_HORIZON", NOW)
    for call in range(5):
        model.get_records(iterator, NOW + call / 10)
    with pytest.raises(errors.ProvisionedThroughputExceededException):
        model.get_records(iterator, NOW + 0.99)
    model.get_records(iterator, NOW + 1.0)


def test_five_iterators_of_a_shard_per_second():
    model = new_model()
    for _ in range(5):
        model.get_shard_iterator("orders", FIRST, "LATEST", NOW)
    with pytest.raises(errors.ProvisionedThroughputExceededException):
        model.get_shard_iterator("orders", FIRST, "LATEST", NOW)


def test_a_read_of_ten_mebibytes_is_waited_off_for_five_seconds():
    model = new_model()
    for second in range(12):
        put(model, ["k"], NOW + second, bytes(MIB - 1))
    now = NOW + 20
    answer = model.get_records(model.get_shard_iterator("orders", FIRST, "TRIM_HORIZON", now), now)
    assert len(answer.records.datas) == 10
    assert answer.next_iterator is not None
    assert answer.millis_behind_latest == 10_000
    with pytest.raises(errors.ProvisionedThroughputExceededException):
        model.get_records(answer.next_iterator, now + 4.9)
    rest = model.get_records(answer.next_iterator, now + 5.0)
    assert (len(rest.records.datas), rest.millis_behind_latest) == (2, 0)


def test_a_reader_that_is_behind_never_sees_zero_even_while_the_clock_stands():
    model = new_model()
    put(model, ["a", "b"], NOW)
    answer = model.get_records(model.get_shard_iterator("orders", FIRST, "TRIM_HORIZON", NOW), NOW, limit=1)
    assert answer.millis_behind_latest > 0


def test_the_end_of_a_closed_shard_names_its_children():
    model = new_model()
    put(model, ["a", "b"], NOW)
    model.split_shard("orders", FIRST, MIDDLE, NOW)
    first = model.get_records(model.get_shard_iterator("orders", FIRST, "TRIM_HORIZON", NOW), NOW, limit=1)
    assert first.next_iterator is not None
    assert first.children == []
    last = model.get_records(first.next_iterator, NOW)
    assert last.next_iterator is None
    assert [child.shard_id for child in last.children] == ["shardId-000000000001", "shardId-000000000002"]
    assert [parent.shard_id for parent in last.children[0].parents] == [FIRST]


def test_records_older_than_the_retention_are_gone_and_so_is_their_shard():
    model = new_model(enforce_limits=False)
    put(model, ["old"], NOW)
    model.split_shard("orders", FIRST, MIDDLE, NOW + 3600)
    day = NOW + 86_400
    assert read_shard(model, "orders", FIRST, day) != []
    assert read_shard(model, "orders", FIRST, day + 1) == []
    assert listed(model, ShardFilter(), day + 3600) == [0, 1, 2]
    assert listed(model, ShardFilter(), day + 3601) == [1, 2]
    with pytest.raises(errors.ResourceNotFoundException):
        model.get_shard_iterator("orders", FIRST, "TRIM_HORIZON", day + 3601)


def test_writing_frees_what_the_retention_has_passed():
    model = new_model()
    put(model, ["old"] * 3, NOW)
    put(model, ["new"], NOW + 86_401)
    assert open_shards(model, "orders", NOW + 86_401)[0].first_place == 4


def test_records_may_be_kept_for_less_than_the_retention_and_never_for_more():
    model = KinesisModel(enforce_limits=False, kept_s=60.0)
    model.streams.create("orders", 1, NOW)
    put(model, ["old"], NOW)
    put(model, ["new"], NOW + 61)
    assert [record.partition_key for record in read_shard(model, "orders", FIRST, NOW + 61)] == ["new"]
    assert model.streams.find("orders", NOW + 61).retention_hours == 24
    patient = KinesisModel(enforce_limits=False, kept_s=1e9)
    patient.streams.create("orders", 1, NOW)
    put(patient, ["old"], NOW)
    assert read_shard(patient, "orders", FIRST, NOW + 86_401) == []


def test_a_number_that_was_trimmed_begins_at_the_trim_horizon():
    model = new_model()
    (old,) = put(model, ["old"], NOW)
    put(model, ["new"], NOW + 100)
    now = NOW + 86_400 + 50
    iterator = model.get_shard_iterator("orders", FIRST, "AT_SEQUENCE_NUMBER", now, old)
    assert model.get_records(iterator, now).records.partition_keys == ["new"]


def test_a_clock_that_is_set_back_keeps_arrivals_and_numbers_in_order():
    model = new_model()
    numbers = put(model, ["a"], NOW) + put(model, ["b"], NOW - 30)
    assert int(numbers[0]) < int(numbers[1])
    assert read_arrivals(model, NOW) == sorted(read_arrivals(model, NOW))


def test_a_longer_retention_does_not_bring_back_what_is_gone():
    model = new_model()
    stream = model.streams.find("orders", NOW)
    put(model, ["gone"], NOW)
    put(model, ["kept"], NOW + 3600)
    now = NOW + 86_400 + 1800
    stream.keep_for(48, now)
    assert [record.partition_key for record in read_shard(model, "orders", FIRST, now)] == ["kept"]
    assert [record.partition_key for record in read_shard(model, "orders", FIRST, NOW + 86_400 * 2)] == ["kept"]
    stream.keep_for(24, NOW + 86_400 * 2)
    assert read_shard(model, "orders", FIRST, NOW + 86_400 * 2) == []
