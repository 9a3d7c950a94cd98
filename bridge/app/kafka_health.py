"""Whether Kafka works for this process, for readiness and the log."""

from bridge.app.telemetry import Telemetry
from bridge.ports import SourceTrouble


class KafkaHealth:
    """Each kind of trouble is logged once until Kafka answers again; its wording changes with every attempt."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._logged: set[str] = set()
        self.problem: str | None = None

    def trouble(self, event: SourceTrouble) -> None:
        """Something did not work."""
        self.problem = f"{event.code}: {event.message}"
        if event.code not in self._logged:
            self._logged.add(event.code)
            self._telemetry.log("warning", "kafka_trouble", code=event.code, problem=event.message)

    def answers(self) -> None:
        """Something worked."""
        if self.problem is not None:
            self._telemetry.log("info", "kafka_recovered", problem=self.problem)
            self.problem = None
            self._logged.clear()
