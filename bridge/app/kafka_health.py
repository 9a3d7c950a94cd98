"""Whether Kafka works for this process, for readiness and the log."""

import asyncio
from collections.abc import Callable

from bridge.app.telemetry import Telemetry
from bridge.ports import SourceTrouble

REFUSALS = frozenset({"_SSL", "_AUTHENTICATION", "security"})
"""Kafka does not let us in: certificates, login, or files for them. Other troubles follow from it."""
REFUSED_S = 5.0
"""A refusal stands until none has come for so long; clients connect again every 4 s at most (see `RECONNECT_MS`)."""
LOST = frozenset({"_TRANSPORT", "_ALL_BROKERS_DOWN"})
"""A connection ended."""
ANSWERED_S = 2.0
"""One that ends so soon after an answer is no trouble: the client gives up those that it does not need any more, and may report
that as an error. Where Kafka is away the next attempt fails too."""


class KafkaHealth:
    """Each kind of trouble is logged once until Kafka answers again; its wording changes with every attempt.

    While Kafka refuses us, that alone is told: connections that are open may still answer meanwhile.
    """

    def __init__(self, telemetry: Telemetry, now: Callable[[], float] | None = None) -> None:
        """`now` gives seconds; the event loop's by default."""
        self._telemetry = telemetry
        self._now = now or (lambda: asyncio.get_running_loop().time())
        self._logged: set[str] = set()
        self._refused_at: float | None = None
        self._answered_at = float("-inf")
        self.problem: str | None = None

    def trouble(self, event: SourceTrouble) -> None:
        """Something did not work."""
        if event.code in REFUSALS:
            self._refused_at = self._now()
        elif self._refused_at is not None or (event.code in LOST and self._now() - self._answered_at < ANSWERED_S):
            return
        self.problem = f"{event.code}: {event.message}"
        if event.code not in self._logged:
            self._logged.add(event.code)
            self._telemetry.log("warning", "kafka_trouble", code=event.code, problem=event.message)

    def answers(self) -> None:
        """Something worked."""
        self._answered_at = self._now()
        if self._refused_at is not None and self._now() - self._refused_at < REFUSED_S:
            return
        if self.problem is not None:
            self._telemetry.log("info", "kafka_recovered", problem=self.problem)
            self.problem = None
            self._refused_at = None
            self._logged.clear()
