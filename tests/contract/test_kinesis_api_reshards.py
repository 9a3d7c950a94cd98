"""What readers need across splits and merges, as the Kinesis Client Library asks for it, on every endpoint.

`kinesis_differences` names the tests of which kinesalite gives another answer, and why; such a test then asserts what
kinesalite does instead.
"""

import time
from typing import Any

import pytest

from tests.contract.kinesis_calls import FIRST, SECOND, error_code, put_numbered, records_of, shards_of, wait_active
from tests.contract.kinesis_differences import DIFFERENCES  # noqa: F401 (the fixture `differs` looks here)

THIRD, FOURTH, FIFTH = (f"shardId-{index:012d}" for index in (2, 3, 4))
CUT = 2**100
MINUTE_S = 60

FILTERS: dict[str, tuple[dict[str, Any], list[int]]] = {
    "at-latest": ({"Type": "AT_LATEST"}, [2, 4]),
    "at-trim-horizon": ({"Type": "AT_TRIM_HORIZON"}, [0, 1]),
    "from-trim-horizon": ({"Type": "FROM_TRIM_HORIZON"}, [0, 1, 2, 3, 4]),
    "after-shard": ({"Type": "AFTER_SHARD_ID", "ShardId": THIRD}, [3, 4]),
    "after-last-shard": ({"Type": "AFTER_SHARD_ID", "ShardId": FIFTH}, []),
    "at-time-before": ({"Type": "AT_TIMESTAMP", "Timestamp": -MINUTE_S}, [0, 1]),
    "at-time-later": ({"Type": "AT_TIMESTAMP", "Timestamp": MINUTE_S}, [2, 4]),
    "from-time-before": ({"Type": "FROM_TIMESTAMP", "Timestamp": -MINUTE_S}, [0, 1, 2, 3, 4]),
    "from-time-later": ({"Type": "FROM_TIMESTAMP", "Timestamp": MINUTE_S}, [2, 4]),
}
"""Filter, with a timestamp as seconds from now, and indices of the shards of `resharded` that it selects."""


@pytest.fixture
def resharded(client: Any, stream: str) -> str:
    """0 was split into 2 and 3; then 3 and 1 were merged into 4."""
    client.split_shard(StreamName=stream, ShardToSplit=FIRST, NewStartingHashKey=str(CUT))
    wait_active(client, stream)
    client.merge_shards(StreamName=stream, ShardToMerge=FOURTH, AdjacentShardToMerge=SECOND)
    wait_active(client, stream)
    return stream


def indices(shards: list[dict[str, Any]]) -> list[int]:
    return [int(shard["ShardId"][-3:]) for shard in shards]


def iterator_of(client: Any, stream: str, shard_id: str, kind: str, **start: Any) -> str:
    members = {"StreamName": stream, "ShardId": shard_id, "ShardIteratorType": kind, **start}
    return str(client.get_shard_iterator(**members)["ShardIterator"])


@pytest.mark.parametrize("name", FILTERS)
def test_every_shard_filter_through_two_generations(client, resharded, differs, name):
    wanted, expected = FILTERS[name]
    wanted = {**wanted, **({"Timestamp": time.time() + wanted["Timestamp"]} if "Timestamp" in wanted else {})}
    answer = client.list_shards(StreamName=resharded, ShardFilter=wanted)
    if differs:
        assert indices(answer["Shards"]) == [0, 1, 2, 3, 4]
        return
    assert indices(answer["Shards"]) == expected
    found: list[int] = []
    page = client.list_shards(StreamName=resharded, ShardFilter=wanted, MaxResults=1)
    while True:
        assert len(page["Shards"]) <= 1
        found += indices(page["Shards"])
        if "NextToken" not in page:
            break
        page = client.list_shards(NextToken=page["NextToken"], MaxResults=1)
    assert found == expected


def test_lineage_of_two_generations(client, resharded):
    shards = shards_of(client, resharded)
    parents = [{name: shard[name] for name in ("ParentShardId", "AdjacentParentShardId") if name in shard} for shard in shards]
    assert parents == [
        {},
        {},
        {"ParentShardId": FIRST},
        {"ParentShardId": FIRST},
        {"ParentShardId": FOURTH, "AdjacentParentShardId": SECOND},
    ]
    assert [index for index, shard in enumerate(shards) if "EndingSequenceNumber" not in shard["SequenceNumberRange"]] == [2, 4]


def test_both_parents_of_a_merge_name_the_child_at_their_end(client, resharded, differs):
    for parent in (SECOND, FOURTH):
        answer = client.get_records(ShardIterator=iterator_of(client, resharded, parent, "TRIM_HORIZON"))
        if differs:
            assert "ChildShards" not in answer
            continue
        assert answer.get("NextShardIterator") is None
        assert [(child["ShardId"], child["ParentShards"]) for child in answer["ChildShards"]] == [(FIFTH, [FOURTH, SECOND])]
        assert answer["ChildShards"][0]["HashKeyRange"]["StartingHashKey"] == str(CUT)


@pytest.mark.parametrize("kind", ["LATEST", "AFTER_SEQUENCE_NUMBER", "AT_TIMESTAMP"])
def test_any_iterator_at_the_end_of_a_closed_shard_ends_at_once(client, stream, differs, kind):
    number = put_numbered(client, stream, 2)[-1]
    client.split_shard(StreamName=stream, ShardToSplit=FIRST, NewStartingHashKey=str(CUT))
    wait_active(client, stream)
    start: dict[str, dict[str, Any]] = {
        "AFTER_SEQUENCE_NUMBER": {"StartingSequenceNumber": number},
        "AT_TIMESTAMP": {"Timestamp": time.time() - MINUTE_S},
    }
    answer = client.get_records(ShardIterator=iterator_of(client, stream, FIRST, kind, **start.get(kind, {})))
    assert len(answer["Records"]) == (2 if kind == "AT_TIMESTAMP" else 0)
    if differs:
        assert "ChildShards" not in answer
        return
    assert answer.get("NextShardIterator") is None
    assert [child["ShardId"] for child in answer["ChildShards"]] == [THIRD, FOURTH]


def test_children_are_named_only_by_the_last_read(client, stream, differs):
    put_numbered(client, stream, 3)
    client.split_shard(StreamName=stream, ShardToSplit=FIRST, NewStartingHashKey=str(CUT))
    wait_active(client, stream)
    iterator: str | None = iterator_of(client, stream, FIRST, "TRIM_HORIZON")
    children: list[int] = []
    while iterator is not None and len(children) < 10:
        answer = client.get_records(ShardIterator=iterator, Limit=1)
        children.append(len(answer.get("ChildShards", [])))
        iterator = answer.get("NextShardIterator")
    assert children == ([0, 0, 0, 0] if differs else [0, 0, 2])


def test_records_go_to_the_child_that_holds_their_hash_key(client, resharded):
    answer = client.put_records(
        StreamName=resharded,
        Records=[{"PartitionKey": "k", "ExplicitHashKey": str(key), "Data": b""} for key in (0, CUT - 1, CUT, 2**128 - 1)],
    )
    assert [record["ShardId"] for record in answer["Records"]] == [THIRD, THIRD, FIFTH, FIFTH]


def test_closed_shards_are_not_split(client, resharded, differs):
    members = {"StreamName": resharded, "ShardToSplit": FIRST, "NewStartingHashKey": "9"}
    if differs:
        client.split_shard(**members)
        return
    assert error_code(client.split_shard, **members) == "InvalidArgumentException"


def test_closed_shards_are_not_merged(client, resharded, differs):
    members = {"StreamName": resharded, "ShardToMerge": FIRST, "AdjacentShardToMerge": SECOND}
    if differs:
        client.merge_shards(**members)
        return
    assert error_code(client.merge_shards, **members) == "InvalidArgumentException"


def test_an_iterator_gives_the_same_again(client, stream):
    put_numbered(client, stream, 3)
    iterator = iterator_of(client, stream, FIRST, "TRIM_HORIZON")
    pages = [[record["Data"] for record in client.get_records(ShardIterator=iterator)["Records"]] for _ in range(2)]
    assert pages == [[b"0", b"1", b"2"]] * 2


def test_a_read_gives_ten_thousand_records_at_most(client, stream):
    for call in range(21):
        records = [{"PartitionKey": "k", "ExplicitHashKey": "0", "Data": b"%d" % (500 * call + number)} for number in range(500)]
        assert client.put_records(StreamName=stream, Records=records)["FailedRecordCount"] == 0
    answer = client.get_records(ShardIterator=iterator_of(client, stream, FIRST, "TRIM_HORIZON"))
    assert [record["Data"] for record in answer["Records"]] == [b"%d" % number for number in range(10_000)]
    rest = client.get_records(ShardIterator=answer["NextShardIterator"])
    assert [record["Data"] for record in rest["Records"]] == [b"%d" % number for number in range(10_000, 10_500)]


def test_a_read_gives_ten_mebibytes_at_most(client, stream, differs):
    for _ in range(12):
        client.put_record(StreamName=stream, PartitionKey="k", ExplicitHashKey="0", Data=bytes(2**20 - 1))
    answer = client.get_records(ShardIterator=iterator_of(client, stream, FIRST, "TRIM_HORIZON"))
    assert len(answer["Records"]) == (12 if differs else 10)
    if not differs:
        assert answer["MillisBehindLatest"] > 0
        assert len(records_of(client, stream, FIRST)) == 12


def test_shards_of_a_stream_of_another_time_are_not_given(client, stream, differs):
    created = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamCreationTimestamp"]
    assert len(client.list_shards(StreamName=stream, StreamCreationTimestamp=created)["Shards"]) == 2
    earlier = {"StreamName": stream, "StreamCreationTimestamp": created.timestamp() - MINUTE_S}
    if differs:
        assert len(client.list_shards(**earlier)["Shards"]) == 2
        return
    assert error_code(client.list_shards, **earlier) == "ResourceNotFoundException"
