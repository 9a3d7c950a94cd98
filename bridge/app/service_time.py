"""What Kinesis's clock shows now, as far as its answers tell."""

from bridge.core.delivery.service_clock import Interval, ServiceClock
from bridge.ports import Clock


class ServiceTime:
    """One for all streams of the process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._service = ServiceClock()

    def saw(self, date_s: int | None, sent_at: float, received_at: float) -> None:
        """An answer, with the time that it tells if it does; sent for and received at these moments of the port `Clock`."""
        if date_s is not None:
            self._service.saw(date_s, sent_at, received_at)

    def now(self) -> Interval:
        """See `ServiceClock.at`."""
        return self._service.at(self._clock.monotonic())

    def at(self, moment: float) -> Interval:
        """What it showed at a moment of the port `Clock`, by what is known now."""
        return self._service.at(moment)
