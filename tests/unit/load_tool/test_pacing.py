"""A rate is kept exactly in the long run, and nothing is sent before its time."""

from hypothesis import given
from hypothesis import strategies as st

from loadtest.pacing import Pacer


@given(st.floats(0.1, 1e6), st.lists(st.floats(0, 10), min_size=1, max_size=50))
def test_what_was_due_is_the_rate_times_the_time(rate: float, pauses: list[float]):
    pacer = Pacer(rate, 100.0)
    now = 100.0
    sent = 0
    for pause in pauses:
        now += pause
        due = pacer.due(now)
        assert due >= 0
        sent += due
        assert sent == int((now - 100.0) * rate)


def test_a_clock_that_stands_still_makes_nothing_due_twice():
    pacer = Pacer(1000, 0.0)
    assert [pacer.due(0.5), pacer.due(0.5), pacer.due(0.4), pacer.due(0.501)] == [500, 0, 0, 1]
