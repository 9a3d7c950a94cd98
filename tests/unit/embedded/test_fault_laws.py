"""Whatever the faults: a record that was neither refused nor hit is stored once, in order, at the number it was told."""

from collections import defaultdict
from contextlib import suppress
from typing import Any

import orjson
import pybase64
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.embedded.call_faults import fate_of, take_up
from bridge.embedded.calls import read_call
from bridge.embedded.fault_kinds import KINDS, ReshardFault
from bridge.embedded.kinesis_errors import KinesisError
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.put_path import PutAnswer, PutCall
from bridge.embedded.request_fields import Call
from tests.unit.embedded.kinesis_driver import NOW, ReadRecord, inject, read_shard

PARAMETERS: dict[str, dict[str, Any]] = {
    "answer_delayed": {"delay_s": 1},
    "stored_late": {"delay_s": 1},
    "latency": {"delay_s": 1, "jitter_s": 1},
    "update_shard_count": {"target": 3},
}
SHARDS = [f"shardId-{index:012d}" for index in range(4)]


@st.composite
def faults(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(sorted(KINDS)))
    fault = {"kind": kind, "probability": draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])), **PARAMETERS.get(kind, {})}
    fault["after_calls"] = draw(st.integers(0, 4))
    fault["times"] = draw(st.one_of(st.integers(1, 5), st.none()))
    if not issubclass(KINDS[kind], ReshardFault):
        fault["shard"] = draw(st.one_of(st.none(), st.sampled_from(SHARDS)))
    return fault


keys = st.lists(st.sampled_from([f"key-{number}" for number in range(12)]), min_size=1, max_size=20)
calls = st.lists(keys, max_size=8)


class WitnessModel(KinesisModel):
    """Keeps what the put path answered, also where the caller is not told."""

    def __init__(self, *, enforce_limits: bool) -> None:
        super().__init__(enforce_limits=enforce_limits)
        self.answers: list[tuple[PutCall, PutAnswer]] = []

    def put(self, call: PutCall, now: float) -> PutAnswer:
        answer = super().put(call, now)
        self.answers.append((call, answer))
        return answer


def put_of(number: int, partition_keys: list[str]) -> Call:
    records = [
        {"PartitionKey": key, "Data": pybase64.b64encode_as_string(f"{number}/{index}".encode())}
        for index, key in enumerate(partition_keys)
    ]
    return read_call("PutRecords", orjson.dumps({"StreamName": "orders", "Records": records}))


def run(script: list[list[str]], chosen: list[dict[str, Any]], seed: int) -> WitnessModel:
    model = WitnessModel(enforce_limits=False)
    model.streams.create("orders", 2, NOW)
    inject(model, *chosen, seed=seed)
    for number, partition_keys in enumerate(script):
        call = put_of(number, partition_keys)
        fate = fate_of(model, call, NOW)
        with suppress(KinesisError):
            take_up(model, call, fate, NOW)
    return model


def stored(model: KinesisModel) -> dict[str, list[ReadRecord]]:
    shards = model.streams.find("orders", NOW).shards
    return {shard.shard_id: read_shard(model, "orders", shard.shard_id, NOW) for shard in shards}


@given(calls, st.lists(faults(), max_size=5), st.integers(0, 3))
@settings(max_examples=300)
def test_records_that_no_fault_hits_are_stored_once_in_order(script, chosen, seed):
    model = run(script, chosen, seed)
    hit = {number for entry in model.faults.log for number in (entry.sequence_number, entry.other_sequence_number)}
    expected: dict[str, list[ReadRecord]] = defaultdict(list)
    for call, answer in model.answers:
        for index, number in enumerate(answer.sequence_numbers):
            assert (number == "") == (index in answer.errors)
            if number and number not in hit:
                expected[answer.shard_ids[index]].append(ReadRecord(number, call.partition_keys[index], call.datas[index]))
    for shard_id, records in stored(model).items():
        assert [record for record in records if record.sequence_number not in hit] == expected[shard_id]


@given(calls, st.lists(faults(), max_size=5), st.integers(0, 3))
def test_the_figures_add_up_whatever_the_faults(script, chosen, seed):
    model = run(script, chosen, seed)
    total = model.traffic.total
    assert total("records_offered") == sum(total(f"records_{end}") for end in ("stored", "throttled", "failed"))
    assert total("bytes_offered") == sum(total(f"bytes_{end}") for end in ("stored", "throttled", "failed"))
    assert total("records_stored") == sum(bool(number) for _, answer in model.answers for number in answer.sequence_numbers)
    assert sum(model.traffic.faults.values()) == sum(rule.injected for rule in model.faults.rules) == len(model.faults.log)
    assert all(rule.fault.times is None or rule.injected <= rule.fault.times for rule in model.faults.rules)


@given(calls, st.lists(faults(), max_size=5), st.integers(0, 3))
@settings(max_examples=50)
def test_the_same_calls_and_seed_give_the_same_faults(script, chosen, seed):
    first, second = run(script, chosen, seed), run(script, chosen, seed)
    assert list(first.faults.log) == list(second.faults.log)
    assert stored(first) == stored(second)
