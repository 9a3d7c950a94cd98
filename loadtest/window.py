"""Records flow all the time; what happens between two moments is measured: shard use, cost, latency."""

import time
from collections.abc import Mapping, Sequence

from loadtest import usage
from loadtest.capacity import use_figures
from loadtest.cores import busy_figures
from loadtest.disturbances import with_absence, with_co_writer
from loadtest.errors import LoadTestError
from loadtest.figures import Figures
from loadtest.flow import Flow, flowing
from loadtest.killing import after_kill, with_kill
from loadtest.latency import histogram_figures, latency_figures, read_back
from loadtest.observation import Moment
from loadtest.production import produced, wait_produced
from loadtest.scenario import Part, Window
from loadtest.series import by_second, whole_seconds
from loadtest.speed import speed_between
from loadtest.stage import Outcome, Stage
from tests.servers.process import SupervisedProcess, wait_until

CARRIED_TIMEOUT_S = 60.0


def run_window(stage: Stage, part: Part, window: Window) -> Outcome:
    """Raises LoadTestError when a process ends, nothing flows, or the backlog is carried before the end."""
    started_s = time.time()
    with flowing(stage, part, window) as flow:
        killed = None
        flow.observer.watch(window.warm_up_s, "warm-up")
        flow.observer.take_statistics()
        begin = flow.observer.moment()
        if window.kill is not None:
            figures: Figures = {}
            killed = with_kill(flow, window.kill)
        else:
            figures = with_absence(flow, window.absence) if window.absence else _undisturbed(flow)
        end = flow.observer.moment()
        if window.co_writer is not None:
            figures |= with_co_writer(flow, window.co_writer)
        figures |= _memory(flow)
        if window.absence is None and killed is None:
            figures |= _cost(flow, begin, end)
        if flow.generator is not None:
            figures |= _latency(flow, flow.generator, begin, end)
        elif flow.observer.tick().records >= flow.backlog_records:
            raise LoadTestError(
                f"the backlog of {flow.backlog_records:,} records was carried before the end: nothing is measured"
            )
        flow.observer.take_statistics()
        if (over := flow.observer.requests_over_limit) is not None:
            figures["requests_over_limit"] = over
        figures["hot_lane_warnings"] = sum(daemon.log_text().count('"event": "hot_lane"') for daemon in flow.replicas)
        figures["unsettled_stops"] = figures.get("unsettled_stops", 0) + flow.stop()
        if killed is not None:
            figures |= after_kill(flow, killed, started_s)
    measured = {"begin_s": begin.wall_s, "end_s": end.wall_s, "seconds": by_second(flow.observer.series())}
    return Outcome(figures, flow.settings, measured)


def _undisturbed(flow: Flow) -> Figures:
    """The whole window in one go."""
    begin_s = time.time()
    flow.observer.watch(flow.window.duration_s, "measured")
    end_s = time.time()
    peak = flow.observer.peak_share()
    flow.observer.take_statistics()
    figures = use_figures(flow.observer.series(), flow.capacity, whole_seconds(begin_s, end_s))
    return figures if peak is None else figures | {"sliding_offered_max": peak}


def _memory(flow: Flow) -> Figures:
    """Of the replica that needed most, among those that are there."""
    there = [daemon for number, daemon in enumerate(flow.replicas) if not flow.observer.is_away(number)]
    peak_bytes = max(usage.peak_memory_bytes(daemon.process.pid) for daemon in there)
    return {"peak_memory_mib": peak_bytes / 1024**2}


def _cost(flow: Flow, begin: Moment, end: Moment) -> Figures:
    """Of all replicas together."""
    speeds = [speed_between(begin.samples[number], end.samples[number]) for number in begin.samples]
    cpu_use = sum(speed.cpu_use for speed in speeds)
    requests_per_s = sum(speed.requests_per_s for speed in speeds)
    put_per_s = sum(speed.requests_per_s * speed.records_per_request for speed in speeds)
    return {
        "cpu_use": cpu_use,
        "records_per_cpu_s": sum(speed.records_per_s for speed in speeds) / cpu_use if cpu_use else 0.0,
        "requests_per_s": requests_per_s,
        "records_per_request": put_per_s / requests_per_s if requests_per_s else 0.0,
        **busy_figures(flow.stage.cores, speeds[0].busy_s_per_s),
    }


def _latency(flow: Flow, generator: SupervisedProcess, begin: Moment, end: Moment) -> Figures:
    """Every record that was produced in the window, read back."""
    wait_produced(generator, CARRIED_TIMEOUT_S)
    records = produced(generator)
    wait_until(lambda: flow.observer.tick().records >= records, f"all {records:,} records confirmed", CARRIED_TIMEOUT_S)
    flow.stage.say("the records are read back")
    window = (begin.wall_s, end.wall_s)
    found = read_back(flow.stage.kinesis.client, flow.stream, list(flow.shards), window)
    # An arrival is in the middle of the embedded service's round trip; the answer takes the other half.
    back_s = flow.part.latency_ms / 2000 if flow.stage.kinesis.embedded else 0.0
    figures = latency_figures([latency + back_s for latency in found.latencies_s])
    figures["produced_records_per_s"] = len(found.latencies_s) / (end.wall_s - begin.wall_s)
    figures["out_of_order_records"] = found.out_of_order
    before = _summed([one.delivery for one in begin.samples.values()])
    return figures | histogram_figures(before, _summed([one.delivery for one in end.samples.values()]))


def _summed(counts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    edges = {edge for one in counts for edge in one}
    return {edge: sum(one.get(edge, 0.0) for one in counts) for edge in edges}
