"""The attempts of one stream: when one may start, until when it may be on the wire, and since when which are under way."""

from collections.abc import Iterable
from math import inf, isinf

from bridge.app.partition_line import PartitionLine, Phase
from bridge.app.service_time import ServiceTime
from bridge.core.delivery.requests import Request
from bridge.core.records import PutAnswer
from bridge.ports import Clock


class Attempts:
    """Times are Kinesis's, in milliseconds."""

    def __init__(self, clock: Clock, time: ServiceTime, request_timeout_s: float) -> None:
        self._clock = clock
        self._time = time
        self._request_timeout_s = request_timeout_s
        self._began_ms: dict[Request, float] = {}

    def may_start(self, lines: Iterable[PartitionLine]) -> bool:
        """Whether every partition that has something to send holds a lease that outlasts an attempt. Partitions are renewed
        together, so what one of them waits for the others wait for too."""
        now = self._time.now()
        return all(
            line.lease is None or line.lease.may_start(now)
            for line in lines
            if line.phase is Phase.OPEN and line.lanes.unresolved
        )

    def begin(self, request: Request) -> float:
        """An attempt that starts now, just after `may_start`. Returns its deadline, a moment of the port `Clock`."""
        now = self._clock.monotonic()
        self._began_ms[request] = self._time.at(now).earliest_ms
        return now + self._request_timeout_s

    def end(self, request: Request, answer: PutAnswer, sent_at: float) -> tuple[float, float]:
        """It was answered or given up. Returns when it began at the earliest, and when it ended at the latest."""
        now = self._clock.monotonic()
        self._time.saw(answer.date_s, sent_at, now)
        return self._began_ms.pop(request), self._time.at(now).latest_ms

    def watermark_ms(self) -> int:
        """Every attempt that began before has its outcome; 0 where that is not known."""
        watermark = min([self._time.now().earliest_ms, *self._began_ms.values()], default=-inf)
        return 0 if isinf(watermark) else max(0, int(watermark))
