"""The baseline, a process of its own: `python -m loadtest.baseline JOB`. The loop that people write first, with Kafka's client
and boto3: read 500 records, put them, put again what was refused, commit, go on. It keeps no order when records are refused.
"""

import os
import signal
import sys
import time
from threading import Event
from typing import Any

import boto3
from confluent_kafka import Consumer, Message

from loadtest.jobs import BaselineJob, Property, read_job, tell

BATCH = 500
"""Records of a PutRecords request at most."""

CONSUME_TIMEOUT_S = 0.1
TELL_S = 0.1


def put_all(client: Any, stream: str, records: list[dict[str, Any]]) -> None:  # noqa: ANN401 - boto3 has no types
    """Until Kinesis has taken every one of them."""
    while records:
        answer = client.put_records(StreamName=stream, Records=records)
        records = [record for record, entry in zip(records, answer["Records"], strict=True) if "ErrorCode" in entry]


def _record(message: Message) -> dict[str, Any]:
    return {"Data": message.value(), "PartitionKey": (message.key() or b"").decode()}


def copy(job: BaselineJob, stop: Event) -> None:
    """Tells the records so far and the CPU seconds of this process with each line of progress."""
    client = boto3.client(
        "kinesis", region_name=job.kinesis.region, endpoint_url=job.kinesis.endpoint_url, verify=job.kinesis.ca_file
    )
    own: dict[str, Property] = {"group.id": job.group, "enable.auto.commit": False, "auto.offset.reset": "earliest"}
    consumer = Consumer(job.kafka.client_properties(own))
    consumer.subscribe([job.topic])
    records, told_s = 0, 0.0
    while not stop.is_set():
        batch = consumer.consume(BATCH, CONSUME_TIMEOUT_S)
        for message in batch:
            if (error := message.error()) is not None:
                raise RuntimeError(f"Kafka: {error.str()}")
        put_all(client, job.stream, [_record(message) for message in batch])
        if batch:
            # Not waited for, which favours the baseline.
            consumer.commit(asynchronous=True)
            records += len(batch)
        now = time.monotonic()
        if now > told_s + TELL_S:
            told_s = now
            used = os.times()
            tell(at=now, records=records, cpu_s=used.user + used.system)
    consumer.close()


if __name__ == "__main__":
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    copy(read_job(BaselineJob, sys.argv[1]), stop)
