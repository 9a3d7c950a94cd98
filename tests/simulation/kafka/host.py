"""What a simulated client needs of the process in which it lives: whether it runs, its network, and how its threads wait."""

from typing import Protocol


class Parking(Protocol):
    """Where a thread of the process waits. One thread at a time."""

    def wait(self, until: float) -> None:
        """Blocks the calling thread until it is woken, or until this time of the cluster's clock (seconds).

        It may come back earlier than it has to. A wake-up that came before the call is not lost.
        """

    def wake(self) -> None:
        """Ends the wait. Called by the cluster, also where nobody waits."""


class Host(Protocol):
    """A process."""

    @property
    def connected(self) -> bool:
        """False while it is cut off, or dead: nothing that it sends arrives, and no answer comes."""

    def beating(self, now: float) -> bool:
        """Whether its background threads run at this time; False while it is frozen, or dead."""

    def parking(self) -> Parking:
        """A place to wait for one more of its threads."""
