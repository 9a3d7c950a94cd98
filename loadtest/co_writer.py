"""The co-writer, a process of its own: `python -m loadtest.co_writer JOB`. An ordinary producer that shares a shard with the
bridge: it puts records at a steady rate until it is stopped, and puts again what the shard refused.
"""

import os
import signal
import sys
import time
from threading import Event

import boto3

from bridge.core.quotas import REQUEST_BYTES_MAX, REQUEST_RECORDS_MAX
from loadtest.jobs import CoWriterJob, read_job, tell
from loadtest.pacing import Pacer

TICK_S = 0.05
PARTITION_KEY = "co-writer"


def write(job: CoWriterJob, stop: Event) -> None:
    """Tells with each line the records that were offered, stored and throttled so far, and those that are due."""
    client = boto3.client(
        "kinesis", region_name=job.kinesis.region, endpoint_url=job.kinesis.endpoint_url, verify=job.kinesis.ca_file
    )
    record = {"Data": os.urandom(job.value_bytes), "PartitionKey": PARTITION_KEY, "ExplicitHashKey": job.hash_key}
    request_max = min(REQUEST_RECORDS_MAX, REQUEST_BYTES_MAX // (job.value_bytes + len(PARTITION_KEY)))
    tell(ready=1)
    pacer = Pacer(job.rate, time.monotonic())
    waiting = offered = stored = throttled = 0
    while not stop.wait(TICK_S):
        waiting += pacer.due(time.monotonic())
        if not waiting:
            continue
        # Records are all the same, so how many wait is all there is to know about them.
        count = min(waiting, request_max)
        failed = int(client.put_records(StreamName=job.stream, Records=[record] * count)["FailedRecordCount"])
        waiting -= count - failed
        offered, stored, throttled = offered + count, stored + count - failed, throttled + failed
        tell(wall_s=time.time(), offered=offered, stored=stored, throttled=throttled, waiting=waiting)


if __name__ == "__main__":
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    write(read_job(CoWriterJob, sys.argv[1]), stop)
