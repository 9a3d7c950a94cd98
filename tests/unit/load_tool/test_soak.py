"""What a soak says of its samples and of what arrives, and what it takes for a failure."""

import argparse
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from loadtest.figures import FIGURES
from loadtest.report import print_figures, print_verdicts
from loadtest.soak.__main__ import command_line, document, plans, wrong
from loadtest.soak.arrivals import Arrivals
from loadtest.soak.judging import MIB, LedgerKeeping, Sample, figures_of, limits_of
from loadtest.soak.run import Plan, Result
from loadtest.soak.watch import bytes_on_disk
from loadtest.verdict import judge, passed

KEEPING = LedgerKeeping(180.0, 60.0, 10.0)
DURATION_S = 1200.0
PER_S = 10
GOOD = {"lost_records": 0.0, "twice_records": 0.0, "out_of_order_records": 0.0, "unsettled_stops": 0.0}


@given(st.integers(1, 9), st.integers(0, 60), st.data())
def test_what_comes_of_records_is_told_whatever_becomes_of_them(keys: int, produced: int, data: st.DataObject):
    lost = data.draw(st.sets(st.integers(0, max(0, produced - 1)), max_size=produced)) if produced else set()
    there = [number for number in range(produced) if number not in lost]
    again = data.draw(st.lists(st.sampled_from(there), max_size=5)) if there else []
    arrivals = Arrivals(keys)
    for number in [*there, *again]:
        arrivals.take(number)
    assert (arrivals.arrived, arrivals.lost(produced)) == (len(there), len(lost))
    assert (arrivals.twice, arrivals.out_of_order) == (len(again), 0)


@given(st.permutations(range(12)))
def test_records_behind_a_later_one_of_their_key_are_counted(order: list[int]):
    arrivals = Arrivals(3)
    behind, last = 0, dict[int, int]()
    for number in order:
        arrivals.take(number)
        behind += number < last.get(number % 3, -1)
        last[number % 3] = max(number, last.get(number % 3, -1))
    assert (arrivals.out_of_order, arrivals.twice, arrivals.lost(12)) == (behind, 0, 0)


def samples(growth_mib: float = 0.0, kept_s: float = 240.0, **fixed: Any) -> Iterator[Sample]:
    """Memory grows by so much from the middle of the second third to that of the last; the ledger keeps what is so old."""
    for at_s in range(5, int(DURATION_S) + 1, 5):
        memory = 100 + growth_mib * (at_s - 600) / 400
        kept = int(min(at_s, kept_s) * PER_S)
        sample = Sample(at_s, int(memory * MIB), 300 * MIB, kept * 1000, at_s * PER_S - kept, at_s * PER_S, MIB, 5000)
        yield sample._replace(**fixed)


def failed(found: list[Sample], **more: float) -> set[str]:
    figures = figures_of(found, DURATION_S, KEEPING) | GOOD | more
    return {verdict.figure for verdict in judge(limits_of(figures, KEEPING, with_places=False), figures) if not verdict.holds}


def test_a_run_in_which_nothing_grows_passes():
    figures = figures_of(list(samples()), DURATION_S, KEEPING)
    assert figures["memory_mib"] == pytest.approx(100)
    assert figures["ledger_kept_share"] == pytest.approx(240 / 250)
    assert figures["ledger_expired_messages"] == pytest.approx(400 * PER_S, rel=0.02)
    assert failed(list(samples())) == set()
    assert set(figures) <= set(FIGURES)


def test_memory_may_grow_by_a_tenth_or_by_16_mib_whichever_is_more():
    assert failed(list(samples(growth_mib=15))) == set()
    assert failed(list(samples(growth_mib=18))) == {"memory_growth_mib"}
    large = [one._replace(memory=(one.memory or 0) + 900 * MIB) for one in samples(growth_mib=90)]
    assert failed(large) == set()


def test_what_is_read_back_for_a_moment_is_no_growth():
    peaks = [one._replace(memory=900 * MIB) if one.at_s % 100 == 0 else one for one in samples()]
    assert failed(peaks) == set()


def test_a_ledger_that_keeps_everything_or_too_much_fails():
    assert failed(list(samples(kept_s=DURATION_S))) == {"ledger_expired_messages", "ledger_kept_share", "ledger_growth_mib"}
    assert failed(list(samples(kept_s=320))) == {"ledger_kept_share"}
    assert failed(list(samples(ledger_low=7))) >= {"ledger_expired_messages"}


def test_committed_offsets_and_the_control_topic_are_bounded():
    assert failed(list(samples(offsets_bytes=5 * MIB))) == {"offsets_mib"}
    growing = [one._replace(control_bytes=int(one.at_s)) for one in samples()]
    assert failed(growing) == {"control_growth_bytes"}


@pytest.mark.parametrize("figure", GOOD)
def test_one_record_or_one_stop_is_enough_to_fail(figure: str):
    assert failed(list(samples()), **{figure: 1.0}) == {figure}


def test_what_could_not_be_sampled_is_not_said_to_hold():
    figures = figures_of([], DURATION_S, KEEPING) | GOOD
    verdicts = judge(limits_of(figures, KEEPING, with_places=False), figures)
    assert {verdict.figure for verdict in verdicts if verdict.holds} == set(GOOD)


def test_with_kills_places_count_and_memory_does_not():
    figures = figures_of([one._replace(memory=None) for one in samples()], DURATION_S, None) | GOOD | {"wrong_places": 1.0}
    limits = limits_of(figures, None, with_places=True)
    assert set(limits) == {*GOOD, "offsets_mib", "wrong_places"}
    assert [verdict.figure for verdict in judge(limits, figures) if not verdict.holds] == ["wrong_places"]


def test_only_segments_that_a_topic_still_has_are_counted(tmp_path: Path):
    for name in ("a.ledger-0", "a.ledger-12", "a.ledger-reverse-0", "b.ledger-0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "00.log").write_bytes(b"x" * 10)
        (tmp_path / name / "00.log.deleted").write_bytes(b"x" * 1000)
        (tmp_path / name / "00.index").write_bytes(b"x" * 1000)
    assert bytes_on_disk(tmp_path, "a.ledger") == 20


def test_kills_are_as_far_apart_as_in_the_test_or_fill_the_time():
    assert Plan(20, 600, 1).longest_s == 12
    assert Plan(20, 600, 3).longest_s == 8
    assert Plan(20, 60, 3).longest_s == 39
    assert [plan.daemons for plan in plans(20, 600, None)] == [1, 3]
    assert [plan.daemons for plan in plans(20, 0, None)] == [1]
    assert [plan.daemons for plan in plans(20, 5, [2])] == [2]


@pytest.mark.parametrize("minutes", [2, 20, 600])
def test_the_ledger_expires_before_the_second_third_ends(minutes: float):
    keeping = Plan(minutes, 0, 1).keeping
    assert keeping is not None
    assert keeping.longest_s < 2 / 3 * minutes * 60
    assert Plan(minutes, 1, 1).keeping is None


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["--minutes", "1"], "--minutes 1: write 2"), (["--kills", "-1"], "--kills -1"), (["--daemons", "0"], "--daemons: write 1")],
)
def test_wrong_usage_is_named(arguments: list[str], named: str):
    options: argparse.Namespace = command_line().parse_args(arguments)
    assert named in str(wrong(options))


def test_a_failure_is_in_the_document_and_on_the_screen():
    figures = figures_of(list(samples()), DURATION_S, KEEPING) | GOOD | {"lost_records": 3.0}
    verdicts = judge(limits_of(figures, KEEPING, with_places=False), figures)
    assert not passed(verdicts)
    result = Result(Plan(20, 0, 1), figures, verdicts, {"name": "n", "kafka": {}}, list(samples()))
    found = document("now", {}, [result])
    assert not found["passed"]
    assert found["parts"][0]["samples"][0]["at_s"] == 5
    console = Console(file=io.StringIO(), width=200)
    print_figures(console, "soak", {"1 daemon": figures})
    print_verdicts(console, "1 daemon", verdicts)
    assert "DOES NOT HOLD: committed records that are not in the stream <= 0: 3" in console.file.getvalue()  # type: ignore[attr-defined]
