"""The embedded Kinesis of the demonstration counts what its shards throttle, and is read back whole."""

from pathlib import Path

import pybase64
import pytest
from xxhash import xxh3_64_intdigest

from bridge.demo.daemon import demo_environment
from bridge.demo.errors import DemoError
from bridge.demo.kinesis_process import KinesisProcess
from bridge.demo.readback import KinesisCaller, KinesisCallError, ReadBack
from tests.servers.process import wait_until


def test_the_records_that_answers_called_throttled_are_counted(tmp_path: Path):
    with KinesisProcess(demo_environment(), tmp_path / "log") as kinesis:
        caller = KinesisCaller(kinesis.endpoint_url)
        caller.call("CreateStream", {"StreamName": "s", "ShardCount": 1})
        records = [{"PartitionKey": "k", "Data": ""}] * 500
        refused = 0

        def is_throttled() -> bool:
            nonlocal refused
            answer = caller.call("PutRecords", {"StreamName": "s", "Records": records})
            refused += int(answer["FailedRecordCount"])
            return refused > 0

        wait_until(is_throttled, "a throttled record")
        assert kinesis.throttled_records() == refused
        caller.close()


def test_a_stream_in_another_process_is_read_to_its_tip(tmp_path: Path):
    with KinesisProcess(demo_environment(), tmp_path / "log") as kinesis:
        caller = KinesisCaller(kinesis.endpoint_url)
        caller.call("CreateStream", {"StreamName": "s", "ShardCount": 3})
        values = [b"%d" % number for number in range(300)]
        records = [{"PartitionKey": f"k{n % 10}", "Data": pybase64.b64encode_as_string(v)} for n, v in enumerate(values)]
        with ReadBack(kinesis.endpoint_url, "s") as readback:
            caller.call("PutRecords", {"StreamName": "s", "Records": records})
            stored = readback.finish()
        assert len(stored) == readback.shards == 3
        for number in range(10):
            found = [
                digest
                for shard in stored.values()
                for key, digest in zip(shard.partition_keys, shard.digests, strict=True)
                if key == f"k{number}"
            ]
            assert found == [xxh3_64_intdigest(value) for value in values[number::10]]
        assert kinesis.throttled_records() == 0
        with pytest.raises(KinesisCallError, match="ListShards: ResourceNotFoundException"):
            caller.call("ListShards", {"StreamName": "other"})
        caller.close()


def test_a_server_that_is_gone_is_named(tmp_path: Path):
    with KinesisProcess(demo_environment(), tmp_path / "log") as kinesis:
        kinesis.process.kill()
        kinesis.process.wait()
        with pytest.raises(DemoError, match="embedded Kinesis does not answer or has ended"):
            kinesis.throttled_records()
