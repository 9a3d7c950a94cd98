"""What is the hardest on a bridge: faults of Kinesis, every way in which records travel, and daemons killed at random moments."""

import json
import random
import time
from collections.abc import Sequence
from typing import Any

from tests.integration.daemon import Daemon
from tests.integration.scenario import settings_of
from tests.servers.kafka import RunningKafka

FAULTS = [
    {"kind": "record_throttled", "probability": 0.05},
    {"kind": "connection_closed_after_storing", "probability": 0.01},
    {"kind": "error_after_storing", "probability": 0.01},
]
ROUTES: dict[str, dict[str, Any]] = {
    "raw": {},
    "marked": {"carry_origin": True},
    "aggregated": {"format": "aggregated", "aggregate_records_max": 40},
}
LONGEST_S = {1: 12.0, 3: 8.0}
"""By the number of daemons: the longest time from one kill to the next."""


class Killer:
    """Kills one after the other, each time another moment later; what was killed is started again at once."""

    def __init__(self, daemons: Sequence[Daemon], kills: int, longest_s: float, chance: random.Random) -> None:
        self.left = kills
        self.logs: list[str] = []
        """Of those that were killed, to their end."""
        self._daemons, self._longest_s, self._chance = daemons, longest_s, chance
        self._next_s = self._moment()

    def is_done(self) -> bool:
        """Kills when it is time to; to be asked again and again."""
        if self.left and time.monotonic() > self._next_s:
            killed = self._chance.choice(self._daemons)
            killed.kill()
            self.logs.append(killed.log_text())
            killed.start(ready=False)
            self.left -= 1
            self._next_s = self._moment()
        return not self.left

    def _moment(self) -> float:
        return time.monotonic() + self._chance.uniform(1.0, self._longest_s)


def unsettled_in(log: str) -> int:
    """Rows that recoveries have sent although they may be there."""
    lines = (line for line in log.splitlines() if '"recovery_finished"' in line)
    return sum(json.loads(line)["unsettled"] for line in lines)


def settings_for(
    name: str, kafka: RunningKafka, endpoint_url: str, routes: list[dict[str, Any]], instance: str | None
) -> dict[str, Any]:
    """Times as short as they may be; a single daemon comes back to its partitions without waiting for its session to end."""
    further = {} if instance is None else {"group_instance_id": instance}
    settings = settings_of(name, kafka, endpoint_url, routes, session_timeout="6s", **further)
    settings["kinesis"] |= {"request_timeout": "2s", "settle": "1s", "clock_margin": "500ms"}
    return settings | {"commit_interval": "500ms", "lease": "4s"}
