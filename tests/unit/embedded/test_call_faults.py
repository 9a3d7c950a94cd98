"""Faults that hit whole calls: what is decided for a call, what the caller is told, what the stream then holds."""

from typing import Any

import orjson
import pybase64
import pytest

from bridge.embedded.call_faults import PLAIN, CallFate, Ending, fate_of, take_up
from bridge.embedded.calls import read_call
from bridge.embedded.kinesis_errors import KinesisError
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.request_fields import Call
from tests.unit.embedded.kinesis_driver import NOW, inject, new_model, open_shards, read_shard

FIRST, SECOND = "shardId-000000000000", "shardId-000000000001"
UPPER = 2**127


def call_of(operation: str, **members: Any) -> Call:
    return read_call(operation, orjson.dumps({"StreamName": "orders", **members}))


def put_of(*datas: bytes, hash_key: int = 0) -> Call:
    records = [
        {"PartitionKey": "k", "ExplicitHashKey": str(hash_key), "Data": pybase64.b64encode_as_string(data)} for data in datas
    ]
    return call_of("PutRecords", Records=records)


def ended(model: KinesisModel, call: Call, now: float = NOW) -> tuple[CallFate, str]:
    """The fate of a call, and the code of its error, "answered", or how else it ends."""
    fate = fate_of(model, call, now)
    try:
        take_up(model, call, fate, now)
    except KinesisError as error:
        return fate, error.code
    return fate, fate.ending.value


def stored(model: KinesisModel, shard_id: str = FIRST) -> list[bytes]:
    return [record.data for record in read_shard(model, "orders", shard_id, NOW)]


def unlimited(shards: int = 1) -> KinesisModel:
    return new_model(shards=shards, enforce_limits=False)


@pytest.mark.parametrize(
    ("fault", "end", "is_stored"),
    [
        ({"kind": "request_throttled"}, "ProvisionedThroughputExceededException", False),
        ({"kind": "error_before_storing"}, "InternalFailure", False),
        ({"kind": "error_before_storing", "status": 503}, "ServiceUnavailable", False),
        ({"kind": "error_after_storing"}, "InternalFailure", True),
        ({"kind": "error_after_storing", "status": 503}, "ServiceUnavailable", True),
        ({"kind": "connection_closed_before_storing"}, "closed", False),
        ({"kind": "connection_closed_after_storing"}, "closed", True),
        ({"kind": "hung"}, "hung", False),
        ({"kind": "hung", "stored": True}, "hung", True),
        ({"kind": "stream_not_active"}, "ResourceNotFoundException", False),
        ({"kind": "stream_not_active", "status": "DELETING"}, "ResourceNotFoundException", False),
        ({"kind": "stream_not_active", "status": "UPDATING"}, "answered", True),
        ({"kind": "answer_delayed", "delay_s": 1}, "answered", True),
        ({"kind": "stored_late", "delay_s": 1}, "answered", True),
        ({"kind": "latency", "delay_s": 1}, "answered", True),
    ],
)
def test_what_the_caller_gets_and_what_the_stream_holds(fault, end, is_stored):
    model = unlimited()
    inject(model, {**fault, "times": 1})
    assert ended(model, put_of(b"a"))[1] == end
    assert stored(model) == [b"a"] * is_stored
    assert ended(model, put_of(b"b")) == (PLAIN, "answered")
    assert stored(model) == [*[b"a"] * is_stored, b"b"]
    assert model.traffic.faults == {fault["kind"]: 1}


@pytest.mark.parametrize(
    ("fault", "figure"),
    [
        ({"kind": "request_throttled"}, "records_throttled"),
        ({"kind": "error_before_storing"}, "records_failed"),
        ({"kind": "connection_closed_before_storing"}, "records_failed"),
        ({"kind": "error_after_storing"}, "records_stored"),
    ],
)
def test_a_request_that_an_error_keeps_from_the_stream_was_offered(fault, figure):
    model = new_model()
    inject(model, fault)
    ended(model, put_of(b"aa", b"bb"))
    assert model.traffic.total("records_offered") == model.traffic.total(figure) == 2
    assert model.traffic.total("bytes_offered") == 6


def test_an_invalid_request_is_not_offered_whatever_else_befalls_it():
    model = new_model()
    inject(model, {"kind": "error_before_storing"})
    assert ended(model, put_of())[1] == "InternalFailure"
    assert model.traffic.total("records_offered") == 0
    inject(model, {"kind": "error_after_storing"})
    assert ended(model, put_of())[1] == "InternalFailure"


def test_delays_add_up_and_the_first_ending_holds():
    model = unlimited()
    plan = inject(
        model,
        {"kind": "latency", "delay_s": 2},
        {"kind": "stored_late", "delay_s": 4},
        {"kind": "answer_delayed", "delay_s": 8},
        {"kind": "error_after_storing"},
        {"kind": "connection_closed_before_storing"},
        {"kind": "stored_late", "delay_s": 3, "closed_after_s": 1},
    )
    fate = fate_of(model, put_of(b"a"), NOW)
    assert (fate.wait_s, fate.answer_wait_s, fate.ending, fate.carried_out) == (5, 9, Ending.ANSWERED, True)
    assert fate.error is not None
    assert [rule.injected for rule in plan.rules] == [1, 1, 1, 1, 0, 0]
    assert [rule.calls for rule in plan.rules] == [1] * 6


def test_a_late_request_may_lose_its_connection_before():
    model = unlimited()
    inject(model, {"kind": "stored_late", "delay_s": 3, "closed_after_s": 0})
    fate = fate_of(model, put_of(b"a"), NOW)
    assert (fate.wait_s, fate.closed_after_s, fate.carried_out) == (3, 0, True)


def test_jitter_is_added_by_chance_and_the_same_with_the_same_seed():
    def waits(seed: int) -> list[float]:
        model = unlimited()
        inject(model, {"kind": "latency", "delay_s": 1, "jitter_s": 0.5}, seed=seed)
        fates = [fate_of(model, put_of(b"a"), NOW) for _ in range(20)]
        return [fate.wait_s + fate.answer_wait_s for fate in fates]

    found = waits(1)
    assert all(1 <= wait <= 1.5 for wait in found)
    assert len(set(found)) == 20
    assert waits(1) == found != waits(2)


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("GetRecords", None),
        ("GetShardIterator", {"ShardId": FIRST, "ShardIteratorType": "LATEST"}),
        ("DescribeStreamSummary", {}),
        ("ListShards", {}),
        ("PutRecord", {"PartitionKey": "k", "Data": ""}),
        ("SplitShard", {"ShardToSplit": FIRST, "NewStartingHashKey": "9"}),
        ("ListStreams", {}),
    ],
)
def test_any_operation_can_be_hit_and_no_other_is(operation, members):
    model = unlimited()
    iterator = model.get_shard_iterator("orders", FIRST, "LATEST", NOW)
    call = call_of(operation, **({"ShardIterator": iterator} if members is None else members))
    inject(model, {"kind": "request_throttled", "operation": operation})
    assert ended(model, put_of(b"a"))[1] == "answered"
    assert ended(model, call)[1] == "ProvisionedThroughputExceededException"
    inject(model, {"kind": "error_before_storing", "operation": "*"})
    assert ended(model, call)[1] == ended(model, put_of(b"a"))[1] == "InternalFailure"


@pytest.mark.parametrize("by", ["name", "arn"])
def test_a_fault_of_a_stream_hits_calls_to_it_only(by):
    model = unlimited()
    model.streams.create("other", 1, NOW)
    inject(model, {"kind": "error_before_storing", "stream": "orders", "operation": "*"})
    named = {"StreamName": None, "StreamARN": model.account.arn("orders")} if by == "arn" else {}
    assert ended(model, call_of("DescribeStream", **named))[1] == "InternalFailure"
    assert ended(model, call_of("DescribeStream", StreamName="other"))[1] == "answered"
    iterator = model.get_shard_iterator("orders", FIRST, "LATEST", NOW)
    assert ended(model, read_call("GetRecords", orjson.dumps({"ShardIterator": iterator})))[1] == "InternalFailure"
    assert ended(model, read_call("ListStreams", b""))[1] == "answered"


def test_a_fault_of_a_shard_hits_calls_that_touch_it_only():
    model = unlimited(shards=2)
    inject(model, {"kind": "error_before_storing", "shard": SECOND, "operation": "*"})
    assert ended(model, put_of(b"a"))[1] == "answered"
    assert ended(model, put_of(b"a", hash_key=UPPER))[1] == "InternalFailure"
    for shard_id, end in ((FIRST, "answered"), (SECOND, "InternalFailure")):
        iterator = model.get_shard_iterator("orders", shard_id, "LATEST", NOW)
        assert ended(model, call_of("GetRecords", ShardIterator=iterator))[1] == end
        assert ended(model, call_of("GetShardIterator", ShardId=shard_id, ShardIteratorType="LATEST"))[1] == end
    assert ended(model, call_of("MergeShards", ShardToMerge=FIRST, AdjacentShardToMerge=SECOND))[1] == "InternalFailure"


def test_a_stream_that_is_not_active_is_shown_so_and_cannot_be_changed():
    model = unlimited()
    inject(
        model,
        {"kind": "stream_not_active", "operation": "DescribeStreamSummary", "status": "UPDATING", "times": 1},
        {"kind": "stream_not_active", "operation": "SplitShard", "status": "UPDATING"},
    )
    call = call_of("DescribeStreamSummary")
    shown = [
        orjson.loads(take_up(model, call, fate_of(model, call, NOW), NOW))["StreamDescriptionSummary"]["StreamStatus"]
        for _ in range(2)
    ]
    assert shown == ["UPDATING", "ACTIVE"]
    assert ended(model, call_of("SplitShard", ShardToSplit=FIRST, NewStartingHashKey="9"))[1] == "ResourceInUseException"
    assert ended(model, put_of(b"a"))[1] == "answered"


# Reshards at their moment


def test_a_split_after_some_puts_is_there_for_the_next_one():
    model = unlimited()
    inject(model, {"kind": "split", "after_calls": 2})
    for data in (b"a", b"b", b"c", b"d"):
        ended(model, put_of(data))
        ended(model, call_of("DescribeStream"))
    assert stored(model) == [b"a", b"b"]
    assert stored(model, SECOND) == [b"c", b"d"]
    assert [shard.start_hash_key for shard in open_shards(model, "orders", NOW)] == [0, UPPER]
    assert model.traffic.faults == {"split": 1}


def test_a_reshard_at_a_time_comes_with_the_first_call_of_any_kind_after_it():
    model = unlimited(shards=2)
    inject(model, {"kind": "merge", "stream": "orders", "after_s": 10})
    ended(model, read_call("ListStreams", b""), NOW + 9.9)
    assert len(open_shards(model, "orders", NOW + 9.9)) == 2
    ended(model, read_call("ListStreams", b""), NOW + 10)
    (child,) = open_shards(model, "orders", NOW + 10)
    assert [parent.shard_id for parent in child.parents] == [FIRST, SECOND]


def test_scaling_and_where_to_split_and_merge_can_be_given():
    model = unlimited(shards=3)
    inject(model, {"kind": "split", "shard": "shardId-000000000002", "new_starting_hash_key": str(2**128 - 9)})
    ended(model, put_of(b"a"))
    assert [shard.index for shard in open_shards(model, "orders", NOW)] == [0, 1, 3, 4]
    inject(model, {"kind": "merge", "shard": SECOND, "adjacent_shard": "shardId-000000000003"})
    ended(model, put_of(b"a"))
    assert [shard.index for shard in open_shards(model, "orders", NOW)] == [0, 5, 4]
    inject(model, {"kind": "update_shard_count", "target": 2})
    ended(model, put_of(b"a"))
    assert len(open_shards(model, "orders", NOW)) == 2


def test_a_reshard_that_cannot_be_done_now_is_told_and_tried_again():
    model = KinesisModel(enforce_limits=False, transition_s=5)
    plan = inject(model, {"kind": "split", "stream": "orders"}, {"kind": "update_shard_count", "stream": "orders", "target": 9})
    ended(model, read_call("ListStreams", b""))
    assert plan.rules[0].problem == "Stream orders under account 000000000000 not found."
    model.streams.create("orders", 1, NOW)
    ended(model, read_call("ListStreams", b""), NOW + 4)
    assert plan.rules[0].problem is not None
    assert "instead in state CREATING" in plan.rules[0].problem
    ended(model, read_call("ListStreams", b""), NOW + 5)
    state = plan.state()["faults"][0]
    assert (state["problem"], state["injected"]) == (None, 1)
    ended(model, read_call("ListStreams", b""), NOW + 10)
    assert len(open_shards(model, "orders", NOW + 10)) == 2
    assert plan.state()["faults"][1]["problem"].startswith("UpdateShardCount cannot scale up over double")


def test_a_reshard_after_some_puts_is_tried_again_before_puts_only():
    model = KinesisModel(enforce_limits=False, transition_s=5)
    model.streams.create("orders", 1, NOW - 10)
    model.streams.create("other", 1, NOW - 10)
    plan = inject(model, {"kind": "split", "after_calls": 1})
    ended(model, put_of(b"a"))
    model.split_shard("orders", FIRST, 2**126, NOW)
    ended(model, put_of(b"a"), NOW + 1)
    assert plan.rules[0].problem is not None
    ended(model, call_of("DescribeStream", StreamName="other"), NOW + 2)
    ended(model, call_of("DescribeStream"), NOW + 6)
    assert plan.rules[0].injected == 0
    ended(model, put_of(b"a"), NOW + 7)
    assert plan.rules[0].injected == 1
    assert len(open_shards(model, "orders", NOW + 12)) == 3
    assert len(open_shards(model, "other", NOW + 12)) == 1


def test_merging_the_last_shard_needs_a_neighbour():
    model = unlimited(shards=2)
    plan = inject(model, {"kind": "merge", "shard": SECOND}, {"kind": "split", "shard": "shardId-000000000007"})
    ended(model, put_of(b"a"))
    assert plan.rules[0].problem == "shardId-000000000001 of orders has no next shard to merge with; name adjacent_shard"
    assert plan.rules[1].problem == f"shardId-000000000007 is no open shard; open are {FIRST}, {SECOND}"
