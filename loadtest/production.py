"""The generator's process, started and awaited."""

import contextlib
import sys
import time
from collections.abc import Iterator

from loadtest.errors import LoadTestError
from loadtest.jobs import GeneratorJob, last_told, write_job
from loadtest.scenario import Part
from loadtest.stage import Stage
from tests.servers.process import SupervisedProcess, temporary_folder

PRELOAD_TIMEOUT_S = 600.0
POLL_S = 0.1


def generator_job(stage: Stage, part: Part, topic: str, records: int, rate: float | None) -> GeneratorJob:
    """`rate` in records/s; None: as fast as possible."""
    return GeneratorJob(
        kafka=stage.kafka.address,
        topic=topic,
        keys=part.keys.count,
        exponent=part.keys.exponent,
        balanced_over=part.keys.balanced_over,
        value_bytes=part.value_bytes,
        records=records,
        rate=rate,
        seed=part.seed,
    )


@contextlib.contextmanager
def running_generator(stage: Stage, job: GeneratorJob) -> Iterator[SupervisedProcess]:
    """Killed at the end of the block if it still runs."""
    with temporary_folder("load-generator") as folder:
        command = [sys.executable, "-m", "loadtest.generator", str(write_job(job, folder / "job.json"))]
        with SupervisedProcess("load-generator", command) as process:
            yield process


def preload(stage: Stage, part: Part, topic: str, records: int) -> None:
    """Returns when Kafka has all of them. Raises LoadTestError when it does not take them."""
    with running_generator(stage, generator_job(stage, part, topic, records, None)) as process:
        wait_produced(process, PRELOAD_TIMEOUT_S)


def wait_produced(process: SupervisedProcess, seconds: float) -> None:
    """Until the generator has done its job. Raises LoadTestError when it fails or the time is over."""
    deadline = time.monotonic() + seconds
    while (status := process.exit_status()) is None:
        if time.monotonic() > deadline:
            raise LoadTestError(f"the generator produced {produced(process):,} records in {seconds:g} s\n{process.log_tail()}")
        time.sleep(POLL_S)
    if status != 0:
        raise LoadTestError(f"the generator ended with status {status}\n{process.log_tail()}")


def produced(process: SupervisedProcess) -> int:
    """Records that were handed to the producer so far."""
    return int(last_told(process.log_path).get("records", 0))
