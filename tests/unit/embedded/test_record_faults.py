"""Faults that hit single records: what the caller is told, and what the stream then holds."""

from base64 import b64encode

import pytest

from bridge.core.quotas import MIB
from bridge.embedded.kinesis_errors import KinesisError, ProvisionedThroughputExceededException
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.put_path import PutAnswer, PutCall
from bridge.embedded.stream import hash_key
from bridge.embedded.traffic_report import report
from tests.unit.embedded.kinesis_driver import NOW, inject, new_model, open_shards, read_shard

FIRST, SECOND = "shardId-000000000000", "shardId-000000000001"
UPPER = 2**127


def numbered(model: KinesisModel, *names: str, key: str = "k", now: float = NOW) -> PutAnswer:
    return model.put_records("orders", [key] * len(names), None, [name.encode() for name in names], now)


def stored(model: KinesisModel, shard_id: str = FIRST) -> list[str]:
    return [record.data.decode(errors="replace") for record in read_shard(model, "orders", shard_id, NOW)]


def unlimited() -> KinesisModel:
    return new_model(enforce_limits=False)


@pytest.mark.parametrize(
    ("kind", "code", "figure"),
    [
        ("record_throttled", "ProvisionedThroughputExceededException", "records_throttled"),
        ("record_internal_failure", "InternalFailure", "records_failed"),
    ],
)
def test_a_refused_record_is_told_and_counted_and_the_others_are_stored(kind, code, figure):
    model = unlimited()
    inject(model, {"kind": kind, "probability": 0.5}, seed=3)
    names = [str(number) for number in range(100)]
    answer = numbered(model, *names)
    assert 20 < len(answer.errors) < 80
    assert {error.code for error in answer.errors.values()} == {code}
    assert stored(model) == [name for index, name in enumerate(names) if index not in answer.errors]
    assert all((index in answer.errors) == (number == "") for index, number in enumerate(answer.sequence_numbers))
    assert model.traffic.total(figure) == len(answer.errors) == model.traffic.faults[kind]
    assert model.traffic.total("records_stored") == 100 - len(answer.errors)
    assert model.traffic.total("bytes_offered") == sum(
        model.traffic.total(name) for name in ("bytes_stored", "bytes_throttled", "bytes_failed")
    )


def test_a_refused_record_takes_no_room_of_its_shard():
    model = new_model()
    inject(model, {"kind": "record_throttled", "times": 1})
    full = model.put_records("orders", ["k"] * 2, None, [bytes(MIB - 1)] * 2, NOW)
    assert list(full.errors) == [0, 1] or list(full.errors) == [1, 0]
    assert model.put_records("orders", ["k"], None, [bytes(MIB - 1)], NOW).errors == {}


def test_put_record_raises_what_its_record_is_refused_with():
    model = unlimited()
    inject(
        model,
        {"kind": "record_throttled", "operation": "PutRecord", "times": 1},
        {"kind": "record_internal_failure", "operation": "PutRecord", "after_calls": 1, "times": 1},
    )
    call = PutCall("orders", ["k"], None, [b"x"], operation="PutRecord")
    with pytest.raises(ProvisionedThroughputExceededException):
        model.put_record(call, NOW)
    with pytest.raises(KinesisError) as caught:
        model.put_record(call, NOW)
    assert (caught.value.code, caught.value.status) == ("InternalFailure", 500)
    model.put_record(call, NOW)
    assert stored(model) == ["x"]


def test_a_record_that_is_acked_and_not_stored_leaves_no_trace_but_its_number():
    model = unlimited()
    plan = inject(model, {"kind": "acked_not_stored", "after_calls": 1, "times": 2})
    numbered(model, "a")
    answer = numbered(model, "b", "c", "d")
    numbered(model, "e")
    assert answer.errors == {}
    assert stored(model) == ["a", "d", "e"]
    assert [injection.sequence_number for injection in plan.log] == answer.sequence_numbers[:2]
    iterator = model.get_shard_iterator("orders", FIRST, "AT_SEQUENCE_NUMBER", NOW, answer.sequence_numbers[1])
    assert model.get_records(iterator, NOW).records.datas == [b"d", b"e"]
    iterator = model.get_shard_iterator("orders", FIRST, "AFTER_SEQUENCE_NUMBER", NOW, answer.sequence_numbers[0])
    first = model.get_records(iterator, NOW, limit=1)
    assert (first.records.datas, first.next_iterator is not None) == ([], True)


def test_lost_records_at_the_end_of_a_closed_shard_do_not_keep_it_from_ending():
    model = unlimited()
    inject(model, {"kind": "acked_not_stored"})
    numbered(model, "a", "b")
    model.split_shard("orders", FIRST, UPPER, NOW)
    answer = model.get_records(model.get_shard_iterator("orders", FIRST, "TRIM_HORIZON", NOW), NOW)
    assert (answer.records.datas, answer.next_iterator) == ([], None)
    assert len(answer.children) == 2


def test_one_byte_is_flipped_and_empty_data_is_let_be():
    model = unlimited()
    plan = inject(model, {"kind": "byte_flipped"}, seed=1)
    answer = model.put_records("orders", ["k"] * 3, None, [b"aaaa", b"", b"b"], NOW)
    found = [record.data for record in read_shard(model, "orders", FIRST, NOW)]
    assert sum(byte != ord("a") for byte in found[0]) == 1
    assert len(found[0]) == 4
    assert found[1:] == [b"", bytes([ord("b") ^ 0xFF])]
    assert [injection.sequence_number for injection in plan.log] == [answer.sequence_numbers[0], answer.sequence_numbers[2]]


def test_a_record_is_stored_twice_and_the_answer_names_the_first():
    model = unlimited()
    plan = inject(model, {"kind": "stored_twice", "times": 1})
    answer = numbered(model, "a", "b")
    records = read_shard(model, "orders", FIRST, NOW)
    assert [record.data for record in records] == [b"a", b"b", b"a"]
    assert [record.sequence_number for record in records[:2]] == answer.sequence_numbers
    assert plan.log[0].other_sequence_number == records[2].sequence_number


def test_two_records_of_a_key_change_places():
    model = unlimited()
    plan = inject(model, {"kind": "swapped", "after_calls": 2, "times": 1})
    numbers = [
        numbered(model, name, key=key).sequence_numbers[0] for name, key in (("a1", "a"), ("b1", "b"), ("a2", "a"), ("a3", "a"))
    ]
    records = read_shard(model, "orders", FIRST, NOW)
    assert [(record.partition_key, record.data) for record in records] == [("a", b"a2"), ("b", b"b1"), ("a", b"a1"), ("a", b"a3")]
    assert [record.sequence_number for record in records] == numbers
    assert (plan.log[0].sequence_number, plan.log[0].other_sequence_number) == (numbers[2], numbers[0])


def test_the_first_record_of_a_key_has_none_to_change_places_with():
    model = unlimited()
    plan = inject(model, {"kind": "swapped"})
    numbered(model, "a", key="a")
    numbered(model, "b", key="b")
    numbered(model, "a", key="a")
    assert stored(model) == ["a", "b", "a"]
    assert (len(plan.log), plan.rules[0].injected, plan.rules[0].calls) == (0, 0, 3)


def test_a_lost_record_changes_places_with_none():
    model = unlimited()
    inject(model, {"kind": "acked_not_stored", "times": 1}, {"kind": "swapped"})
    numbered(model, "a1")
    numbered(model, "a2")
    assert stored(model) == ["a2"]


def test_a_record_is_picked_by_one_fault():
    model = unlimited()
    plan = inject(model, {"kind": "stored_twice", "probability": 0.5}, {"kind": "byte_flipped"})
    answer = numbered(model, *("x" * 20))
    twice = {entry.sequence_number for entry in plan.log if entry.kind == "stored_twice"}
    flipped = {entry.sequence_number for entry in plan.log if entry.kind == "byte_flipped"}
    assert twice
    assert flipped
    assert not twice & flipped
    assert twice | flipped == set(answer.sequence_numbers)


def test_a_foreign_record_stands_before_the_request():
    model = unlimited()
    plan = inject(model, {"kind": "foreign_record", "partition_key": "strange", "data_base64": b64encode(b"new").decode()})
    numbered(model, "a")
    records = read_shard(model, "orders", FIRST, NOW)
    assert [(record.partition_key, record.data) for record in records] == [("strange", b"new"), ("k", b"a")]
    assert plan.log[0].sequence_number == records[0].sequence_number
    assert model.traffic.total("records_offered") == 1


def test_a_foreign_record_goes_where_its_key_leads_or_where_the_fault_says():
    model = new_model(shards=2, enforce_limits=False)
    inject(model, {"kind": "foreign_record"}, {"kind": "foreign_record", "shard": SECOND})
    for _ in range(20):
        model.put_records("orders", ["k"] * 2, [0, UPPER], [b"a", b"b"], NOW)
    by_shard = {shard.shard_id: read_shard(model, "orders", shard.shard_id, NOW) for shard in open_shards(model, "orders", NOW)}
    foreign = {name: [record for record in records if record.partition_key != "k"] for name, records in by_shard.items()}
    led = [record for record in foreign[SECOND] if hash_key(record.partition_key) >= UPPER]
    assert all(hash_key(record.partition_key) < UPPER for record in foreign[FIRST])
    assert len(foreign[FIRST]) + len(led) < len(foreign[FIRST]) + len(foreign[SECOND]) == 40
    assert len({record.partition_key for record in (*foreign[FIRST], *foreign[SECOND])}) == 40


def test_a_fault_is_for_its_stream_and_its_shard():
    model = new_model(shards=2, enforce_limits=False)
    model.streams.create("other", 1, NOW)
    plan = inject(model, {"kind": "record_throttled", "stream": "orders", "shard": SECOND})
    assert model.put_records("other", ["k"], None, [b""], NOW).errors == {}
    answer = model.put_records("orders", ["k"] * 3, [0, UPPER, 0], [b""] * 3, NOW)
    assert list(answer.errors) == [1]
    assert SECOND in answer.errors[1].message
    model.put_records("orders", ["k"], [0], [b""], NOW)
    assert (plan.rules[0].calls, plan.rules[0].injected) == (1, 1)


def test_a_dry_run_meets_no_fault():
    model = unlimited()
    plan = inject(model, {"kind": "foreign_record"})
    with pytest.raises(KinesisError):
        model.put_records("orders", ["k"], None, [b""], NOW, dry_run=True)
    assert (stored(model), plan.rules[0].calls) == ([], 0)


def hits(*faults: dict[str, object], seed: int) -> list[str]:
    """Data of the records that are throttled, in twenty calls of fifty records."""
    model = unlimited()
    inject(model, *faults, seed=seed)
    found = []
    for call in range(20):
        names = [f"{call}/{index}" for index in range(50)]
        answer = numbered(model, *names)
        found += [names[index] for index, error in sorted(answer.errors.items()) if error.code.startswith("Prov")]
    return found


def test_the_same_seed_hits_the_same_records_and_another_fault_does_not_shift_it():
    throttled = {"kind": "record_throttled", "probability": 0.1}
    alone = hits(throttled, seed=5)
    assert 50 < len(alone) < 150
    assert hits(throttled, seed=5) == alone
    assert hits(throttled, seed=6) != alone
    others = [{"kind": "byte_flipped", "probability": 0.5}, {"kind": "record_internal_failure", "probability": 0.3}]
    assert hits(others[0], throttled, seed=5) == alone
    with_failures = hits(others[1], throttled, seed=5)
    assert set(with_failures) < set(alone)
    assert set(hits({**throttled, "probability": 0.05}, seed=5)) < set(alone)


def test_a_fault_begins_after_its_calls_and_its_time_and_ends_after_its_times():
    model = unlimited()
    inject(model, {"kind": "record_throttled", "after_calls": 2, "after_s": 10, "times": 3})
    moments = [NOW, NOW + 20, NOW + 5, NOW + 10, NOW + 11]
    assert [len(numbered(model, "a", "b", now=moment).errors) for moment in moments] == [0, 0, 0, 2, 1]
    assert len(numbered(model, "a", now=NOW + 30).errors) == 0


def test_the_state_tells_what_each_fault_did():
    model = unlimited()
    plan = inject(model, {"kind": "stored_twice", "times": 1}, {"kind": "byte_flipped", "probability": 0.0}, seed=9)
    answer = numbered(model, "a")
    state = plan.state()
    assert (state["seed"], state["since"]) == (9, NOW)
    assert [(fault["kind"], fault["calls"], fault["injected"]) for fault in state["faults"]] == [
        ("stored_twice", 1, 1),
        ("byte_flipped", 1, 0),
    ]
    (entry,) = state["log"]
    assert (entry["kind"], entry["stream"], entry["shard_id"], entry["sequence_number"]) == (
        "stored_twice",
        "orders",
        FIRST,
        answer.sequence_numbers[0],
    )
    assert report(model.traffic, NOW)["faults"] == {"stored_twice": 1}
