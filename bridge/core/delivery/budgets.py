"""How much one shard may be offered, now: a sliding second, spread over slots, under a ceiling that throttles lower."""

from collections import deque

from bridge.core.quotas import SHARD_BYTES_PER_S, SHARD_RECORDS_PER_S

WINDOW_S = 1.0
SLOTS = 10
"""Slots are aligned to the clock, so that all shards of a stream open together and share requests."""

DECREASE = 0.8
DECREASE_PAUSE_S = 0.2
"""Answers to requests that were under way together count as one throttle."""
INCREASE_PER_S = 0.05
RATE_FLOOR = 0.05


class Budget:
    """Budget of one shard for records and for bytes (data + partition key).

    In any one-second window of `take` calls no more than the ceiling is taken, and about a tenth of it in a slot.
    A throttle lowers the rate by a fifth, time raises it by a twentieth of the ceiling a second. A single record above a
    second's bytes is taken alone and then waited off.
    """

    __slots__ = (
        "_bytes",
        "_ceiling_bytes",
        "_ceiling_records",
        "_rate",
        "_rate_at",
        "_records",
        "_slot",
        "_taken",
        "_throttled_at",
    )

    def __init__(self, share: float = 1.0) -> None:
        self._ceiling_records = max(1, int(SHARD_RECORDS_PER_S * share))
        self._ceiling_bytes = max(1, int(SHARD_BYTES_PER_S * share))
        self._taken: deque[tuple[float, int, int]] = deque()  # (leaves the window at, records, bytes)
        self._records = 0
        self._bytes = 0
        self._slot = (-1, 0, 0)  # (number, records, bytes)
        self._rate = 1.0
        self._rate_at = 0.0
        self._throttled_at = float("-inf")

    def available(self, now: float) -> tuple[int, int, int]:
        """What may be taken now: records, bytes of this slot, bytes of this second.

        A record may go while bytes of the slot are left (it may overdraw them) and the second's bytes hold it whole.
        """
        self._expire(now)
        rate = self._rate_now(now)
        records_max, bytes_max = max(1, int(self._ceiling_records * rate)), max(1, int(self._ceiling_bytes * rate))
        number, slot_records, slot_bytes = self._slot
        if number != int(now * SLOTS):
            slot_records = slot_bytes = 0
        return (
            min(records_max - self._records, -(-records_max // SLOTS) - slot_records),
            -(-bytes_max // SLOTS) - slot_bytes,
            bytes_max - self._bytes,
        )

    def untouched(self, now: float) -> bool:
        """Whether nothing of this second is taken, so that one record above a whole second's bytes may go alone."""
        self._expire(now)
        return not self._taken

    def take(self, records: int, size: int, now: float) -> None:
        """Counts what was put into a request at `now`."""
        number = int(now * SLOTS)
        if self._slot[0] == number:
            self._slot = (number, self._slot[1] + records, self._slot[2] + size)
        else:
            self._slot = (number, records, size)
        stays = max(WINDOW_S, size / self._ceiling_bytes)
        self._taken.append((now + stays, records, size))
        self._records += records
        self._bytes += size

    def throttled(self, now: float) -> None:
        """The shard refused records: lower its rate, once for answers that come together."""
        if now - self._throttled_at < DECREASE_PAUSE_S:
            return
        self._rate = max(RATE_FLOOR, self._rate_now(now) * DECREASE)
        self._rate_at = self._throttled_at = now

    def wake_at(self, now: float) -> float:
        """When more may be available than now: the next slot, or later where the window is full."""
        self._expire(now)
        slot_end = (int(now * SLOTS) + 1) / SLOTS
        rate = self._rate_now(now)
        if self._records >= max(1, int(self._ceiling_records * rate)) or self._bytes >= max(1, int(self._ceiling_bytes * rate)):
            return max(slot_end, self._taken[0][0])
        return slot_end

    def used_ratio(self, now: float) -> float:
        """Part of the ceiling that the last second took, records or bytes, whichever is more."""
        self._expire(now)
        return max(self._records / self._ceiling_records, self._bytes / self._ceiling_bytes)

    def _rate_now(self, now: float) -> float:
        return min(1.0, self._rate + max(0.0, now - self._rate_at) * INCREASE_PER_S)

    def _expire(self, now: float) -> None:
        taken = self._taken
        while taken and taken[0][0] <= now:
            _, records, size = taken.popleft()
            self._records -= records
            self._bytes -= size
