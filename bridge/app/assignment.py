"""A partition that was just assigned: where it begins, and whether it may."""

from bridge.app.owners import Owner
from bridge.app.partition_line import PartitionLine, Phase
from bridge.app.recreated import topic_halt
from bridge.app.routing import RoutedTopic
from bridge.core.delivery.ack_tracker import AckTracker
from bridge.core.delivery.commit_metadata import CommitPoint, decode, demand_in
from bridge.core.delivery.demand import Demand
from bridge.core.delivery.halts import HALTS, Halt, reason_named
from bridge.core.delivery.lanes import PartitionLanes
from bridge.ports import AssignedPartition


def open_line(assigned: AssignedPartition, routed: RoutedTopic, owner: Owner) -> PartitionLine:
    """A partition that was just assigned, at its committed offset."""
    known = decode(assigned.metadata)
    is_open = known.ownership is not None and known.ownership.is_open
    return PartitionLine(
        assigned.partition,
        routed.route,
        routed.stream,
        AckTracker(assigned.offset),
        PartitionLanes(assigned.partition, routed.linger_s, aggregates=routed.aggregates),
        assigned.slices,
        CommitPoint(assigned.offset, assigned.metadata),
        topic_id=known.topic_id or assigned.topic_id,
        stream_created_ms=known.stream_created_ms if known.stream == routed.stream else None,
        owner=owner,
        before=known.ownership,
        unreadable=known.unreadable,
        demand=Demand(demand_in(assigned.metadata)),
        epoch=known.ownership.epoch if known.ownership else 0,
        phase=Phase.READING if is_open else Phase.CLEAN,
        attempts_to=assigned.offset,
    )


def halt_at_assignment(assigned: AssignedPartition, line: PartitionLine) -> Halt | None:
    """Why a partition that was just assigned may not be read, going by what was committed for it."""
    known = decode(assigned.metadata)
    if known.unreadable is not None:
        return Halt("metadata_version", assigned.offset, f"what stands beside the committed offset: {known.unreadable}")
    if halt := topic_halt(line, assigned.topic_id):
        return halt
    reason = reason_named(known.halted)
    if reason is None or not HALTS[reason].stays or (reason == "stream_recreated" and known.stream != line.stream):
        return None
    return Halt(reason, assigned.offset, f"{HALTS[reason].what}; found before, and the group's offset was not set since")


def mapping_halt(line: PartitionLine) -> Halt | None:
    """Why a partition may not go on that the owner before has left unsettled: it mapped records otherwise."""
    before, ours = line.before, line.owner.fingerprint if line.owner else ""
    if before is None or not before.is_open or before.fingerprint in ("", ours):
        return None
    at = line.committable()
    return Halt("mapping_changed", at, f"the fingerprint of the route was {before.fingerprint} and is {ours} now")
