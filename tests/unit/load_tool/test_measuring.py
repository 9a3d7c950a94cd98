"""Speed from samples, cores, /proc, and what processes tell each other."""

import os
import stat
import time
from pathlib import Path

import pytest

from loadtest import usage
from loadtest.bridges import Sample
from loadtest.cores import Cores, available_cores, busy_figures, pinned, share_out
from loadtest.errors import LoadTestError
from loadtest.jobs import BaselineJob, GeneratorJob, KafkaAddress, KinesisAddress, last_told, read_job, told, write_job
from loadtest.speed import Speed, median_speed, speed_of


def samples(*points: tuple[float, float, float]) -> list[Sample]:
    return [
        Sample(at_s=at, cpu_s=cpu, records=records, requests=records / 100, put_records=records * 1.1)
        for at, cpu, records in points
    ]


def test_the_warm_up_and_the_end_do_not_count():
    found = speed_of(samples((0, 0, 0), (5, 4, 150), (6, 4.5, 350), (8, 5, 850), (20, 6, 1000)), 1000, 0.15)
    assert found.records_per_s == pytest.approx(700 / 3)
    assert found.records_per_cpu_s == pytest.approx(700)
    assert found.cpu_use == pytest.approx(1 / 3)
    assert found.requests_per_s == pytest.approx(7 / 3)
    assert found.records_per_request == pytest.approx(110)


@pytest.mark.parametrize(
    "points", [[(0.0, 0.0, 0.0), (1.0, 1.0, 1000.0)], [(0.0, 0.0, 0.0), (1.0, 1.0, 500.0), (2.0, 2.0, 1000.0)]]
)
def test_a_backlog_that_is_over_too_soon_is_refused(points: list[tuple[float, float, float]]):
    with pytest.raises(LoadTestError, match=r"drain\.backlog_records: 1000"):
        speed_of(samples(*points), 1000, 0.15)


def test_the_median_round_counts():
    rounds = [Speed(rate, rate * 2, rate / 100, 1, 500, (rate, 1)) for rate in (10, 1000, 20)]
    assert median_speed(rounds) == Speed(20, 40, 0.2, 1, 500, (20, 1))


@pytest.mark.parametrize(
    ("available", "replicas", "expected"),
    [
        ({3}, 1, Cores((), ())),
        (set(), 1, Cores((), ())),
        ({0, 1}, 1, Cores((0,), (1,))),
        ({0, 1}, 2, Cores((0,), (1,))),
        ({4, 5, 6, 7}, 2, Cores((4, 5), (6, 7))),
        (set(range(8)), 1, Cores((0,), tuple(range(1, 8)))),
    ],
)
def test_cores_are_shared_out(available: set[int], replicas: int, expected: Cores):
    assert share_out(available, replicas) == expected


def test_replicas_go_around_their_cores():
    cores = Cores((4, 5), (6, 7))
    assert [cores.of_replica(number) for number in range(3)] == [(4,), (5,), (4,)]
    assert cores.text() == "bridge and baseline on core 4, 5, everything else on core 6, 7"
    assert Cores((), ()).of_replica(0) == ()
    assert Cores((), ()).text() == "not pinned"


def test_use_of_cores_is_of_each_core():
    assert busy_figures(Cores((0,), (1, 2, 3)), (0.5, 1.5)) == {"bridge_cores_busy": 0.5, "other_cores_busy": 0.5}
    assert busy_figures(Cores((), ()), (0.5, 1.5)) == {}


@pytest.mark.skipif(len(available_cores()) < 2, reason="one core, or a system that does not pin")
def test_pinning_ends_with_its_block():
    before = os.sched_getaffinity(0)
    core = min(before)
    with pinned((core,)):
        assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == before
    with pinned(()):
        assert os.sched_getaffinity(0) == before
    assert os.sched_getaffinity(0) == before


def test_cpu_time_and_memory_of_a_process_are_the_kernels():
    pid, used = os.getpid(), time.process_time()
    before, busy = usage.cpu_s(pid), usage.busy_s(available_cores())
    while time.process_time() < used + 0.3:
        sum(range(1000))
    assert usage.cpu_s(pid) - before == pytest.approx(time.process_time() - used, abs=0.05)
    assert usage.busy_s(available_cores()) - busy > 0.2
    assert usage.busy_s([]) == 0
    assert 5e6 < usage.peak_memory_bytes(pid) < 5e9


GENERATOR = GeneratorJob(KafkaAddress("b:1", {"sasl.password": "x"}), "t", 5, 1.5, None, {100: 1.0, 200: 2.0}, 10, None, 1)
BASELINE = BaselineJob(KafkaAddress("b:1", {}), KinesisAddress("us-east-1", "http://h:1"), "t", "g", "s")


@pytest.mark.parametrize("job", [GENERATOR, BASELINE], ids=["generator", "baseline"])
def test_a_job_arrives_as_it_was_written_and_nobody_else_reads_it(job: GeneratorJob | BaselineJob, tmp_path: Path):
    file = write_job(job, tmp_path / "job.json")
    assert read_job(type(job), str(file)) == job
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_only_whole_lines_of_progress_count(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("")
    assert last_told(log) == {}
    log.write_text('{"records": 1}\na warning\n{"records": 2}\n{"recor')
    assert told(log) == [{"records": 1}, {"records": 2}]
    assert last_told(log) == {"records": 2}


def test_properties_of_the_client_are_under_the_users_and_the_tools_win():
    address = KafkaAddress("b:1", {"linger.ms": "1", "client.rack": "a"})
    assert address.client_properties({"linger.ms": 5}) == {"bootstrap.servers": "b:1", "client.rack": "a", "linger.ms": 5}
