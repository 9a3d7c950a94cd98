"""Records flow all the time; what happens between moments is measured: shard use, latency, a co-writer, replicas that leave."""

import contextlib
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from loadtest import usage
from loadtest.bridges import bridge_settings, running_bridge, start_bridge
from loadtest.capacity import Capacity, co_writer_figures, recovery_s, seconds_over_limit, use_figures
from loadtest.errors import LoadTestError
from loadtest.figures import Figures
from loadtest.jobs import CoWriterJob, told, write_job
from loadtest.keys import KEY_BYTES
from loadtest.latency import histogram_figures, latency_figures, read_latencies
from loadtest.observation import Moment, Observer
from loadtest.production import generator_job, preload, produced, running_generator, wait_produced
from loadtest.scenario import Absence, CoWriter, Part, Window
from loadtest.series import CO_WRITER, ShardSample, add_series, series_of_samples, total, whole_seconds
from loadtest.speed import speed_between
from loadtest.stage import Outcome, Stage
from tests.integration.daemon import Daemon
from tests.servers.process import SupervisedProcess, temporary_folder, wait_until

EXIT_TIMEOUT_S = 90.0
CARRIED_TIMEOUT_S = 60.0
START_S = 5.0
"""Records flow for so long before the warm-up, or after the end."""

BACKLOG_MARGIN = 1.15


@dataclass(frozen=True, slots=True)
class _Flow:
    """A part that is running."""

    stage: Stage
    part: Part
    window: Window
    stream: str
    shards: dict[str, int]
    capacity: Capacity
    replicas: Sequence[Daemon]
    observer: Observer
    generator: SupervisedProcess | None
    backlog_records: int
    settings: dict[str, Any]


def run_window(stage: Stage, part: Part, window: Window) -> Outcome:
    """Raises LoadTestError when a process ends, nothing flows, or the backlog is carried before the end."""
    with _flowing(stage, part, window) as flow:
        flow.observer.watch(window.warm_up_s, "warm-up")
        flow.observer.take_statistics()
        begin = flow.observer.moment()
        figures: Figures = {}
        quiet = _with_absence(flow, window.absence) if window.absence else _undisturbed(flow)
        end = flow.observer.moment()
        figures |= quiet
        if window.co_writer is not None:
            figures |= _with_co_writer(flow, window.co_writer)
        figures |= _after(flow, begin, end)
        for daemon in flow.replicas:
            daemon.terminate()
        for daemon in flow.replicas:
            daemon.wait_exit(EXIT_TIMEOUT_S)
    return Outcome(figures, flow.settings)


@contextlib.contextmanager
def _flowing(stage: Stage, part: Part, window: Window) -> Iterator[_Flow]:
    """Everything started, the first record confirmed."""
    with contextlib.ExitStack() as stack:
        topic = stack.enter_context(stage.kafka.topic(part.partitions))
        group = stack.enter_context(stage.kafka.group())
        stream = stack.enter_context(stage.kinesis.stream(part.shards))
        shards = stage.kinesis.open_shards(stream)
        capacity = Capacity(list(shards), part.value_bytes_mean + KEY_BYTES)
        backlog = 0
        if window.rate is None:
            backlog = math.ceil(capacity.of_stream * (_seconds(window) + START_S) * BACKLOG_MARGIN)
            stage.say(f"{backlog:,} records are preloaded")
            preload(stage, part, topic, backlog)
        settings = bridge_settings(part, stage.kafka.address, stage.kinesis, group, (topic, stream))
        environment = stage.kinesis.environment
        replicas = [
            stack.enter_context(running_bridge(settings, environment, stage.cores, number)) for number in range(part.replicas)
        ]
        generator = None
        if window.rate is not None:
            records = math.ceil(window.rate * (_seconds(window) + START_S))
            generator = stack.enter_context(running_generator(stage, generator_job(stage, part, topic, records, window.rate)))
        observer = Observer(stage, stream, replicas)
        observer.wait_first_record()
        yield _Flow(stage, part, window, stream, shards, capacity, replicas, observer, generator, backlog, settings)


def _seconds(window: Window) -> float:
    """From the warm-up's beginning to the end of everything."""
    co_writer = window.co_writer
    return window.warm_up_s + window.duration_s + (co_writer.duration_s + co_writer.recovery_s if co_writer else 0.0)


def _undisturbed(flow: _Flow) -> Figures:
    """The whole window in one go."""
    begin_s = time.time()
    flow.observer.watch(flow.window.duration_s, "measured")
    end_s = time.time()
    peak = flow.observer.peak_share()
    flow.observer.take_statistics()
    figures = use_figures(flow.observer.series(), flow.capacity, whole_seconds(begin_s, end_s))
    return figures if peak is None else figures | {"sliding_offered_max": peak}


def _with_absence(flow: _Flow, absence: Absence) -> Figures:
    """The last replica leaves and comes back; figures are those of the time outside the two rebalances."""
    observer, leaver, number = flow.observer, flow.replicas[-1], len(flow.replicas) - 1
    peaks: list[float | None] = []
    together = _quiet(flow, absence.after_s, "all replicas", peaks)
    observer.leave(number)
    leaver.terminate()
    leaver.wait_exit(EXIT_TIMEOUT_S)
    observer.watch(absence.rebalance_s, "rebalance")
    alone = _quiet(flow, max(1.0, absence.duration_s - absence.rebalance_s), "one replica away", peaks)
    start_bridge(leaver, flow.stage.cores, number)
    observer.back(number)
    observer.watch(absence.rebalance_s, "rebalance")
    rest_s = flow.window.duration_s - absence.after_s - absence.duration_s - absence.rebalance_s
    together += _quiet(flow, max(1.0, rest_s), "all replicas again", peaks)
    series = observer.series()
    figures = use_figures(series, flow.capacity, together)
    figures["alone_stored_share"] = total(series, alone).stored / len(alone) / flow.capacity.of_stream
    figures["seconds_over_limit"] = seconds_over_limit(series, flow.capacity, [*together, *alone])
    if told_peaks := [peak for peak in peaks if peak is not None]:
        figures["sliding_offered_max"] = max(told_peaks)
    return figures


def _quiet(flow: _Flow, seconds: float, what: str, peaks: list[float | None]) -> list[int]:
    """Watches a time without a rebalance; returns its whole seconds and notes its peak."""
    flow.observer.take_statistics()
    begin_s = time.time()
    flow.observer.watch(seconds, what)
    end_s = time.time()
    peaks.append(flow.observer.peak_share())
    flow.observer.take_statistics()
    return list(whole_seconds(begin_s, end_s))


def _with_co_writer(flow: _Flow, co_writer: CoWriter) -> Figures:
    """A co-writer on the first shard, then a while without it."""
    shard, hash_key = next(iter(flow.shards.items()))
    rate = co_writer.shard_share * Capacity([shard], co_writer.value_bytes + KEY_BYTES).of_shard
    job = CoWriterJob(flow.stage.kinesis.address, flow.stream, str(hash_key), co_writer.value_bytes, rate)
    environment = flow.stage.kinesis.co_writer_environment()
    with temporary_folder("load-co-writer") as folder:
        command = [sys.executable, "-m", "loadtest.co_writer", str(write_job(job, folder / "job.json"))]
        with SupervisedProcess("load-co-writer", command, environment=environment) as process:
            process.wait_ready(lambda: bool(told(process.log_path)), EXIT_TIMEOUT_S)
            began_s = time.time()
            flow.observer.watch(co_writer.duration_s, f"co-writer on {shard}")
            if (status := process.exit_status()) is not None:
                raise LoadTestError(f"the co-writer ended with status {status}\n{process.log_tail()}")
        stopped_s = time.time()
        lines = told(process.log_path)
    flow.observer.watch(co_writer.recovery_s, "co-writer has stopped")
    flow.observer.take_statistics()
    series = flow.observer.series()
    if not flow.stage.kinesis.embedded:
        add_series(series, series_of_samples(CO_WRITER, _samples_of(lines, shard, co_writer.value_bytes)))
    watched = whole_seconds(stopped_s, time.time())
    figures = co_writer_figures(series, shard, whole_seconds(began_s, stopped_s), rate)
    recovered = recovery_s(series, shard, stopped_s, watched, flow.capacity)
    # A recovery that was not seen took longer than it was watched for: no limit holds then.
    return figures | {"recovery_s": math.inf if recovered is None else recovered}


def _samples_of(lines: Sequence[dict[str, Any]], shard: str, value_bytes: int) -> list[ShardSample]:
    """What the co-writer told, as series are made of."""
    counted = [line for line in lines if "offered" in line]
    return [
        ShardSample(line["wall_s"], {shard: (line["offered"], line["throttled"], line["offered"] * value_bytes)})
        for line in counted
    ]


def _after(flow: _Flow, begin: Moment, end: Moment) -> Figures:
    """What is known when everything is over: cost, memory, latency."""
    figures = _cost(flow, begin, end)
    if (over := flow.observer.requests_over_limit) is not None:
        figures["requests_over_limit"] = over
    if flow.generator is None:
        if flow.observer.confirmed() >= flow.backlog_records:
            raise LoadTestError(
                f"the backlog of {flow.backlog_records:,} records was carried before the end: nothing is measured"
            )
        return figures
    return figures | _latency(flow, flow.generator, begin, end)


def _cost(flow: _Flow, begin: Moment, end: Moment) -> Figures:
    """Of all replicas together. A replica that was away counts with what its processes tell."""
    peak_bytes = max(usage.peak_memory_bytes(daemon.process.pid) for daemon in flow.replicas)
    figures: Figures = {"peak_memory_mib": peak_bytes / 1024**2}
    if flow.window.absence is None:
        speeds = [speed_between(begin.samples[number], end.samples[number]) for number in begin.samples]
        cpu_use = sum(speed.cpu_use for speed in speeds)
        requests_per_s = sum(speed.requests_per_s for speed in speeds)
        put_per_s = sum(speed.requests_per_s * speed.records_per_request for speed in speeds)
        figures |= {"cpu_use": cpu_use, "requests_per_s": requests_per_s}
        figures["records_per_cpu_s"] = sum(speed.records_per_s for speed in speeds) / cpu_use if cpu_use else 0.0
        figures["records_per_request"] = put_per_s / requests_per_s if requests_per_s else 0.0
    return figures


def _latency(flow: _Flow, generator: SupervisedProcess, begin: Moment, end: Moment) -> Figures:
    """Every record that was produced in the window, read back."""
    wait_produced(generator, CARRIED_TIMEOUT_S)
    records = produced(generator)
    wait_until(lambda: flow.observer.tick().records >= records, f"all {records:,} records confirmed", CARRIED_TIMEOUT_S)
    flow.stage.say("the records are read back")
    window = (begin.wall_s, end.wall_s)
    latencies = read_latencies(flow.stage.kinesis.client, flow.stream, list(flow.shards), window)
    # An arrival is in the middle of the embedded service's round trip; the answer takes the other half.
    back_s = flow.part.latency_ms / 2000 if flow.stage.kinesis.embedded else 0.0
    figures = latency_figures([latency + back_s for latency in latencies])
    figures["produced_records_per_s"] = len(latencies) / (end.wall_s - begin.wall_s)
    before = _summed([one.delivery for one in begin.samples.values()])
    return figures | histogram_figures(before, _summed([one.delivery for one in end.samples.values()]))


def _summed(counts: Sequence[Any]) -> dict[str, float]:
    edges = {edge for one in counts for edge in one}
    return {edge: sum(one.get(edge, 0.0) for one in counts) for edge in edges}
