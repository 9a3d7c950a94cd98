"""The embedded Kinesis of the demonstration counts what its shards throttle, and is read back whole."""

from pathlib import Path

import pybase64
import pytest
from xxhash import xxh3_64_intdigest

from bridge.core.quotas import SHARD_RECORDS_PER_S
from bridge.demo.daemon import demo_environment
from bridge.demo.errors import DemoError
from bridge.demo.kinesis_process import CountingModel, KinesisProcess
from bridge.demo.readback import KinesisCaller, KinesisCallError, ReadBack


def test_refused_records_are_counted_and_stored_ones_are_not():
    model = CountingModel()
    model.streams.create("s", 1, 0.0)
    for start in range(0, SHARD_RECORDS_PER_S + 500, 500):
        keys = [f"k{number}" for number in range(start, start + 500)]
        model.put_records("s", keys, None, [b"v"] * 500, 1.0)
    assert model.throttled_records == 500


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
