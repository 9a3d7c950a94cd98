"""How much a shard took during the last second.

`now` is in seconds; a window is the half-open second (now - 1, now].
"""

from collections import deque

WINDOW_S = 1.0


class RateWindow:
    """Sliding second over two amounts, records (or calls) and bytes, with hard limits for both."""

    __slots__ = ("_bytes", "_bytes_limit", "_debt_until", "_entries", "_records", "_records_limit")

    def __init__(self, records_limit: int, bytes_limit: int) -> None:
        self._records_limit = records_limit
        self._bytes_limit = bytes_limit
        self._entries: deque[tuple[float, int, int]] = deque()
        self._records = 0
        self._bytes = 0
        self._debt_until = float("-inf")

    def room(self, now: float) -> tuple[int, int]:
        """Records and bytes that may still be taken now; (0, 0) while more than a second's bytes are worked off."""
        entries = self._entries
        oldest = now - WINDOW_S
        while entries and entries[0][0] <= oldest:
            _, records, size = entries.popleft()
            self._records -= records
            self._bytes -= size
        if now < self._debt_until:
            return 0, 0
        return self._records_limit - self._records, self._bytes_limit - self._bytes

    def is_unused(self, now: float) -> bool:
        """True when a whole second's budget is free."""
        return self.room(now) == (self._records_limit, self._bytes_limit)

    def take(self, records: int, size: int, now: float) -> None:
        """Books what was stored or read. More bytes than the limit block the shard until they average out to it."""
        self._entries.append((now, records, size))
        self._records += records
        self._bytes += size
        if self._bytes > self._bytes_limit:
            self._debt_until = now + self._bytes / self._bytes_limit
