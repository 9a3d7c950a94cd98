"""What a forward line is made of: its ports, its bounds."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bridge.app.owners import LeaseTerms
from bridge.app.read_back_round import RecoveryTerms
from bridge.ports import Clock, ControlStore, DeadLetters, GroupDirectory, Ledger, OffsetDirectory, RowReader, ShardReader, Source


@dataclass(slots=True, frozen=True)
class ForwardLimits:
    """Bounds and intervals of the forward line, from the configuration; seconds and bytes."""

    buffer_bytes_max: int
    commit_interval_s: float
    drain_timeout_s: float
    ledger_slots: int
    lease: LeaseTerms
    recovery: RecoveryTerms


@dataclass(slots=True, frozen=True)
class ForwardPorts:
    """What the forward line asks of the outside world, beside its streams."""

    open_source: Callable[[], Awaitable[Source]]
    offsets: OffsetDirectory
    dead_letters: DeadLetters
    ledger: Ledger
    control: ControlStore
    clock: Clock
    group: GroupDirectory
    shards: ShardReader
    rows: RowReader
    owner: str
    """Tells this process from all others, and from those before it."""
