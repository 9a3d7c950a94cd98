"""Until when an owner of a partition may start attempts. All times are Kinesis's, in milliseconds since the epoch.

The owner tests with the latest that its clock may show, who takes over waits by the earliest. So nothing of this owner is on the
wire after its lease, whatever the group protocol, the brokers or the process do meanwhile.
"""

import math

from bridge.core.delivery.service_clock import Interval


class Lease:
    """The lease of one assignment, known by its confirmed commits.

    `length_ms` is what each commit asks for from now on, `request_timeout_ms` how long an attempt may be on the wire at most: its
    socket is reset then.
    """

    __slots__ = ("_end_ms", "_lapsed", "_length_ms", "_request_timeout_ms")

    def __init__(self, length_ms: float, request_timeout_ms: float) -> None:
        if length_ms <= request_timeout_ms:
            raise ValueError(f"a lease of {length_ms} ms allows no attempt of {request_timeout_ms} ms")
        self._length_ms = length_ms
        self._request_timeout_ms = request_timeout_ms
        self._end_ms: int | None = None
        self._lapsed = False

    @property
    def end_ms(self) -> int | None:
        """End of the lease that is known to hold; None before the first confirmed commit."""
        return self._end_ms

    def end_to_write(self, clock: Interval) -> int | None:
        """The lease end for a commit that is sent now. None: there is no lease to ask for, because the service's clock is not
        known yet, or because this one has lapsed: start anew as another owner."""
        if self.has_lapsed(clock) or math.isinf(clock.latest_ms):
            return None
        return math.floor(clock.latest_ms + self._length_ms)

    def confirmed(self, end_ms: int, clock: Interval) -> bool:
        """Kafka has confirmed a commit with this lease end just now. False: too late, the lease has lapsed.

        A confirmation that comes when the lease before it, or itself, is over does not renew anything: somebody else may own the
        partition by now, and brokers accept late commits in some states.
        """
        if self.has_lapsed(clock):
            return False
        self._end_ms = max(end_ms, self._end_ms or end_ms)
        return not self.has_lapsed(clock)

    def has_lapsed(self, clock: Interval) -> bool:
        """Whether it was over at this or an earlier call. Never becomes false again."""
        if self._end_ms is not None and clock.latest_ms > self._end_ms:
            self._lapsed = True
        return self._lapsed

    def may_start(self, clock: Interval) -> bool:
        """Whether an attempt may start now: it will be off the wire when the lease ends. Ask again before its last bytes go."""
        return not self.has_lapsed(clock) and self.attempts_ms(clock) >= 0

    def attempts_ms(self, clock: Interval) -> float:
        """For how long attempts may still be started, without another commit; below 0 where none may."""
        return -math.inf if self._end_ms is None else self._end_ms - clock.latest_ms - self._request_timeout_ms

    def drain_ms(self, clock: Interval, commit_ms: float) -> float:
        """How long a drain may last: what was attempted has to be settled, in the ledger and committed within the lease; the last
        `commit_ms` are kept for that. 0 where there is no lease."""
        if self._end_ms is None or self.has_lapsed(clock):
            return 0.0
        return max(0.0, self._end_ms - clock.latest_ms - commit_ms)
