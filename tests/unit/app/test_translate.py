"""`bridge translate`: exact both ways, otherwise the nearest following record and why, and no answer where none is certain."""

import tracemalloc
from dataclasses import replace

import pytest

from bridge.app.jobs.translate import (
    Answer,
    Finding,
    KafkaPosition,
    KinesisPosition,
    translate_offset,
    translate_sequence_number,
)
from bridge.core.delivery.commit_metadata import CommitPoint
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.proof.ledger_entries import Doubts, Group, Resolved, ResolvedAs, Stored, StreamShard
from bridge.core.proof.ledger_layout import MAGIC
from bridge.core.proof.noted_entries import slot_of_shard
from bridge.core.records import Partition
from tests.unit.app.ledger_topics import SLOTS
from tests.unit.app.translation_worlds import Cluster, KeptLedger, committed, settings
from tests.unit.core.proof.ledgers import carried

ORDERS, OTHER = Partition("orders", 0), Partition("orders", 1)
SHARD, CHILD = StreamShard("orders", "shardId-000000000000"), StreamShard("orders", "shardId-000000000002")
ARN = "arn:aws:kinesis:eu-central-1:123456789012:stream/orders"


def stored(rows: dict[int, int], partition: Partition = ORDERS, shard: StreamShard = SHARD, is_claim: bool = False) -> Stored:
    """By offset, the sequence number."""
    return Stored(shard, partition, list(rows.values()), [7] * len(rows), list(rows), None, is_claim)


def aggregate(number: int, *offsets: int) -> Stored:
    return Stored(SHARD, ORDERS, [number], [7], offsets, [len(offsets)])


def parked(*offsets: int) -> Resolved:
    return Resolved(ORDERS, ResolvedAs.PARKED, "tombstone", offsets)


def doubtful(*offsets: int) -> Doubts:
    column = [1] * len(offsets)
    return Doubts("orders", ORDERS, column, column, column, column, offsets)


class World:
    """Committed is offset 20 unless it is said otherwise."""

    def __init__(self, *groups: Group, point: CommitPoint | None = None) -> None:
        self.ledger = KeptLedger(*([group] for group in groups))
        self.kafka = Cluster({ORDERS: point or committed(20), OTHER: committed(20)})
        self.settings = settings()
        self.progress: list[tuple[int, int]] = []

    async def offset(self, offset: int, topic: str = "orders") -> Answer:
        asked = KafkaPosition(topic, 0, offset)
        return await translate_offset(self.settings, self.ledger, self.kafka, asked, self._on_progress)

    async def number(self, number: int, sub: int = 0, stream: str = "orders", shard: StreamShard = SHARD) -> Answer:
        asked = KinesisPosition(stream, shard.shard_id, str(number), sub)
        return await translate_sequence_number(self.settings, self.ledger, self.kafka, asked, self._on_progress)

    def _on_progress(self, done: int, all_of_them: int) -> None:
        self.progress.append((done, all_of_them))


def place(number: int, sub: int = 0, shard: StreamShard = SHARD) -> KinesisPosition:
    return KinesisPosition(shard.stream, shard.shard_id, str(number), sub)


def at(offset: int, partition: Partition = ORDERS) -> KafkaPosition:
    return KafkaPosition(*partition, offset)


# -- from Kafka to Kinesis


async def test_an_offset_is_its_record_and_the_place_within_it():
    world = World(stored({3: 100}), aggregate(101, 4, 6))
    assert await world.offset(3) == Answer(at(3), Finding.EXACT, True, "", at(3), place(100))
    assert await world.offset(6) == Answer(at(6), Finding.EXACT, True, "", at(6), place(101, 1))


async def test_of_two_records_the_one_with_the_lower_number_counts_and_the_other_is_named():
    world = World(stored({3: 900}, shard=CHILD), stored({3: 100}), stored({3: 100}), stored({3: 5}, OTHER))
    answer = await world.offset(3)
    assert (answer.kinesis, answer.duplicates) == (place(100), [place(900, shard=CHILD)])


@pytest.mark.parametrize(
    ("group", "why"),
    [
        (parked(4), "parked: tombstone"),
        (Resolved(ORDERS, ResolvedAs.SKIPPED, "oversize", [4]), "skipped: oversize"),
        (stored({4: 7}, OTHER), "no record: the ledger has no entry for it"),
    ],
)
async def test_without_a_record_the_nearest_following_one_is_told(group: Group, why: str):
    answer = await World(group, stored({3: 100, 9: 109}), aggregate(105, 6, 8)).offset(4)
    assert (answer.finding, answer.exact, answer.kafka, answer.kinesis) == (Finding.FOLLOWING, False, at(6), place(105))
    assert answer.why.startswith(why)


async def test_what_follows_may_be_a_duplicate_too():
    answer = await World(parked(4), stored({5: 900}, shard=CHILD), stored({7: 1}), stored({5: 100})).offset(4)
    assert (answer.kafka, answer.kinesis, answer.duplicates) == (at(5), place(100), [place(900, shard=CHILD)])


@pytest.mark.parametrize(
    ("offset", "why"),
    [
        (20, "the committed offset is 20, the end offset 1000; the partition has halted at offset 20: oversize"),
        (21, "the committed offset is 20"),
        (1000, "not in Kafka yet either"),
    ],
)
async def test_what_is_not_carried_is_not_guessed(offset: int, why: str):
    answer = await World(stored({19: 100, 30: 130}), point=committed(20, halted="oversize", halted_at=20)).offset(offset)
    assert (answer.finding, answer.found) == (Finding.NOT_YET, False)
    assert why in answer.why


async def test_what_is_carried_above_the_committed_offset_is_told():
    assert (await World(stored({30: 130})).offset(30)).kinesis == place(130)


@pytest.mark.parametrize("following", [21, 30])
async def test_what_follows_above_the_committed_offset_counts_only_where_nothing_can_come_between(following: int):
    answer = await World(parked(20), stored({following: 130})).offset(20)
    assert answer.finding is (Finding.FOLLOWING if following == 21 else Finding.NOT_YET)
    assert answer.why.startswith("parked: tombstone")


async def test_the_next_to_be_committed_may_be_the_following_one():
    assert (await World(parked(3), stored({20: 120})).offset(3)).kafka == at(20)


@pytest.mark.parametrize("group", [stored({25: 125}, is_claim=True), doubtful(25)])
async def test_claims_and_doubts_are_no_facts(group: Group):
    world = World(group)
    answer = await world.offset(25)
    assert (answer.finding, answer.found) == (Finding.NOT_YET, False)
    assert answer.why.startswith("in doubt")
    world.ledger.append([stored({25: 126})])
    assert (await world.offset(25)).kinesis == place(126)


async def test_older_than_the_ledger_is_refused():
    world = World(stored({10: 100}))
    assert (await world.offset(9)).why.endswith("that begins with offset 10")
    assert (await world.offset(9)).finding is Finding.OLDER
    assert "has nothing of partition orders-0" in (await World().offset(9)).why


async def test_what_retention_removed_may_have_been_a_record():
    world = World(stored({3: 100, 9: 109}), stored({6: 106}, shard=CHILD), stored({8: 108}, shard=CHILD))
    world.ledger.begins = {slot_of_shard(CHILD, SLOTS): 1}
    answer = await world.offset(4)
    assert (answer.kafka, answer.finding) == (at(8), Finding.FOLLOWING)
    assert "retention has removed the entry" in answer.why
    world.ledger.begins = {slot_of_shard(CHILD, SLOTS): 2}
    assert "retention has removed the entry" in (await world.offset(4)).why
    world.ledger.begins = {}
    assert "retention" not in (await world.offset(4)).why


async def test_a_topic_of_no_route_is_not_ours():
    world = World()
    assert (await world.offset(3, "payments")).finding is Finding.NOT_OURS
    assert world.ledger.read_from == []


async def test_a_partition_without_a_committed_offset():
    world = World(stored({5: 1}, OTHER))
    world.kafka.points = {OTHER: committed(20)}
    assert "Kafka has no such partition" in (await world.offset(5)).why
    world.kafka.points = {ORDERS: CommitPoint(7, "another program's")}
    assert "has nothing" in (await world.offset(5)).why


async def test_a_floor_hides_nothing():
    """After the group's offset was set back, what was carried before stands below the floor."""
    slot = slot_of_shard(SHARD, SLOTS)
    world = World(stored({25: 125}), stored({25: 900}, shard=CHILD), point=committed(20, floors={slot: 1}))
    answer = await world.offset(25)
    assert (answer.kinesis, answer.duplicates) == (place(125), [place(900, shard=CHILD)])


# -- from Kinesis to Kafka


async def test_a_record_is_its_offset():
    world = World(stored({3: 100}), aggregate(101, 4, 6), stored({9: 100}, shard=CHILD), stored({8: 50}, OTHER))
    assert await world.number(100) == Answer(place(100), Finding.EXACT, True, "", at(3), place(100))
    assert (await world.number(50)).kafka == at(8, OTHER)
    answer = await world.number(101, sub=1)
    assert (answer.kafka, answer.kinesis, answer.notes) == (at(6), place(101, 1), ["the Kinesis record holds 2 records"])
    assert (await world.number(101)).kafka == at(4)


async def test_only_the_slot_of_the_shard_is_read():
    world = World(stored({3: 100}), stored({4: 900}, shard=CHILD))
    assert slot_of_shard(SHARD, SLOTS) != slot_of_shard(CHILD, SLOTS)
    await world.number(100)
    assert world.ledger.read_from == [{slot_of_shard(SHARD, SLOTS): 0}]
    assert world.progress == [(1, 1)]


async def test_a_sub_record_that_is_not_there():
    answer = await World(aggregate(101, 4, 6), stored({9: 105})).number(101, sub=2)
    assert (answer.finding, answer.kafka, answer.kinesis) == (Finding.FOLLOWING, at(9), place(105))
    assert answer.why == "the Kinesis record holds 2 records only"
    assert (await World(aggregate(101, 4, 6)).number(101, sub=2)).finding is Finding.NOTHING_FOLLOWS


async def test_a_number_between_others_gives_the_following_one():
    answer = await World(stored({3: 100, 6: 109}), aggregate(104, 4, 5)).number(102)
    assert (answer.finding, answer.kafka, answer.kinesis) == (Finding.FOLLOWING, at(4), place(104))
    assert answer.why.startswith("not the bridge's: ")
    assert answer.notes == []


async def test_behind_the_last_nothing_is_said_of_child_shards():
    answer = await World(stored({3: 100}), stored({4: 900}, shard=CHILD)).number(101)
    assert (answer.finding, answer.found) == (Finding.NOTHING_FOLLOWS, False)
    assert "child shard" in answer.why


@pytest.mark.parametrize(("shard", "why"), [(SHARD, "begins with sequence number 100"), (CHILD, "has nothing of shard")])
async def test_before_the_first_is_refused(shard: StreamShard, why: str):
    answer = await World(stored({3: 100})).number(99, shard=shard)
    assert (answer.finding, answer.found) == (Finding.OLDER, False)
    assert why in answer.why


async def test_open_partitions_are_named_where_a_record_is_not():
    world = World(stored({3: 100, 6: 109}), point=committed(20, is_open=True))
    (note,) = (await world.number(102)).notes
    assert note.startswith("open: orders-0:")
    assert (await world.number(100)).notes == []
    world.kafka.points = {Partition("orders", number): CommitPoint(1, "") for number in range(9)}
    (note,) = (await world.number(102)).notes
    assert "orders-4 and 4 more:" in note


async def test_what_was_written_while_the_ledger_was_read_is_seen():
    world = World(stored({3: 100, 6: 109}), point=committed(20, is_open=True))
    world.kafka.on_committed = lambda: world.ledger.append([stored({4: 102})])
    answer = await world.number(102)
    assert (answer.kafka, answer.notes) == (at(4), [])


async def test_a_claimed_record_is_in_doubt_until_a_fact_names_it():
    world = World(stored({3: 100, 6: 109}), stored({4: 102}, is_claim=True))
    answer = await world.number(102)
    assert (answer.finding, answer.found) == (Finding.NOT_YET, False)
    assert "orders-0@4" in answer.why
    world.ledger.append([stored({4: 102})])
    answer = await world.number(102)
    assert (answer.kafka, answer.notes) == (at(4), [])


async def test_of_two_facts_the_first_counts_and_the_other_is_named():
    (note,) = (await World(stored({3: 100}), stored({4: 100}, OTHER), stored({3: 100})).number(100)).notes
    assert "orders-1@4" in note


@pytest.mark.parametrize(("named", "asked"), [(ARN, "orders"), ("orders", ARN), (ARN, ARN), ("orders", "orders")])
async def test_a_stream_is_known_by_its_name_or_its_arn(named: str, asked: str):
    world = World(stored({3: 100}, shard=StreamShard(named, SHARD.shard_id)))
    world.settings = settings({"topic": "orders", "stream": named})
    answer = await world.number(100, stream=asked)
    assert (answer.kafka, answer.asked) == (at(3), replace(place(100), stream_name=asked))


# -- trouble


async def test_a_ledger_that_is_not_there_is_told():
    world = World()
    world.kafka.slots = 0
    with pytest.raises(RefusedError, match=r"topic orders-move\.ledger: it is not there"):
        await world.offset(1)
    world.kafka.slots = SLOTS + 1
    with pytest.raises(RefusedError, match="5 partitions"):
        await world.number(1)


@pytest.mark.parametrize("value", [b"", MAGIC + b"\x02........", b"something else"])
async def test_messages_that_cannot_be_read_are_no_holes(value: bytes):
    world = World(stored({3: 100}))
    slot = slot_of_shard(SHARD, SLOTS)
    world.ledger.slots[slot].append(value)
    for answer in (world.offset(3), world.number(100)):
        with pytest.raises(RefusedError, match=f"partition {slot}, offset 1"):
            await answer


async def test_trouble_of_kafka_goes_through():
    world = World()
    world.ledger.away = True
    with pytest.raises(UnavailableError):
        await world.offset(1)


async def test_nothing_is_kept_of_what_cannot_be_the_answer():
    groups = carried(partitions=2, shards=2, records=2000)
    partition, offset = groups[0].partition, groups[0].offsets[5]
    world = World()
    world.kafka.points = {partition: committed(2**40)}
    peaks = []
    for copies in (1, 9):
        for group in groups * copies:
            world.ledger.append([group])
        tracemalloc.start()
        answer = await translate_offset(world.settings, world.ledger, world.kafka, KafkaPosition(*partition, offset))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert answer.exact
    assert peaks[1] < 1.5 * peaks[0]
