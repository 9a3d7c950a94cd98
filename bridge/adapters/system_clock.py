"""The machine's clocks."""

import time


class SystemClock:
    """Clock of this machine."""

    def monotonic(self) -> float:
        """Seconds of CLOCK_MONOTONIC."""
        return time.monotonic()

    def wall_ms(self) -> float:
        """Milliseconds since the epoch."""
        return time.time() * 1000
