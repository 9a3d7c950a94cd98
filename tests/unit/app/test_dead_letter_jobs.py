"""What the dead-letter topic holds, told and replayed."""

from collections.abc import Sequence

import pytest

from bridge.app.jobs import replay as replay_job
from bridge.app.jobs.dead_letters import Choice, list_letters, show_letters
from bridge.app.jobs.replay import Carried, Fate, Replaying, replay, slices_of
from bridge.app.settings import parse_settings
from bridge.core.delivery.commit_metadata import CommitMetadata, CommitPoint, encode
from bridge.core.delivery.dead_letters import origin_of
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.records import DeadLetter, Partition
from tests.unit.app.dead_letter_topics import NOW_MS, DeadLetterTopic, letter

SETTINGS = parse_settings(
    {
        "name": "orders-move",
        "kafka": {"bootstrap_servers": "b1:9092"},
        "kinesis": {"region": "eu-central-1"},
        "routes": [{"topic": "orders", "stream": "orders"}],
    }
)
ALL = Choice()


class Line:
    """`carry`: answers as told, by offset; carries by default."""

    def __init__(self) -> None:
        self.sent: list[list[str]] = []
        self.answers: dict[int, Carried] = {}

    async def carry(self, letters: Sequence[DeadLetter]) -> Sequence[Carried]:
        self.sent.append([origin_of(one).id for one in letters])
        return [self.answers.get(one.offset, Carried(Fate.CARRIED)) for one in letters]


@pytest.fixture
def topic() -> DeadLetterTopic:
    return DeadLetterTopic()


@pytest.fixture
def line() -> Line:
    return Line()


async def test_the_list_has_each_record_once_the_last_parked_first(topic):
    await topic.park([letter(1), letter(2, "oversize", size=50), letter(1), letter(3, topic="gone", number=3)])
    topic.append_foreign()
    await topic.mark_replayed([origin_of(letter(2))])
    found = await list_letters(SETTINGS, topic, ALL, 100)
    rows = [(one.id, one.reason, one.route, one.copies, one.parked_at_ms - NOW_MS) for one in found.letters]
    assert rows == [
        ("gone-3@3", "tombstone", None, 1, 3000),
        ("orders-0@1", "tombstone", "orders", 2, 2000),
        ("orders-0@2", "oversize", "orders", 1, 1000),
    ]
    assert [one.replayed_at_ms for one in found.letters] == [None, None, NOW_MS + 5000]
    assert found.letters[2].size == 50 + len("k2") + len("h1")
    assert (found.topic, found.total) == ("orders-move.dlq", 3)
    assert found.notes == ["1 messages of the topic were not written by a bridge of this version"]


async def test_filters_and_the_limit_of_the_list(topic):
    await topic.park([letter(offset, reason) for offset, reason in enumerate(["tombstone", "oversize", "oversize"])])
    await topic.park([letter(7, "oversize", topic="other")])
    found = await list_letters(SETTINGS, topic, Choice(topic="orders", reason="oversize"), 1)
    assert ([one.id for one in found.letters], found.total) == (["orders-0@2"], 2)
    assert (await list_letters(SETTINGS, topic, Choice(reason="none"), 1)).letters == []


async def test_a_record_is_shown_whole(topic):
    await topic.park([letter(1), letter(2), letter(1)])
    (found,) = await show_letters(SETTINGS, topic, Partition("orders", 0), 1)
    assert (found.letter, found.bridge, found.headline.copies) == (letter(1), "orders-move", 2)
    assert await show_letters(SETTINGS, topic, Partition("orders", 1), 1) == []


async def test_records_of_a_topic_that_was_created_anew_are_two(topic, line):
    before = letter(1)
    after = DeadLetter(before.partition, 1, before.timestamp_ms + 9, b"new", b"v", [], "oversize", "why")
    await topic.park([before])
    await topic.mark_replayed([origin_of(before)])
    await topic.park([after])
    shown = await show_letters(SETTINGS, topic, before.partition, 1)
    assert [(one.letter.key, one.headline.replayed_at_ms is None) for one in shown] == [(b"k1", False), (b"new", True)]
    assert [one.fate for one in await replay(topic, topic, line.carry, Replaying(ALL))] == [Fate.CARRIED]
    assert topic.marked == [origin_of(before), origin_of(after)]


async def test_a_replay_is_in_order_and_marks_what_was_carried(topic, line):
    await topic.park([letter(9), letter(2), letter(4, number=1), letter(1, topic="a", number=5)])
    line.answers[2] = Carried(Fate.STILL_DEAD, "oversize", "too large")
    line.answers[4] = Carried(Fate.FAILED, detail="no answer")
    report = await replay(topic, topic, line.carry, Replaying(ALL))
    assert line.sent == [["a-5@1", "orders-0@2", "orders-0@9", "orders-1@4"]]
    assert [(one.id, one.fate, one.reason, one.done) for one in report] == [
        ("a-5@1", Fate.CARRIED, "tombstone", True),
        ("orders-0@2", Fate.STILL_DEAD, "oversize", False),
        ("orders-0@9", Fate.CARRIED, "tombstone", True),
        ("orders-1@4", Fate.FAILED, "tombstone", False),
    ]
    assert [origin.id for origin in topic.marked] == ["a-5@1", "orders-0@9"]
    line.answers.clear()
    await replay(topic, topic, line.carry, Replaying(ALL))
    assert line.sent[1:] == [["orders-0@2", "orders-1@4"]]
    await replay(topic, topic, line.carry, Replaying(ALL))
    assert len(line.sent) == 2


async def test_what_was_replayed_goes_again_only_where_that_is_asked_for(topic, line):
    await topic.park([letter(1), letter(2)])
    await topic.mark_replayed([origin_of(letter(1))])
    one = Choice(frozenset([(Partition("orders", 0), 1)]))
    assert [line.fate for line in await replay(topic, topic, line.carry, Replaying(one))] == [Fate.ALREADY_REPLAYED]
    assert line.sent == []
    await replay(topic, topic, line.carry, Replaying(one, again=True))
    assert line.sent == [["orders-0@1"]]


async def test_a_letter_parked_again_after_its_replay_is_still_the_same_record(topic, line):
    await topic.park([letter(1)])
    await topic.mark_replayed([origin_of(letter(1))])
    await topic.park([letter(1)])
    assert await replay(topic, topic, line.carry, Replaying(ALL)) == []


async def test_a_dry_run_sends_and_marks_nothing(topic, line):
    await topic.park([letter(1), letter(2, "oversize")])
    report = await replay(topic, topic, line.carry, Replaying(Choice(reason="oversize"), dry_run=True))
    assert [(one.id, one.fate, one.done) for one in report] == [("orders-0@2", Fate.WOULD_REPLAY, True)]
    assert (line.sent, topic.marked) == ([], [])


async def test_what_is_not_there_is_told(topic, line):
    await topic.park([letter(1)])
    choice = Choice(frozenset([(Partition("orders", 0), 1), (Partition("orders", 0), 8)]))
    report = await replay(topic, topic, line.carry, Replaying(choice))
    assert [(one.id, one.fate) for one in report] == [("orders-0@8", Fate.NOT_FOUND), ("orders-0@1", Fate.CARRIED)]


async def test_large_replays_go_in_chunks(topic, line, monkeypatch):
    monkeypatch.setattr(replay_job, "CHUNK_LETTERS", 3)
    monkeypatch.setattr(replay_job, "CHUNK_BYTES", 100)
    await topic.park([letter(offset, size=60 if offset == 4 else 10) for offset in range(8)])
    done: list[tuple[int, int]] = []
    await replay(topic, topic, line.carry, Replaying(ALL), lambda *progress: done.append(progress))
    assert [len(chunk) for chunk in line.sent] == [3, 3, 2]
    assert done == [(3, 8), (6, 8), (8, 8)]
    assert [len(places) for places in topic.read_at] == [3, 3, 2]
    topic.messages[0].clear()
    line.sent.clear()
    await topic.park([letter(offset, size=60) for offset in range(3)])
    await replay(topic, topic, line.carry, Replaying(ALL))
    assert [len(chunk) for chunk in line.sent] == [1, 1, 1]


async def test_what_was_carried_before_trouble_is_marked(topic, line: Line, monkeypatch):
    monkeypatch.setattr(replay_job, "CHUNK_LETTERS", 1)
    await topic.park([letter(1), letter(2)])

    async def carry(letters: Sequence[DeadLetter]) -> Sequence[Carried]:
        if letters[0].offset == 2:
            raise UnavailableError("gone")
        return await line.carry(letters)

    with pytest.raises(UnavailableError):
        await replay(topic, topic, carry, Replaying(ALL))
    assert [origin.id for origin in topic.marked] == ["orders-0@1"]


class Group:
    """Of the directory only what is asked for."""

    def __init__(self, slices: list[int]) -> None:
        self.slices = slices
        self.first = "not ours"

    async def partitions_of(self, wanted):
        return [p for p in (*(Partition("orders", number) for number in range(3)), Partition("other", 0)) if wanted(p.topic)]

    async def committed(self, group, partitions):
        assert group == "orders-move"
        points = [CommitPoint(5, encode(CommitMetadata(slices=slices))) for slices in self.slices]
        return {partitions[0]: CommitPoint(5, self.first), **dict(zip(partitions[1:], points, strict=False))}


async def test_where_the_slices_may_not_be_read_nothing_is_replayed():
    group = Group([2])
    group.first = '{"v":2}'
    with pytest.raises(RefusedError, match=r"orders-0.*version 2"):
        await slices_of(SETTINGS, group)  # type: ignore[arg-type]


@pytest.mark.parametrize(("told", "slices"), [([], 3), ([2], 2), ([9, 7], 7)])
async def test_the_slices_of_a_topic_are_those_of_its_commits(told, slices):
    assert await slices_of(SETTINGS, Group(told)) == {"orders": slices}  # type: ignore[arg-type]
