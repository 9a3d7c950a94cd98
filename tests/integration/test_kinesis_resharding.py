"""A reader that follows shards as the Kinesis Client Library does, while a stream splits and merges under a writer.

Everything over HTTP with botocore, with the limits of shards on for both sides.
"""

import threading
import time
from collections import defaultdict
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.servers.embedded_kinesis import running_embedded_kinesis
from tests.servers.kinesis import create_stream, kinesis_client

STREAM = "resharded"
KEYS = [f"key-{number}" for number in range(24)]
READ_PAUSE_SECONDS = 0.25
"""Between two reads of a shard, which takes five a second."""
WRITE_PAUSE_SECONDS = 0.02
DEADLINE_SECONDS = 90.0
THROTTLED = "ProvisionedThroughputExceededException"


class Writer(threading.Thread):
    """Puts one record of every key after the other, `key/number`: what is refused goes again before the key's next one."""

    def __init__(self, client: Any) -> None:
        super().__init__(name="writer", daemon=True)
        self._client = client
        self.stopping = threading.Event()
        self.rounds = 0
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            while not self.stopping.wait(WRITE_PAUSE_SECONDS):
                self._put_round()
                self.rounds += 1
        except Exception as error:  # noqa: BLE001 (told by the test, which waits for this thread)
            self.failure = error

    def _put_round(self) -> None:
        left = list(KEYS)
        while left:
            records = [{"PartitionKey": key, "Data": f"{key}/{self.rounds}".encode()} for key in left]
            answers = self._client.put_records(StreamName=STREAM, Records=records)["Records"]
            left = [key for key, answer in zip(left, answers, strict=True) if "ErrorCode" in answer]


class Reader:
    """Reads the oldest shards first; a child begins once all its parents have ended, as their last answers say."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.records: list[tuple[str, str, str]] = []
        """(shard id, partition key, data) in the order in which they were read."""
        self.ended: dict[str, list[str]] = {}
        """Ended shards with their children, as the last answer of each said."""
        self._waiting: dict[str, set[str]] = {}
        self._iterators: dict[str, str] = {}
        self.at_tip: dict[str, bool] = {}
        for shard in client.list_shards(StreamName=STREAM, ShardFilter={"Type": "AT_TRIM_HORIZON"})["Shards"]:
            self._start(shard["ShardId"])

    def read_once(self) -> None:
        """One read of each shard that is being read."""
        for shard_id, iterator in list(self._iterators.items()):
            try:
                answer = self._client.get_records(ShardIterator=iterator)
            except ClientError as error:
                if error.response["Error"]["Code"] != THROTTLED:
                    raise
                continue
            self.records += [(shard_id, record["PartitionKey"], record["Data"].decode()) for record in answer["Records"]]
            self.at_tip[shard_id] = answer["MillisBehindLatest"] == 0 and not answer["Records"]
            following = answer.get("NextShardIterator")
            if following is None:
                self._end(shard_id, answer["ChildShards"])
            else:
                assert "ChildShards" not in answer
                self._iterators[shard_id] = following

    def has_read_from(self, shard_ids: set[str]) -> bool:
        return shard_ids <= {shard_id for shard_id, _, _ in self.records}

    def _end(self, shard_id: str, children: list[dict[str, Any]]) -> None:
        del self._iterators[shard_id], self.at_tip[shard_id]
        self.ended[shard_id] = [child["ShardId"] for child in children]
        for child in children:
            self._waiting.setdefault(child["ShardId"], set(child["ParentShards"]))
        for parents in self._waiting.values():
            parents.discard(shard_id)
        for ready in [child for child, parents in self._waiting.items() if not parents]:
            del self._waiting[ready]
            self._start(ready)

    def _start(self, shard_id: str) -> None:
        members = {"StreamName": STREAM, "ShardId": shard_id, "ShardIteratorType": "TRIM_HORIZON"}
        self._iterators[shard_id] = self._client.get_shard_iterator(**members)["ShardIterator"]
        self.at_tip[shard_id] = False


def shard_id(index: int) -> str:
    return f"shardId-{index:012d}"


@pytest.mark.timeout(180)
def test_every_record_is_read_once_in_order_across_a_split_and_a_merge(figure):
    deadline = time.monotonic() + DEADLINE_SECONDS

    def read_until(holds: Any, what: str) -> None:
        while not holds():
            reader.read_once()
            assert writer.failure is None, writer.failure
            assert time.monotonic() < deadline, f"{what}: not within {DEADLINE_SECONDS:g} s"
            time.sleep(READ_PAUSE_SECONDS)

    with running_embedded_kinesis("resharding", "--transition", "0.3") as server:
        client = kinesis_client(server.endpoint_url)
        create_stream(client, STREAM, shards=2)
        reader, writer = Reader(client), Writer(kinesis_client(server.endpoint_url, access_key="WRITER"))
        writer.start()
        try:
            read_until(lambda: reader.has_read_from({shard_id(0), shard_id(1)}), "records of both shards")
            client.split_shard(StreamName=STREAM, ShardToSplit=shard_id(0), NewStartingHashKey=str(2**126))
            read_until(lambda: reader.has_read_from({shard_id(2), shard_id(3)}), "records of both halves")
            client.merge_shards(StreamName=STREAM, ShardToMerge=shard_id(3), AdjacentShardToMerge=shard_id(1))
            read_until(lambda: reader.has_read_from({shard_id(4)}), "records of the merged shard")
        finally:
            writer.stopping.set()
            writer.join(DEADLINE_SECONDS)
        reader.at_tip = dict.fromkeys(reader.at_tip, False)
        read_until(lambda: all(reader.at_tip.values()), "the tip of every open shard")
        figures = server.statistics()["streams"][STREAM]
    assert reader.ended == {shard_id(0): [shard_id(2), shard_id(3)], shard_id(1): [shard_id(4)], shard_id(3): [shard_id(4)]}
    assert sorted(reader.at_tip) == [shard_id(2), shard_id(4)]
    by_key: dict[str, list[str]] = defaultdict(list)
    for _, key, data in reader.records:
        by_key[key].append(data)
    assert dict(by_key) == {key: [f"{key}/{number}" for number in range(writer.rounds)] for key in KEYS}
    assert figures["records_stored"] == writer.rounds * len(KEYS) == len(reader.records)
    assert {figures["clients"]["WRITER"]["records_stored"]} == {figures["records_stored"]}
    figure(f"{len(reader.records)} records of {len(KEYS)} keys across a split and a merge")
