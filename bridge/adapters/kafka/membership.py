"""How the bridge's consumer reads and belongs to its group, as properties of the client library."""

from dataclasses import dataclass
from typing import Any

RECONNECT_MS = 3000
"""Longest pause between two attempts to connect, a fourth of it more or less at random: a cause that was mended is noticed
within seconds."""

READING: dict[str, Any] = {
    # Compressed batches unpack to several times their size, so a fetch is kept small: memory matters more than round trips.
    "queued.max.messages.kbytes": 8 * 1024,
    "fetch.message.max.bytes": 256 * 1024,
    "fetch.max.bytes": 2 * 1024 * 1024,
    "fetch.queue.backoff.ms": 20,
    "topic.metadata.refresh.interval.ms": 10_000,
}
"""Tuning, which the configuration may change."""
HEARTBEAT_MS = 3000
"""The client library's default, which it keeps also where a session is shorter: a member would leave between two heartbeats."""
HEARTBEATS_IN_A_SESSION = 3


@dataclass(frozen=True, slots=True)
class Membership:
    """Of a consumer group. `protocol` is `classic` or `consumer`; the session timeout (seconds) counts with `classic` only."""

    group: str
    protocol: str
    session_timeout_s: float
    instance_id: str | None = None

    def tuning(self) -> dict[str, Any]:
        """What the configuration may change."""
        if self.protocol != "classic":
            return READING
        longest_ms = int(self.session_timeout_s * 1000) // HEARTBEATS_IN_A_SESSION
        return {**READING, "heartbeat.interval.ms": min(HEARTBEAT_MS, longest_ms)}

    def properties(self) -> dict[str, Any]:
        """What the bridge must own: what is committed, and where reading begins."""
        owned = {
            "group.id": self.group,
            "group.protocol": self.protocol,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
        if self.protocol == "classic":
            owned["partition.assignment.strategy"] = "cooperative-sticky"
            owned["session.timeout.ms"] = int(self.session_timeout_s * 1000)
        if self.instance_id is not None:
            owned["group.instance.id"] = self.instance_id
        return owned
