"""The generator, a process of its own: `python -m loadtest.generator JOB`. Produces records to Kafka and says how many."""

import sys
import time

from confluent_kafka import KafkaError, Message, Producer

from loadtest.jobs import GeneratorJob, read_job, tell
from loadtest.keys import RecordMaker, make_keys
from loadtest.pacing import Pacer

CHUNK = 2000
TICK_S = 0.002
TELL_S = 0.25
FLUSH_TIMEOUT_S = 60.0
LINGER_MS = {"paced": 5, "backlog": 20}
"""5 ms is the default of both producers, librdkafka's and Kafka's own; the latency of a record counts from before it."""


class Generator:
    """Produces what a job asks for. Kafka's timestamps are those of production."""

    def __init__(self, job: GeneratorJob) -> None:
        self._job = job
        self._producer = Producer(
            job.kafka.client_properties(
                {
                    "linger.ms": LINGER_MS["backlog" if job.rate is None else "paced"],
                    "batch.size": 1_000_000,
                    "queue.buffering.max.kbytes": 262_144,
                    "partitioner": "murmur2_random",
                    # Reports of success would cost more than producing; `flush` tells that nothing is left.
                    "delivery.report.only.error": True,
                }
            )
        )
        self._maker = RecordMaker(make_keys(job.keys, job.balanced_over), job.exponent, job.value_bytes, job.seed)
        self._failed: str | None = None
        self._told_s = 0.0
        self.records = 0

    def run(self) -> None:
        """Raises RuntimeError when Kafka refused a record or did not take all in time."""
        tell(at=time.monotonic(), records=0)
        if self._job.rate is None:
            while self.records < self._job.records:
                self._produce(CHUNK)
        else:
            self._run_paced(self._job.rate)
        self._check(self._producer.flush(FLUSH_TIMEOUT_S))
        tell(at=time.monotonic(), records=self.records, done=1)

    def _run_paced(self, rate: float) -> None:
        pacer = Pacer(rate, time.monotonic())
        while self.records < self._job.records:
            self._produce(pacer.due(time.monotonic()))
            self._producer.poll(TICK_S)

    def _produce(self, wanted: int) -> None:
        count = min(wanted, self._job.records - self.records)
        if count > 0:
            keys, values = self._maker.chunk(count, time.time_ns() // 1000)
            for key, value in zip(keys, values, strict=True):
                self._put(key, value)
            self.records += count
        now = time.monotonic()
        if now > self._told_s + TELL_S:
            self._told_s = now
            self._producer.poll(0)
            self._check(0)
            tell(at=now, records=self.records)

    def _put(self, key: bytes, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(self._job.topic, value, key, on_delivery=self._on_delivery)
            except BufferError:
                self._producer.poll(0.05)
                self._check(0)
            else:
                return

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failed = error.str()

    def _check(self, left: int) -> None:
        if self._failed is not None:
            raise RuntimeError(f"Kafka refused a record of {self._job.topic}: {self._failed}")
        if left:
            raise RuntimeError(f"Kafka did not take {left} records of {self._job.topic} within {FLUSH_TIMEOUT_S:g} s")


if __name__ == "__main__":
    Generator(read_job(GeneratorJob, sys.argv[1])).run()
