"""Verdicts on rows whose outcome is not known, by example. Worlds in which everything happens at once: test_recovery_worlds."""

from collections.abc import Sequence
from dataclasses import replace

from bridge.core.proof import assignment
from bridge.core.proof.ledger_entries import Doubts, Group, Stored, StreamShard
from bridge.core.proof.ledger_index import LedgerIndex, Place
from bridge.core.proof.matching import Evidence, Mark
from bridge.core.proof.recovery import digests_to_watch, settle
from bridge.core.proof.verdicts import ABSENT, UNSETTLED, WAIT, Expected, Known, Settled, Verdict
from bridge.core.records import Partition

OURS, THEIRS = Partition("orders", 0), Partition("payments", 0)
SHARD = StreamShard("s", "shardId-000000000000")
KEY, A, B = 5, 50, 51
MARGIN = 100


def expected(*digests: int, ordered: bool = True, window: tuple[int, int] = (1000, 2000)) -> Expected:
    """Rows 10, 11, ... of one partition key."""
    rows = len(digests)
    first, last = [window[0]] * rows, [window[1]] * rows
    return Expected("s", OURS, range(10, 10 + rows), first, last, [KEY] * rows, digests, is_ordered=ordered)


def marked(*offsets: int) -> Expected:
    rows = len(offsets)
    return Expected("s", OURS, offsets, [1000] * rows, [2000] * rows, is_marked=True)


def read(*records: tuple[int, int, int | Mark]) -> list[Evidence]:
    """Sequence number, arrival, digest or mark."""
    evidence = Evidence(SHARD, (0, 0))
    for number, arrival_ms, known_by in records:
        is_mark = isinstance(known_by, Mark)
        evidence.sequence_numbers.append(number)
        evidence.arrivals_ms.append(arrival_ms)
        evidence.key_hashes.append(0 if is_mark else KEY)
        evidence.digests.append(0 if isinstance(known_by, Mark) else known_by)
        evidence.marks.append(known_by if isinstance(known_by, Mark) else None)
    return [evidence]


def judged(
    rows: Expected,
    evidence: list[Evidence],
    *ledger: Group,
    known_to: float = 9000,
    read_to: float = 1500,
    deadline: float = 9000,
) -> list[Verdict]:
    index = LedgerIndex(100)
    index.follow(OURS, 0)
    index.watch("s")
    index.add(ledger)
    return settle([rows], evidence, Known(index, known_to, read_to, deadline, MARGIN))[0]


def landed(number: int, sub: int = 0) -> Verdict:
    return Verdict(Settled.LANDED, Place(SHARD, number, sub))


def claim(number: int) -> Verdict:
    return Verdict(Settled.CLAIM, Place(SHARD, number, 0))


def fact(number: int, offset: int, digest: int, *, partition: Partition = OURS, is_claim: bool = False) -> Stored:
    return Stored(SHARD, partition, [number], [digest], [offset], None, is_claim)


def doubt(*digests: int, until: int = 2000) -> Doubts:
    rows = len(digests)
    return Doubts("s", THEIRS, [KEY] * rows, digests, [1000] * rows, [until] * rows, range(70, 70 + rows))


# By mark


def test_marks_are_exact():
    evidence = read((1, 1, Mark(OURS, (12,))), (2, 9999, Mark(OURS, (10, 11))), (3, 9999, Mark(OURS, (10,))))
    assert judged(marked(10, 11, 12, 13), evidence) == [landed(2), landed(2, 1), landed(1), WAIT]
    assert judged(marked(13), evidence, read_to=2000) == [WAIT]
    assert judged(marked(13), evidence, read_to=2001, known_to=0) == [ABSENT]


def test_a_place_in_the_ledger_needs_no_evidence():
    assert judged(marked(10), read(), fact(7, 10, 0)) == [landed(7)]


# By digest


def test_a_lane_is_a_prefix():
    assert judged(expected(A, B, A), read((1, 1100, B), (2, 1100, A), (3, 1200, B))) == [landed(2), landed(3), WAIT]
    assert judged(expected(A, B), read((1, 1100, B)), read_to=2001) == [ABSENT, ABSENT]
    assert judged(expected(A, A), read((1, 1100, A)), read_to=2001) == [landed(1), ABSENT]


def test_each_row_by_itself_without_order():
    assert judged(expected(A, B, ordered=False), read((1, 1100, B)), read_to=2001) == [ABSENT, landed(1)]


def test_only_what_arrived_in_the_window():
    evidence = read((1, 899, A), (2, 900, A), (3, 2100, A), (4, 2101, A))
    assert judged(expected(A, A, A), evidence, read_to=2001) == [landed(2), landed(3), ABSENT]


def test_other_watermarks_have_to_have_passed():
    assert judged(expected(A), read((1, 1100, A)), known_to=1199) == [WAIT]
    assert judged(expected(A), read((1, 1100, A)), known_to=1200) == [landed(1)]
    assert judged(expected(A), read((1, 1100, A)), known_to=1199, read_to=2001, deadline=2002) == [WAIT]
    assert judged(expected(A, B), read((1, 1100, A)), known_to=1199, read_to=2002, deadline=2002) == [UNSETTLED, UNSETTLED]


def test_what_is_claimed_is_not_ours():
    assert judged(expected(A), read((1, 1100, A)), fact(1, 70, A, partition=THEIRS), read_to=2001) == [ABSENT]
    assert judged(expected(A), read((1, 1100, A)), fact(1, 70, A, partition=THEIRS, is_claim=True), read_to=2001) == [ABSENT]


def test_a_row_in_the_ledger_keeps_its_place_and_the_order():
    evidence = read((1, 1100, B), (2, 1100, A), (3, 1100, B))
    assert judged(expected(A, B), evidence, fact(2, 10, A)) == [landed(2), landed(3)]
    assert judged(expected(A, B), evidence, fact(3, 11, B)) == [landed(2), landed(3)]


def test_a_row_before_one_that_was_written_is_never_absent():
    assert judged(expected(A, B), read((3, 1100, B)), fact(3, 11, B), read_to=2001) == [UNSETTLED, landed(3)]


# Where others may have written the same


def test_alike_doubts_are_claimed_when_everything_was_read():
    evidence = read((1, 1100, A), (2, 1200, A))
    assert judged(expected(A), evidence, doubt(A), read_to=2000) == [WAIT]
    assert judged(expected(A), evidence, doubt(A), read_to=2001) == [claim(1)]
    assert judged(expected(A), evidence, doubt(A, until=3000), read_to=2001) == [WAIT]
    assert judged(expected(A), evidence, doubt(A), read_to=2001, known_to=1299) == [WAIT]


def test_the_first_claim_counts_and_the_loser_takes_the_next():
    ours, theirs = fact(1, 10, A, is_claim=True), fact(1, 70, A, partition=THEIRS, is_claim=True)
    evidence = read((1, 1100, A), (2, 1200, A))
    assert judged(expected(A), evidence, doubt(A), ours, theirs, read_to=2001) == [landed(1)]
    assert judged(expected(A), evidence, doubt(A), theirs, ours, read_to=2001) == [landed(2)]
    assert judged(expected(A), evidence[:0], doubt(A), theirs, ours, read_to=2001) == [ABSENT]


def test_rows_of_an_owner_before_are_claimed_too():
    """What it knows itself may come into the ledger meanwhile."""
    rows, evidence = replace(expected(A), is_inherited=True), read((1, 1100, A), (2, 1200, A))
    assert judged(rows, evidence) == [claim(1)]
    assert judged(rows, evidence, fact(1, 10, A, is_claim=True)) == [landed(1)]
    assert judged(rows, evidence, fact(1, 70, A, partition=THEIRS), fact(1, 10, A, is_claim=True)) == [claim(2)]


def test_what_the_ledger_says_of_our_own_attempt_has_to_be_in_the_shards():
    """A topic of that name may have been there before: its offsets are others."""
    rows = expected(A)
    assert judged(rows, read(), fact(7, 10, A), read_to=2001) == [ABSENT]
    assert judged(replace(rows, is_inherited=True), read(), fact(7, 10, A), read_to=2001) == [landed(7)]


def test_a_doubt_that_is_settled_is_no_rival():
    settled = fact(1, 70, A, partition=THEIRS)
    assert judged(expected(A), read((1, 1100, A), (2, 1200, A)), doubt(A), settled) == [landed(2)]


def test_absent_only_after_every_alike_doubt_is_over():
    assert judged(expected(A), read(), doubt(A, until=3000), read_to=2001) == [WAIT]
    assert judged(expected(A), read(), doubt(A, until=3000), read_to=3001) == [ABSENT]


def test_own_partitions_are_judged_together():
    second = Expected("s", THEIRS, [70, 71], [1000] * 2, [2000] * 2, [KEY] * 2, [A, B])
    index = LedgerIndex(100)
    index.watch("s")
    evidence = read((1, 1100, A), (2, 1200, B), (3, 1300, A))
    known = Known(index, 9000, 2001, 9000, MARGIN)
    assert settle([expected(A), second], evidence, known) == [[landed(3)], [landed(1), landed(2)]]


def test_rows_of_an_own_partition_that_are_asked_about_later_are_a_lane_too():
    """Without them the first record would be taken for another's, and they for not written though they were."""
    asked = Expected("s", OURS, [20], [1000], [2000], [KEY + 1], [99])
    later = Doubts("s", OURS, [KEY] * 2, [A, B], [1000] * 2, [2000] * 2, [30, 31])
    other = Expected("s", THEIRS, [70], [1000], [2000], [KEY], [A])
    index = LedgerIndex(100)
    index.watch("s", {A, B, 99}, {KEY, KEY + 1})
    index.add([later])
    evidence = read((1, 1100, A), (2, 1200, B))
    assert digests_to_watch([asked, other], evidence, index) == {A, B, 99}
    assert settle([asked, other], evidence, Known(index, 9000, 1500, 9000, MARGIN)) == [[WAIT], [WAIT]]
    assert settle([asked, other], evidence, Known(index, 9000, 2001, 9000, MARGIN)) == [[ABSENT], [ABSENT]]


def test_nothing_is_absent_where_not_every_way_of_assigning_was_followed(monkeypatch):
    evidence = read(*((number, 1100 + number, A) for number in range(4)))
    rows = expected(A, A, B, A)
    exact = judged(rows, evidence, doubt(A, A), read_to=2001)
    assert exact == [claim(0), claim(1), ABSENT, ABSENT]
    monkeypatch.setattr(assignment, "STATES_MAX", 1)
    assert judged(rows, evidence, doubt(A, A), read_to=2001) == [claim(0), claim(1), UNSETTLED, UNSETTLED]
    assert judged(expected(A, A, B, B), evidence, doubt(A, A), read_to=2001) == exact


def test_a_second_record_of_another_row_may_be_ours():
    """Its owner told too late that it had written the first: the second was claimed for it meanwhile."""
    evidence = read((1, 1100, A), (2, 1200, A))
    late = [fact(2, 70, A, partition=THEIRS), fact(1, 70, A, partition=THEIRS)]
    rows = replace(expected(A), is_inherited=True)
    assert judged(rows, evidence, *late, read_to=2001) == [UNSETTLED]
    assert judged(rows, evidence, late[0], fact(1, 71, A, partition=THEIRS), read_to=2001) == [ABSENT]


def test_what_the_index_has_to_watch():
    def watched(*groups: Group) -> Sequence[int]:
        index = LedgerIndex(100)
        index.watch("s", {A}, {KEY})
        index.add(groups)
        return sorted(digests_to_watch([expected(A), marked(99)], read((1, 1100, 77), (2, 1, Mark(OURS, (1,)))), index))

    assert watched() == [A]
    assert watched(doubt(B)) == [A, B, 77]


def test_doubts_as_they_are_published():
    assert expected(A, B).doubts([1]) == Doubts("s", OURS, [KEY], [B], [1000], [2000], [11])
