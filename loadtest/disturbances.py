"""What may happen to a flow: another producer on one of its shards, a replica that leaves and comes back."""

import math
import sys
import time
from collections.abc import Sequence
from typing import Any

from loadtest.bridges import start_bridge
from loadtest.capacity import Capacity, co_writer_figures, recovery_s, seconds_over_limit, use_figures
from loadtest.co_writer import PARTITION_KEY
from loadtest.errors import LoadTestError
from loadtest.figures import Figures
from loadtest.flow import EXIT_TIMEOUT_S, Flow, settled
from loadtest.jobs import CoWriterJob, told, write_job
from loadtest.scenario import Absence, CoWriter
from loadtest.series import CO_WRITER, Series, ShardSample, add_series, series_of_samples, total, whole_seconds
from tests.servers.process import SupervisedProcess, temporary_folder


def with_absence(flow: Flow, absence: Absence) -> Figures:
    """The last replica leaves and comes back; figures are those of the time outside the two rebalances."""
    observer, leaver, number = flow.observer, flow.replicas[-1], len(flow.replicas) - 1
    peaks: list[float | None] = []
    together = _quiet(flow, absence.after_s, "all replicas", peaks)
    observer.leave(number)
    leaver.terminate()
    left_unsettled = not settled(leaver)
    observer.watch(absence.rebalance_s, "rebalance")
    alone = _quiet(flow, absence.duration_s - absence.rebalance_s, "one replica away", peaks)
    start_bridge(leaver, flow.stage.cores, number)
    observer.back(number)
    observer.watch(absence.rebalance_s, "rebalance")
    rest_s = flow.window.duration_s - absence.after_s - absence.duration_s - absence.rebalance_s
    together += _quiet(flow, rest_s, "all replicas again", peaks)
    series = observer.series()
    figures = use_figures(series, flow.capacity, together)
    figures["alone_stored_share"] = flow.capacity.used(total(series, alone)) / len(alone) / flow.capacity.of_stream
    figures["unsettled_stops"] = left_unsettled
    figures["seconds_over_limit"] = seconds_over_limit(series, flow.capacity, [*together, *alone])
    if told_peaks := [peak for peak in peaks if peak is not None]:
        figures["sliding_offered_max"] = max(told_peaks)
    return figures


def _quiet(flow: Flow, seconds: float, what: str, peaks: list[float | None]) -> list[int]:
    """Watches a time without a rebalance; returns its whole seconds and notes its peak."""
    flow.observer.take_statistics()
    begin_s = time.time()
    flow.observer.watch(seconds, what)
    end_s = time.time()
    peaks.append(flow.observer.peak_share())
    flow.observer.take_statistics()
    return list(whole_seconds(begin_s, end_s))


def with_co_writer(flow: Flow, co_writer: CoWriter) -> Figures:
    """A co-writer on the first shard, then a while without it."""
    shard, hash_key = next(iter(flow.shards.items()))
    rate = co_writer.shard_share * Capacity([shard], co_writer.value_bytes + len(PARTITION_KEY)).of_shard
    job = CoWriterJob(flow.stage.kinesis.address, flow.stream, str(hash_key), co_writer.value_bytes, rate)
    began_s, stopped_s, lines = _write(flow, job, co_writer.duration_s, f"co-writer on {shard}")
    flow.observer.watch(co_writer.recovery_s, "co-writer has stopped")
    flow.observer.take_statistics()
    series: Series = {}
    add_series(series, flow.observer.series())
    if not flow.stage.kinesis.embedded:
        add_series(series, series_of_samples(CO_WRITER, _samples_of(lines, shard, co_writer.value_bytes)))
    figures = co_writer_figures(series, shard, whole_seconds(began_s, stopped_s), rate)
    if flow.generator is None:
        recovered = recovery_s(series, shard, stopped_s, whole_seconds(stopped_s, time.time()), flow.capacity)
        # A recovery that was not seen took longer than it was watched for: no limit holds then.
        figures["recovery_s"] = math.inf if recovered is None else recovered
    return figures


def _write(flow: Flow, job: CoWriterJob, seconds: float, what: str) -> tuple[float, float, list[dict[str, Any]]]:
    """Runs the co-writer; when it began and stopped, and what it told."""
    environment = flow.stage.kinesis.co_writer_environment()
    with temporary_folder("load-co-writer") as folder:
        command = [sys.executable, "-m", "loadtest.co_writer", str(write_job(job, folder / "job.json"))]
        with SupervisedProcess("load-co-writer", command, environment=environment) as process:
            process.wait_ready(lambda: bool(told(process.log_path)), EXIT_TIMEOUT_S)
            began_s = time.time()
            flow.observer.watch(seconds, what)
            if (status := process.exit_status()) is not None:
                raise LoadTestError(f"the co-writer ended with status {status}\n{process.log_tail()}")
        return began_s, time.time(), told(process.log_path)


def _samples_of(lines: Sequence[dict[str, Any]], shard: str, value_bytes: int) -> list[ShardSample]:
    """What the co-writer told, as series are made of."""
    size = value_bytes + len(PARTITION_KEY)
    counted = [line for line in lines if "offered" in line]
    return [
        ShardSample(line["wall_s"], {shard: (line["offered"], line["throttled"], line["offered"] * size)}) for line in counted
    ]
