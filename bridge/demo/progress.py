"""What people see while the job runs: a live display on a terminal, a plain line every few seconds anywhere else."""

from collections import deque
from typing import NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

LINE_INTERVAL_S = 3.0
_RATE_WINDOW_S = 4.0


class Snapshot(NamedTuple):
    """Records at a moment (seconds on the monotonic clock); `lag` is produced and not committed."""

    at: float
    sent: int
    stored: int
    lag: int
    throttled: int


class RecentRate:
    """Stored records per second over the last few seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def after(self, snapshot: Snapshot) -> float:
        self._seen.append((snapshot.at, snapshot.stored))
        while len(self._seen) > 2 and self._seen[0][0] < snapshot.at - _RATE_WINDOW_S:
            self._seen.popleft()
        (then, before), (now, stored) = self._seen[0], self._seen[-1]
        return (stored - before) / (now - then) if now > then else 0.0


class ProgressDisplay:
    """Shows snapshots on a console until the end of the block."""

    def __init__(self, console: Console, expected: int, started_at: float) -> None:
        self._console = console
        self._expected = expected
        self._started_at = started_at
        self._line_at = started_at
        self._rate = RecentRate()
        self._bars = Progress(TextColumn("{task.description:<17}"), BarColumn(), TextColumn("{task.completed:>9,.0f}"))
        self._sent, self._stored = (self._bars.add_task(name, total=expected) for name in ("sent to Kafka", "stored in Kinesis"))
        self._state = ""
        self._live = Live(get_renderable=self._rendered, console=console) if console.is_terminal else None

    def show(self, snapshot: Snapshot) -> None:
        """Brings the display up to date, or writes a line when one is due."""
        rate = self._rate.after(snapshot)
        seconds = f"{snapshot.at - self._started_at:5.1f} s"
        self._state = f"lag {snapshot.lag:,}  throttled {snapshot.throttled:,}  {rate:,.0f} records/s"
        if self._live is not None:
            self._bars.update(self._sent, completed=snapshot.sent)
            self._bars.update(self._stored, completed=snapshot.stored)
            self._state = f"{seconds}  {self._state}"
        elif snapshot.at >= self._line_at + LINE_INTERVAL_S:
            self._line_at = snapshot.at
            line = f"{seconds}  sent {snapshot.sent:,} of {self._expected:,}  stored {snapshot.stored:,}  {self._state}"
            self._console.print(line, highlight=False, soft_wrap=True)

    def _rendered(self) -> Group:
        return Group(self._bars, Text(self._state))

    def __enter__(self) -> "ProgressDisplay":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
