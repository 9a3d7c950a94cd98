"""The machine's clocks."""

import time


class SystemClock:
    """Clock of this machine."""

    def monotonic(self) -> float:
        """Seconds of CLOCK_BOOTTIME, which goes on while the machine sleeps: a lease runs out meanwhile."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall_ms(self) -> float:
        """Milliseconds since the epoch."""
        return time.time() * 1000
