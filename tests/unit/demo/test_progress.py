"""Progress of the demonstration where there is no terminal, and on one."""

from io import StringIO

from rich.console import Console

from bridge.demo.progress import LINE_INTERVAL_S, ProgressDisplay, RecentRate, Snapshot


def snapshot(at: float, stored: int) -> Snapshot:
    return Snapshot(at, 2 * stored, stored, stored, 3)


def test_the_rate_is_that_of_the_last_seconds():
    rate = RecentRate()
    assert rate.after(snapshot(0.0, 0)) == 0.0
    assert [rate.after(snapshot(float(at), 1000 * at)) for at in range(1, 10)] == [1000.0] * 9
    assert 0.0 < rate.after(snapshot(11.0, 9000)) < 1000.0
    assert rate.after(snapshot(20.0, 9000)) == 0.0


def test_without_a_terminal_there_is_a_plain_line_every_few_seconds():
    text = StringIO()
    with ProgressDisplay(Console(file=text, force_terminal=False), 40_000, 100.0) as display:
        for tick in range(12):
            display.show(snapshot(100.0 + tick * LINE_INTERVAL_S / 4, 1000 * tick))
    lines = text.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0] == "  3.0 s  sent 8,000 of 40,000  stored 4,000  lag 4,000  throttled 3  1,333 records/s"


def test_a_terminal_shows_the_last_state():
    text = StringIO()
    with ProgressDisplay(Console(file=text, force_terminal=True, width=80), 40_000, 100.0) as display:
        display.show(snapshot(100.0, 0))
        display.show(snapshot(101.0, 20_000))
    assert "lag 20,000  throttled 3  20,000 records/s" in text.getvalue()
    assert "40,000" in text.getvalue()
