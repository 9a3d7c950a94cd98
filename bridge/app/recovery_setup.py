"""What finds out what became of attempts, put together for a forward line."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from bridge.app.feeders import Feeders
from bridge.app.forward_setup import ForwardPorts
from bridge.app.ledger import LedgerLine
from bridge.app.ledger_refresh import LedgerRefresh
from bridge.app.ledger_view import LedgerEnds
from bridge.app.partition_line import PartitionLine
from bridge.app.read_back import ReadBack
from bridge.app.read_back_round import RecoveryTerms, Sources
from bridge.app.routing import RoutedTopic, RouteTopic
from bridge.app.service_time import ServiceTime
from bridge.app.stream_line import StreamLine
from bridge.app.take_over import TakeOver, TakeOverPorts
from bridge.app.telemetry import Telemetry
from bridge.core.delivery.halts import HALTS, Halt
from bridge.core.delivery.mapping import Mapper
from bridge.core.records import Partition


class Hooks(NamedTuple):
    """What the forward line does with what is found out; see `TakeOver`."""

    on_read: Callable[[PartitionLine], None]
    on_asked: Callable[[], None]
    on_halt: Callable[[PartitionLine, Halt], None]


def recovery(
    ports: ForwardPorts,
    terms: RecoveryTerms,
    ledger: LedgerLine,
    lines: Mapping[Partition, PartitionLine],
    streams: Mapping[str, StreamLine],
    shared: tuple[ServiceTime, RouteTopic, Telemetry],
    hooks: Hooks,
) -> tuple[ReadBack, TakeOver, LedgerRefresh]:
    """For the partitions and streams of one process, as they come and go."""
    time, route_topic, telemetry = shared

    def own_watermark_ms(stream: str) -> float:
        of_attempts = streams[stream].watermark_ms() if stream in streams else time.now().earliest_ms
        return min(of_attempts, take_over.watermark_ms(stream))

    def on_expired(line: PartitionLine, gone: str) -> None:
        hooks.on_halt(line, Halt("evidence_expired", line.committable(), f"{HALTS['evidence_expired'].what}: {gone}"))

    def on_stream_expired(partition: Partition) -> None:
        if line := lines.get(partition):
            on_expired(line, f"stream {line.stream}")

    def routed(line: PartitionLine) -> RoutedTopic:
        found = route_topic(line.partition.topic, line.slices)
        if found is None:
            raise RuntimeError(f"{line.partition}: it is not carried")
        return found

    async def mapper_of(line: PartitionLine) -> Mapper:
        return await streams[line.stream].mapper_of(line)

    feeders = Feeders(ports.group, terms.group, route_topic, time, lambda: lines, own_watermark_ms)
    read_back = ReadBack(
        Sources(ports.shards, ledger, LedgerEnds(ledger, time), feeders, time, terms),
        telemetry,
        on_stream_expired,
    )
    take_over = TakeOver(
        TakeOverPorts(ledger, read_back, ports.rows, ports.offsets, time, terms.settle_ms, on_expired, routed, mapper_of),
        lines,
        telemetry,
        hooks.on_read,
        hooks.on_asked,
    )
    refresh = LedgerRefresh(ledger, lines, read_back.asked_since_ms, time, terms.ledger_retention_ms, telemetry)
    return read_back, take_over, refresh
