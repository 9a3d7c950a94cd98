"""The PutRecords exchange as bytes: what is written is what was asked for; whatever comes back has a meaning."""

import base64

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.adapters.kinesis.put_records import decode, encode
from bridge.core.quotas import HASH_KEY_MAX
from bridge.core.records import Outcome
from tests.contract.kinesis_sinks import request_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
PLACES = st.none() | st.integers(0, HASH_KEY_MAX).map(str)
RECORDS = st.lists(st.tuples(TEXT, st.binary(max_size=50), PLACES), min_size=1, max_size=12)


@given(records=RECORDS)
@example(records=[('"\\\x00\x1f\x7f\u2028</script>', bytes(range(256)), None), ("k", b"", "0")])
def test_the_body_is_the_request(records):
    request = request_of(*((key, data) if place is None else (key, data, place) for key, data, place in records))
    document = orjson.loads(encode("orders", request))
    assert document.keys() == {"StreamName", "Records"}
    assert document["StreamName"] == "orders"
    read = [
        (entry["PartitionKey"], base64.b64decode(entry["Data"], validate=True), entry.get("ExplicitHashKey"))
        for entry in document["Records"]
    ]
    assert read == records
    known = {"Data", "PartitionKey", "ExplicitHashKey"}
    assert all(entry.keys() <= known for entry in document["Records"])


@pytest.mark.parametrize(("stream", "member"), [("orders", "StreamName"), ("arn:aws:kinesis:r:1:stream/orders", "StreamARN")])
def test_a_stream_by_name_or_arn(stream, member):
    document = orjson.loads(encode(stream, request_of(("k", b"x"))))
    assert document.keys() == {member, "Records"}
    assert document[member] == stream


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
CODES = st.sampled_from(["ProvisionedThroughputExceededException", "InternalFailure", "", "Odd"])
ENTRY = st.fixed_dictionaries(
    {},
    optional={"ShardId": st.none() | st.text(max_size=4), "SequenceNumber": st.none() | st.text(max_size=4), "ErrorCode": CODES},
)
STATUS = st.sampled_from([200, 200, 200, 301, 400, 403, 404, 413, 429, 500, 503])


def check_answer(status: int, body: bytes, records: int) -> None:
    answer = decode(status, body, records)
    if answer.whole is None:
        assert status == 200
        assert len(answer.outcomes) == len(answer.shard_ids) == len(answer.sequence_numbers) == records
    else:
        assert answer.whole != Outcome.STORED
        assert not [*answer.outcomes, *answer.shard_ids, *answer.sequence_numbers]
        assert answer.code


@given(status=STATUS, body=st.binary(max_size=60), records=st.integers(1, 5))
def test_no_bytes_are_without_a_meaning(status, body, records):
    check_answer(status, body, records)


@given(status=STATUS, document=JSON, records=st.integers(1, 5))
def test_no_json_is_without_a_meaning(status, document, records):
    check_answer(status, orjson.dumps(document), records)


@given(entries=st.lists(ENTRY, min_size=1, max_size=6))
def test_each_entry_is_stored_refused_or_in_doubt(entries):
    answer = decode(200, orjson.dumps({"Records": entries}), len(entries))
    assert answer.whole is None
    assert len(answer.outcomes) == len(entries)
    for entry, outcome in zip(entries, answer.outcomes, strict=True):
        if outcome == Outcome.STORED:
            assert "ShardId" in entry
            assert "SequenceNumber" in entry
        elif outcome == Outcome.UNKNOWN:
            assert not entry.get("ErrorCode")
            assert not (entry.get("ShardId") and entry.get("SequenceNumber"))
        elif outcome == Outcome.THROTTLED:
            assert entry["ErrorCode"] == "ProvisionedThroughputExceededException"
        else:
            assert entry["ErrorCode"]
    unstored = sum(outcome != Outcome.STORED for outcome in answer.outcomes)
    assert sum(answer.codes.values()) == unstored


@pytest.mark.parametrize("code", [["x"], {"a": 1}])
def test_an_error_code_that_is_no_text(code):
    answer = decode(200, orjson.dumps({"Records": [{"ErrorCode": code}]}), 1)
    assert answer.outcomes[0] != Outcome.STORED


@pytest.mark.parametrize(
    "entry",
    [
        {"ShardId": "", "SequenceNumber": ""},
        {"ShardId": 5, "SequenceNumber": {}},
        {"ShardId": "s", "SequenceNumber": "1", "ErrorCode": "InternalFailure"},
    ],
)
def test_stored_is_only_what_has_a_shard_and_a_number_and_no_error(entry):
    assert decode(200, orjson.dumps({"Records": [entry]}), 1).outcomes != [Outcome.STORED]


def test_error_codes_that_are_null_do_not_count():
    entry = {"ShardId": "s", "SequenceNumber": "1", "ErrorCode": None, "ErrorMessage": None}
    failed = {"ErrorCode": "InternalFailure", "ErrorMessage": "x", "ShardId": None, "SequenceNumber": None}
    answer = decode(200, orjson.dumps({"FailedRecordCount": 1, "Records": [entry, failed]}), 2)
    assert answer.outcomes == [Outcome.STORED, Outcome.TRANSIENT]
    assert (answer.shard_ids, answer.sequence_numbers) == (["s", ""], ["1", ""])
    assert answer.codes == {"InternalFailure": 1}
