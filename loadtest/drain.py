"""A backlog carried to its end: how fast, and at what cost, also by the baseline in turns."""

import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadtest import usage
from loadtest.bridges import Sample, bridge_settings, running_bridge, sample
from loadtest.cores import busy_figures, pinned
from loadtest.errors import LoadTestError
from loadtest.figures import Figures
from loadtest.flow import EXIT_TIMEOUT_S, settled
from loadtest.jobs import BaselineJob, last_told, write_job
from loadtest.keys import KEY_BYTES
from loadtest.production import preload
from loadtest.scenario import Drain, Part
from loadtest.speed import Speed, median_speed, speed_of
from loadtest.stage import Outcome, Stage
from tests.servers.process import SupervisedProcess, temporary_folder

POLL_S = 0.5
"""How often the bridge's metrics are read: that costs it CPU time too."""

STALL_TIMEOUT_S = 60.0


def run_drain(stage: Stage, part: Part, drain: Drain) -> Outcome:
    """Rounds of bridge and baseline in turns over one topic, each into a fresh stream; medians of the rounds.

    Raises LoadTestError when a process ends or stands still.
    """
    with stage.kafka.topic(part.partitions) as topic:
        stage.say(f"{drain.backlog_records:,} records are preloaded")
        preload(stage, part, topic, drain.backlog_records)
        bridges: list[Speed] = []
        baselines: list[Speed] = []
        memory: list[int] = []
        settings: dict[str, Any] = {}
        for number in range(1, drain.rounds + 1):
            speed, peak_bytes, settings = _bridge_round(stage, part, drain, topic)
            stage.say(f"round {number}, bridge: {_text(speed)}")
            bridges.append(speed)
            memory.append(peak_bytes)
            if drain.baseline:
                speed = _baseline_round(stage, part, drain, topic)
                stage.say(f"round {number}, baseline: {_text(speed)}")
                baselines.append(speed)
    bridge = median_speed(bridges)
    figures = _bridge_figures(part, bridge, max(memory)) | busy_figures(stage.cores, bridge.busy_s_per_s)
    if baselines:
        figures |= _baseline_figures(bridge, median_speed(baselines))
    rounds = {"bridge": [asdict(speed) for speed in bridges], "baseline": [asdict(speed) for speed in baselines]}
    return Outcome(figures, settings, {"rounds": rounds})


def _text(speed: Speed) -> str:
    return f"{speed.records_per_s:,.0f} records/s, {speed.records_per_cpu_s:,.0f} per CPU second, core use {speed.cpu_use:.2f}"


def _bridge_figures(part: Part, speed: Speed, peak_bytes: int) -> Figures:
    return {
        "records_per_s": speed.records_per_s,
        "mb_per_s": speed.records_per_s * (part.value_bytes_mean + KEY_BYTES) / 1e6,
        "records_per_cpu_s": speed.records_per_cpu_s,
        "cpu_use": speed.cpu_use,
        "requests_per_s": speed.requests_per_s,
        "records_per_request": speed.records_per_request,
        "peak_memory_mib": peak_bytes / 1024**2,
    }


def _baseline_figures(bridge: Speed, baseline: Speed) -> Figures:
    return {
        "baseline_records_per_s": baseline.records_per_s,
        "baseline_records_per_cpu_s": baseline.records_per_cpu_s,
        "baseline_cpu_use": baseline.cpu_use,
        "cpu_ratio": bridge.records_per_cpu_s / baseline.records_per_cpu_s,
        "speed_ratio": bridge.records_per_s / baseline.records_per_s,
    }


def _bridge_round(stage: Stage, part: Part, drain: Drain, topic: str) -> tuple[Speed, int, dict[str, Any]]:
    kinesis = stage.kinesis
    with stage.kafka.group() as group, kinesis.stream(part.shards) as stream:
        settings = bridge_settings(part, stage.kafka.address, kinesis, group, (topic, stream))
        with running_bridge(stage, settings) as daemon:
            samples = _samples_until_done(lambda: sample(daemon, stage.cores), drain.backlog_records, daemon.process)
            peak_bytes = usage.peak_memory_bytes(daemon.process.pid)
            daemon.terminate()
            if not settled(daemon):
                raise LoadTestError(f"the bridge carried everything and could not commit it\n{daemon.process.log_tail()}")
    return speed_of(samples, drain.backlog_records, drain.warm_up_share), peak_bytes, settings


def _baseline_round(stage: Stage, part: Part, drain: Drain, topic: str) -> Speed:
    kinesis = stage.kinesis
    with temporary_folder("load-baseline") as folder, stage.kafka.group() as group, kinesis.stream(part.shards) as stream:
        job = BaselineJob(stage.kafka.address, kinesis.address, topic, group, stream)
        command = [sys.executable, "-m", "loadtest.baseline", str(write_job(job, folder / "job.json"))]
        with (
            pinned(stage.cores.of_replica(0)),
            SupervisedProcess("load-baseline", command, environment=kinesis.environment) as process,
        ):
            samples = _samples_until_done(lambda: _baseline_sample(process.log_path), drain.backlog_records, process)
            process.signal(signal.SIGTERM)
            process.wait_exit(EXIT_TIMEOUT_S)
    return speed_of(samples, drain.backlog_records, drain.warm_up_share)


def _baseline_sample(log: Path) -> Sample:
    told = last_told(log)
    return Sample(told.get("at", 0.0), told.get("cpu_s", 0.0), told.get("records", 0.0))


def _samples_until_done(take: Callable[[], Sample], records: int, process: SupervisedProcess) -> list[Sample]:
    """Raises LoadTestError when the process ends, or carries nothing for `STALL_TIMEOUT_S`."""
    samples = [take()]
    moved_s = time.monotonic()
    while samples[-1].records < records:
        time.sleep(POLL_S)
        samples.append(take())
        now = time.monotonic()
        if samples[-1].records > samples[-2].records:
            moved_s = now
        if (status := process.exit_status()) is not None:
            raise LoadTestError(f"{process.name} ended with status {status}\n{process.log_tail()}")
        if now > moved_s + STALL_TIMEOUT_S:
            raise LoadTestError(f"{process.name} carried nothing for {STALL_TIMEOUT_S:g} s\n{process.log_tail()}")
    return samples
