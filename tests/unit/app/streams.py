"""A stream line with a Kinesis that answers as told, for tests of the application."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from bridge.app.ledger import LedgerLine
from bridge.app.parking import Parking
from bridge.app.partition_line import PartitionLine
from bridge.app.sending import StreamPorts
from bridge.app.service_time import ServiceTime
from bridge.app.stream_line import StreamLine
from bridge.core.delivery.halts import Halt
from bridge.core.delivery.key_strategies import KeyCache, MappingSpec
from bridge.core.delivery.policies import Policies
from bridge.core.delivery.requests import Request, RequestLimits
from bridge.core.delivery.stream_description import StreamDescription
from bridge.core.quotas import MIB
from bridge.core.records import DeadLetter, Outcome, PutAnswer
from tests.unit.app.ledger_topics import SLOTS, LedgerTopic
from tests.unit.app.lines import FIRST_MS, LoggingTelemetry, new_line
from tests.unit.core.delivery.columns import even_shard_map, source_batch

LIMITS = RequestLimits(500, 5 * MIB)
SPEC = MappingSpec("key", "orders", policies=Policies("stop", "stop", "stop", "stop"))


def told_s() -> int:
    """What Kinesis says its time is."""
    return FIRST_MS // 1000 + int(asyncio.get_running_loop().time())


SEQUENCE_NUMBERS = count(1)
"""Of all streams: no two records have the same."""


class Kinesis:
    """Sink and shard directory: keeps requests, answers as told, stores by default."""

    def __init__(self) -> None:
        self.descriptions: list[StreamDescription | Exception] = []
        self.description = StreamDescription(even_shard_map(1), MIB)
        self.described = 0
        self.requests: list[Request] = []
        self.answers: list[PutAnswer] = []

    async def describe(self, stream: str) -> StreamDescription:
        self.described += 1
        answer = self.descriptions.pop(0) if self.descriptions else self.description
        if isinstance(answer, Exception):
            raise answer
        return replace(answer, date_s=told_s())

    async def try_to_write(self, stream: str) -> None:
        raise AssertionError("not part of the line")

    async def try_to_read(self, stream: str) -> None:
        raise AssertionError("not part of the line")

    async def put(self, stream: str, request: Request, deadline: float) -> PutAnswer:
        self.requests.append(request)
        shards = [shard for shard, first, end in request.runs for _ in range(first, end)]
        numbers = [str(next(SEQUENCE_NUMBERS)) for _ in shards]
        stored = PutAnswer(None, [Outcome.STORED] * len(request), shards, numbers)
        return replace(self.answers.pop(0) if self.answers else stored, date_s=told_s())


class DeadLetterTopic:
    """Keeps the letters, or answers as told."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []
        self.answers: list[Exception | None] = []

    async def park(self, letters: Sequence[DeadLetter]) -> None:
        if self.answers and (answer := self.answers.pop(0)):
            raise answer
        self.letters += letters

    async def close(self) -> None:
        """There is nothing to close."""


class LoopClock:
    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def wall_ms(self) -> float:
        return FIRST_MS + 1000.0 * self.monotonic()


def stream_ports(kinesis: Any, time: ServiceTime | None = None) -> StreamPorts:
    """Of a Kinesis that is sink and directory."""
    clock = LoopClock()
    return StreamPorts(kinesis, kinesis, clock, time or ServiceTime(clock), 6.0)


class Stream:
    """A running stream line with one partition."""

    def __init__(self, kinesis: Kinesis, limits: RequestLimits = LIMITS) -> None:
        self.kinesis, self.telemetry = kinesis, LoggingTelemetry()
        ports = stream_ports(kinesis)
        self.stream = StreamLine("stream", ports, self.telemetry, limits, 1.0, asyncio.Semaphore(8), KeyCache())
        self.halts: list[tuple[PartitionLine, Halt]] = []
        self.dead_letters = DeadLetterTopic()
        self.progressed = 0
        self.ledger = LedgerLine(LedgerTopic(), SLOTS, self.telemetry)
        self.parking = Parking(self.dead_letters, self.ledger, self.telemetry, self._halt, self._progress)
        self.stream.parking = self.parking
        self.stream.on_halt = self._halt
        self.line = new_line()
        self.stream.attach(self.line, SPEC)

    def _progress(self) -> None:
        self.progressed += 1

    def _halt(self, line: PartitionLine, halt: Halt) -> None:
        if line.stand_still(halt):
            self.halts.append((line, halt))

    def offer(self, first: int, *values: bytes | None) -> None:
        rows: list[tuple[int, bytes | None, bytes | None]] = [(first + i, b"key-%d" % i, value) for i, value in enumerate(values)]
        self.stream.offer(self.line, source_batch(rows, self.line.partition))
