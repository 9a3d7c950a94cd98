"""What a forward line is made of: its ports, its bounds."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bridge.ports import Clock, DeadLetters, OffsetDirectory, Source


@dataclass(slots=True, frozen=True)
class ForwardLimits:
    """Bounds and intervals of the forward line, from the configuration; seconds and bytes."""

    buffer_bytes_max: int
    commit_interval_s: float
    drain_timeout_s: float


@dataclass(slots=True, frozen=True)
class ForwardPorts:
    """What the forward line asks of the outside world, beside its streams."""

    open_source: Callable[[], Awaitable[Source]]
    offsets: OffsetDirectory
    dead_letters: DeadLetters
    clock: Clock
