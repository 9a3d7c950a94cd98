"""What each kind of fault does to a run, and for how long."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.kinesis import CoWriter
from tests.simulation.plan import KINDS, OF_CLUSTER, Fault
from tests.simulation.replica import GROUP

if TYPE_CHECKING:
    from tests.simulation.run import Run

Apply = Callable[["Run", Fault], None]


def _of_kinesis(run: "Run", fault: Fault) -> None:
    """A document for the embedded Kinesis, which counts what it injects."""
    document = {"kind": fault.kind, **{key: value for key, value in fault.what.items() if key != "seconds"}}
    if fault.kind == "swapped":
        run.laws.damaged = True
    if fault.kind in ("swapped", "byte_flipped"):
        run.ledger.altered = True
    if fault.kind == "stored_late":
        document["closed_after_s"] = None
    run.kinesis_faults.append(document)
    run.kinesis.inject(run.kinesis_faults)

    def over() -> None:
        if document in run.kinesis_faults:
            run.kinesis_faults.remove(document)
            run.kinesis.inject(run.kinesis_faults)

    run.world.call_later(fault.what["seconds"], over)


def _counted(apply: Apply) -> Apply:
    def counted(run: "Run", fault: Fault) -> None:
        run.injected[fault.kind] += 1
        apply(run, fault)

    return counted


def _kinesis_slow(run: "Run", fault: Fault) -> None:
    run.kinesis.extra_latency_s = fault.what["latency_s"]
    run.world.call_later(fault.what["seconds"], lambda: setattr(run.kinesis, "extra_latency_s", 0.0))


def _co_writer(run: "Run", fault: Fault) -> None:
    CoWriter(run.kinesis, fault.what["stream"], fault.what["records_per_s"], run.world.now + fault.what["seconds"])


def _crash(run: "Run", fault: Fault) -> None:
    """Killed some turns of its loop later: at any await."""
    replica = run.replicas[fault.what["replica"]]
    replica.process.after_turns(int(fault.what["turns"]), lambda: replica.crash(fault.what["again_after"]))


def _sigterm(run: "Run", fault: Fault) -> None:
    run.replicas[fault.what["replica"]].terminate(fault.what["again_after"])


def _freeze(run: "Run", fault: Fault) -> None:
    """Stopped, in trials some turns of its loop later: between any two."""
    process = run.replicas[fault.what["replica"]].process
    if turns := int(fault.what.get("turns", 0)):
        process.after_turns(turns, lambda: process.freeze(fault.what["seconds"]))
    else:
        process.freeze(fault.what["seconds"])


def _clock_jump(run: "Run", fault: Fault) -> None:
    run.replicas[fault.what["replica"]].process.wall_offset_s += fault.what["seconds"]


def _cut_from_kinesis(run: "Run", fault: Fault) -> None:
    process = run.replicas[fault.what["replica"]].process
    process.cut_from_kinesis_until = run.world.now + fault.what["seconds"]


def _cut_from_kafka(run: "Run", fault: Fault) -> None:
    process = run.replicas[fault.what["replica"]].process
    process.cut_from_kafka_until = run.world.now + fault.what["seconds"]


def _broker_down(run: "Run", fault: Fault) -> None:
    run.cluster.broker_down(run.world.now + fault.what["seconds"])


def _rebalance(run: "Run", _fault: Fault) -> None:
    run.cluster.force_rebalance(GROUP)


def _lost(run: "Run", fault: Fault) -> None:
    process = run.replicas[fault.what["replica"]].process
    for consumer in run.cluster.consumers:
        if consumer.memberid().startswith(f"{process.name}-"):
            run.cluster.lose(GROUP, consumer.memberid())


def _taken_and_given_back(run: "Run", _fault: Fault) -> None:
    run.cluster.take_and_give_back(GROUP)


def _of_cluster(run: "Run", fault: Fault) -> None:
    """One that has a probability there, under the same name."""
    faults = run.cluster.faults
    setattr(faults, fault.kind, fault.what["probability"])
    if fault.kind == "unanswered_commits":
        faults.unanswered_applied = fault.what["applied"]
    run.world.call_later(fault.what["seconds"], lambda: setattr(faults, fault.kind, 0.0))


def _partitions_added(run: "Run", fault: Fault) -> None:
    run.cluster.add_partitions(fault.what["topic"], 1)


def _records_deleted(run: "Run", fault: Fault) -> None:
    """Retention removes what was not read yet."""
    run.delete_records((fault.what["topic"], fault.what["partition"]))


def _topic_recreated(run: "Run", fault: Fault) -> None:
    run.recreate_topic(fault.what["topic"])


def _stream_recreated(run: "Run", fault: Fault) -> None:
    run.recreate_stream(fault.what["stream"], fault.what["seconds"])


_OTHERS: dict[str, Apply] = {
    "kinesis_slow": _kinesis_slow,
    "co_writer": _co_writer,
    "crash": _crash,
    "sigterm": _sigterm,
    "freeze": _freeze,
    "clock_jump": _clock_jump,
    "cut_from_kinesis": _cut_from_kinesis,
    "cut_from_kafka": _cut_from_kafka,
    "broker_down": _broker_down,
    "rebalance": _rebalance,
    "lost": _lost,
    "taken_and_given_back": _taken_and_given_back,
    "partitions_added": _partitions_added,
    "records_deleted": _records_deleted,
    "topic_recreated": _topic_recreated,
    "stream_recreated": _stream_recreated,
}


def _apply(kind: str) -> Apply:
    if kind in _OTHERS:
        return _counted(_OTHERS[kind])
    return _of_cluster if kind in OF_CLUSTER else _of_kinesis


APPLY: dict[str, Apply] = {kind: _apply(kind) for kind in KINDS}
"""How each kind is injected. The embedded Kinesis and the cluster count their own."""
