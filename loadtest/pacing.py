"""A smooth rate: how many records are due."""


class Pacer:
    """Counts records against a rate in records/s. Pure: time is an argument, in seconds of any clock."""

    def __init__(self, rate: float, start_s: float) -> None:
        self._rate = rate
        self._start_s = start_s
        self._sent = 0

    def due(self, now_s: float) -> int:
        """Records that should have been sent by now and were not; they count as sent from here on."""
        due = max(0, int((now_s - self._start_s) * self._rate) - self._sent)
        self._sent += due
        return due
