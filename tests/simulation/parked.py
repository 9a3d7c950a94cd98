"""The dead-letter topic of a run, read as a stranger would: by the names of its headers."""

from bridge.core.records import Headers
from tests.simulation.kafka.cluster import Cluster
from tests.simulation.laws import Laws, Origin
from tests.simulation.replica import GROUP

TOPIC = f"{GROUP}.dlq"

Content = tuple[bytes | None, bytes | None]
"""Key and value."""


class DeadLetterTopic:
    """Tells the laws what is parked, and whether it is as it was."""

    def __init__(self, cluster: Cluster, laws: Laws) -> None:
        self._cluster = cluster
        self._laws = laws
        self._expected: dict[Origin, list[tuple[Origin, Content]]] = {}
        self._read_to: dict[int, int] = {}

    def expect(self, origin: Origin, called: Origin, content: Content) -> None:
        """This record is to be parked; `called` is how the laws call it, where its topic was created anew."""
        self._expected.setdefault(origin, []).append((called, content))

    def look(self) -> None:
        """What came since the last look."""
        for place in self._cluster.topics.get(TOPIC, ()):
            read_to = self._read_to.get(place[1], 0)
            messages, self._read_to[place[1]] = self._cluster.logs[place].read(read_to, 2**40)
            for message in messages:
                self._found(message.headers() or [], (message.key(), message.value()))

    def _found(self, headers: Headers, content: Content) -> None:
        named = {name.removeprefix("bridge-dlq-"): value or b"" for name, value in headers if name.startswith("bridge-dlq-")}
        origin = Origin(named["topic"].decode(), int(named["partition"]), int(named["offset"]))
        alike = [called for called, expected in self._expected.get(origin, []) if expected == content]
        if not alike:
            self._laws.breaks("L1", f"{origin} is parked ({named.get('reason')!r}), and is not to be, or not as it was")
        self._laws.parked.update(alike)
