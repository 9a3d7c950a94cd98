"""The catalogue of halts is whole, and which of two halts is told."""

from typing import get_args

import pytest

from bridge.core.delivery.halts import HALTS, Halt, Reason, reason_named


def test_every_reason_has_its_sentences():
    assert set(HALTS) == set(get_args(Reason))
    for about in HALTS.values():
        assert len(about.what) > 20
        assert len(about.remedy) > 20


def test_only_what_a_restart_cannot_mend_stays():
    assert {reason for reason, about in HALTS.items() if about.stays} == {"topic_recreated", "stream_recreated"}


def test_a_reason_that_the_catalogue_lacks_has_no_name():
    assert [reason_named(name) for name in ("oversize", "of a later version", None)] == ["oversize", None, None]


@pytest.mark.parametrize(
    ("new", "old", "told"),
    [
        (Halt("oversize", 4, ""), Halt("tombstone", 5, ""), True),
        (Halt("oversize", 5, ""), Halt("tombstone", 5, ""), False),
        (Halt("oversize", 6, ""), Halt("tombstone", 5, ""), False),
        (Halt("topic_recreated", 6, ""), Halt("offset_out_of_range", 5, ""), True),
        (Halt("rejected", 4, ""), Halt("stream_recreated", 5, ""), False),
        (Halt("topic_recreated", 5, ""), Halt("stream_recreated", 5, ""), False),
    ],
    ids=["below", "at", "above", "stays", "what stays is kept", "the first of two that stay"],
)
def test_which_halt_is_told(new, old, told):
    assert new.outranks(old) == told
