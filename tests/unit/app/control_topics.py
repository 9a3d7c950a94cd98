"""A control topic in memory."""

from collections.abc import Mapping

from bridge.core.direction.control_record import ControlRecord
from bridge.core.direction.control_state import Decide, messages_of
from bridge.core.errors import BridgeError


class ControlTopic:
    """`ControlStore`. While there is `trouble` that is all it answers."""

    def __init__(self, *records: ControlRecord) -> None:
        self.latest: dict[str, bytes] = {}
        self.trouble: BridgeError | None = None
        self.readings = 0
        self.changes = 0
        for record in records:
            self.latest |= messages_of(record)

    async def open(self) -> None:
        self._reach()

    async def read(self) -> Mapping[str, bytes]:
        self._reach()
        self.readings += 1
        return dict(self.latest)

    async def change(self, decide: Decide) -> Mapping[str, bytes]:
        self._reach()
        self.changes += 1
        self.latest |= decide(dict(self.latest))
        return dict(self.latest)

    def _reach(self) -> None:
        if self.trouble is not None:
            raise self.trouble
