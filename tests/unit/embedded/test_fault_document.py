"""The document that asks for faults: taken as a whole, or refused with everything that is wrong."""

from typing import Any

import orjson
import pytest

from bridge.embedded.control_operations import CONTROL_OPERATIONS
from bridge.embedded.fault_document import FAULTS_MAX, FaultDocumentError, read_document
from bridge.embedded.fault_kinds import KINDS, OPERATIONS
from bridge.embedded.record_operations import RECORD_OPERATIONS

REQUIRED: dict[str, dict[str, Any]] = {
    "answer_delayed": {"delay_s": 1},
    "stored_late": {"delay_s": 1.5},
    "latency": {"delay_s": 0.1},
    "update_shard_count": {"target": 3},
}
"""Members without which a fault of the kind is none."""


def problems_of(document: Any) -> list[str]:
    with pytest.raises(FaultDocumentError) as caught:
        read_document(document)
    return caught.value.problems


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_needs_its_required_members_and_no_others(kind):
    (fault,) = read_document({"faults": [{"kind": kind, **REQUIRED.get(kind, {})}]}).faults
    assert fault.kind == kind
    for member in REQUIRED.get(kind, {}):
        left = {name: value for name, value in REQUIRED[kind].items() if name != member}
        assert problems_of({"faults": [{"kind": kind, **left}]}) == [f"faults.0.{member}: is missing; give it"]


def test_json_is_read_like_what_it_decodes_to():
    document = {"seed": 7, "faults": [{"kind": "latency", "delay_s": 1, "operation": "*", "stream": "orders", "times": 3}]}
    assert read_document(orjson.dumps(document)) == read_document(document)


def test_an_empty_document_asks_for_nothing():
    assert (read_document({}).seed, read_document({}).faults) == (0, [])


def test_every_problem_is_named_with_its_place():
    faults: list[Any] = [
        {"kind": "record_throttled", "probability": 1.5, "chance": 1, "operation": "GetRecords"},
        {"kind": "thunderstorm"},
        {},
        5,
        {"kind": "latency", "delay_s": -1, "jitter_s": "0.1", "operation": "Fly"},
        {"kind": "error_before_storing", "status": 404, "times": 0, "after_calls": -1},
        {"kind": "stored_late", "delay_s": 1, "closed_after_s": 2},
        {"kind": "hung", "operation": "ListShards", "shard": "shardId-000000000000"},
        {"kind": "hung", "operation": "ListStreams", "stream": "orders"},
        {"kind": "foreign_record", "data_base64": "x", "partition_key": ""},
        {"kind": "split", "new_starting_hash_key": str(2**128), "operation": "PutRecords"},
    ]
    found = problems_of({"seed": "7", "faults": faults, "more": 1})
    assert sorted(problem.partition(":")[0] for problem in found) == sorted(
        [
            "seed",
            "more",
            *(f"faults.0.{member}" for member in ("probability", "chance", "operation")),
            "faults.1.kind",
            "faults.2.kind",
            "faults.3",
            *(f"faults.4.{member}" for member in ("delay_s", "jitter_s", "operation")),
            *(f"faults.5.{member}" for member in ("status", "times", "after_calls")),
            "faults.6",
            "faults.7",
            "faults.8",
            *(f"faults.9.{member}" for member in ("data_base64", "partition_key")),
            *(f"faults.10.{member}" for member in ("new_starting_hash_key", "operation")),
        ]
    )
    told = "\n".join(found)
    for part in ("1.5", "'thunderstorm'", "record_throttled, ", "after_calls, after_s", "'Fly'", "closed_after_s: 2.0"):
        assert part in told, part


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b'{"faults": [{"kind": "latency", "delay_s": NaN}]}'])
def test_what_is_no_document_is_refused(text):
    assert len(problems_of(text)) == 1


def test_the_number_of_faults_is_bounded():
    assert len(problems_of({"faults": [{"kind": "hung"}] * (FAULTS_MAX + 1)})) == 1


def test_the_operations_are_those_of_the_service():
    assert sorted(OPERATIONS) == sorted([*RECORD_OPERATIONS, *CONTROL_OPERATIONS])
