"""The thread that a blocking client lives in, and what it waits for: the machine's own, or a simulation's."""

import threading
from collections.abc import Callable
from typing import Protocol


class Event(Protocol):
    """As `threading.Event`."""

    def set(self) -> None:
        """Lets whoever waits go on."""

    def clear(self) -> None:
        """Whoever waits from now on waits for the next `set`."""

    def wait(self, timeout: float) -> bool:
        """Waits up to `timeout` seconds; whether it is set."""


class Thread(Protocol):
    """As `threading.Thread`."""

    def start(self) -> None:
        """Once."""

    def is_alive(self) -> bool:
        """Started and not ended."""

    def join(self, timeout: float) -> None:
        """Waits up to `timeout` seconds for its end."""


class Threads(Protocol):
    """Makes them."""

    def event(self) -> Event:
        """Not set."""

    def thread(self, body: Callable[[], None], name: str) -> Thread:
        """Not started."""


class SystemThreads:
    """`Threads` of this machine. A daemon thread does not hold up the end of the process."""

    def event(self) -> Event:
        """See `Threads`."""
        return threading.Event()

    def thread(self, body: Callable[[], None], name: str) -> Thread:
        """See `Threads`."""
        return threading.Thread(target=body, name=name, daemon=True)
