"""The ledger topic on every Kafka: made where it is missing, checked where it is there, written with confirmation, read in order.

DIFFERENCES as in `test_dead_letters`.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest

from bridge.adapters.kafka import ledger, producing, topic_reader
from bridge.adapters.kafka.ledger import KafkaLedger
from bridge.adapters.kafka.threads import SystemThreads
from bridge.adapters.kafka.topics import KafkaTopics
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.proof.ledger_layout import LedgerMessage
from bridge.core.records import Partition
from bridge.core.topics import LEDGER_MESSAGE_BYTES_MAX, TopicDefinition, ledger_definition
from bridge.embedded.kafka import PARTITIONS
from bridge.ports import Ledger
from tests.contract.kafka_sources import Broker, create, delete_records, settings_for
from tests.contract.test_dead_letters import KINDS, every_kafka, only_kafka, random_bytes
from tests.servers.fixtures import unique
from tests.servers.topics import delete_topic

DIFFERENCES = {
    "test_the_topic_is_made_as_it_has_to_be": "it makes every topic by itself, all of them alike",
    "test_it_is_found_by_the_time_at_which_it_was_written": "it finds nothing by time, so everything is read",
    "test_whether_the_topic_could_be_made": "it has no controller, so nobody can be asked",
}
RETENTION_S = 8 * 86_400.0
with_settings = pytest.mark.parametrize("broker", KINDS[1:], indirect=True)
"""Not the mock, whose topics have none."""


class Bridge:
    """The ledger of a bridge of its own."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.clients = broker.clients(settings_for(broker, "none", unique("group")))
        self.topics = KafkaTopics(self.clients)
        self.definition = ledger_definition(unique("bridge"), PARTITIONS, RETENTION_S, 1)
        self.ledger: Ledger = self.another()

    def another(self, definition: TopicDefinition | None = None) -> KafkaLedger:
        """Of another process."""
        return KafkaLedger(definition or self.definition, self.clients, self.topics, SystemThreads())

    def partition(self, slot: int) -> Partition:
        return Partition(self.definition.name, slot)

    async def all(self) -> list[LedgerMessage]:
        return await read(self.ledger, dict.fromkeys(range(PARTITIONS), 0), await self.ledger.ends())


async def read(reader: Ledger, begins: Mapping[int, int], ends: Mapping[int, int]) -> list[LedgerMessage]:
    return sorted([message async for batch in reader.read(begins, ends) for message in batch], key=lambda m: m.slot)


@pytest.fixture
async def bridge(broker: Broker) -> AsyncIterator[Bridge]:
    found = Bridge(broker)
    yield found
    await found.ledger.close()


@contextlib.contextmanager
def broker_away(broker: Broker, request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing is answered until the end of the block."""
    if broker.simulated is not None:
        with broker.simulated.cluster.lock:
            broker.simulated.cluster.broker_down(float("inf"))
        try:
            yield
        finally:
            with broker.simulated.cluster.lock:
                broker.simulated.cluster.broker_up()
        return
    server = request.getfixturevalue("kafka")
    if not server.owned:
        pytest.skip("a Kafka that was given is not ours to pause")
    server.pause()
    try:
        yield
    finally:
        server.resume()


@every_kafka
async def test_what_is_written_is_read_in_its_order_at_the_offsets_that_were_told(bridge):
    assert await bridge.ledger.open() == dict.fromkeys(range(PARTITIONS), 0)
    written = [(n % 3, b"%d" % n) for n in range(60)]
    offsets = await bridge.ledger.write(written[:31]) + await bridge.ledger.write(written[31:])
    expected = [LedgerMessage(slot, offset, value) for (slot, value), offset in zip(written, offsets, strict=True)]
    assert await bridge.all() == sorted(expected, key=lambda message: message.slot)
    assert await bridge.ledger.ends() == {0: 20, 1: 20, 2: 20, 3: 0}
    assert [offset for (slot, _), offset in zip(written, offsets, strict=True) if slot == 1] == list(range(20))


@every_kafka
async def test_a_part_is_read_from_begins_to_ends(bridge):
    await bridge.ledger.open()
    await bridge.ledger.write([(slot, b"%d" % n) for slot in (0, 1) for n in range(30)])
    found = await read(bridge.ledger, {0: 27, 1: 5, 2: 0}, {0: 30, 1: 7, 2: 0})
    assert [(message.slot, message.offset) for message in found] == [(0, 27), (0, 28), (0, 29), (1, 5), (1, 6)]
    assert await read(bridge.ledger, {0: 30}, {0: 30}) == []
    assert await read(bridge.ledger, {0: 40}, {0: 30}) == []
    assert await read(bridge.ledger, {}, {}) == []


@every_kafka
async def test_any_bytes_and_sizes_pass(bridge):
    await bridge.ledger.open()
    values = [b"", b"\x00", random_bytes(100_000), b"x" * 1_000_000]
    await bridge.ledger.write([(0, value) for value in values])
    assert [message.value for message in await bridge.all()] == values


@every_kafka
async def test_nothing_to_write_is_written(bridge):
    await bridge.ledger.open()
    assert await bridge.ledger.write([]) == []
    assert await bridge.all() == []


@every_kafka
async def test_a_slot_that_is_none_is_a_mistake(bridge):
    with pytest.raises(ValueError, match="slots are 0 to 3"):
        await bridge.ledger.write([(0, b"x"), (4, b"x")])


@every_kafka
async def test_two_writers_at_once_keep_to_their_offsets(bridge):
    second = bridge.another()
    await asyncio.gather(bridge.ledger.open(), second.open())

    async def write(writer: Ledger, name: str) -> dict[tuple[int, int], bytes]:
        found: dict[tuple[int, int], bytes] = {}
        for n in range(20):
            messages = [(slot, f"{name} {n} {slot}".encode()) for slot in (0, 1)]
            offsets = await writer.write(messages)
            found |= {(slot, offset): value for (slot, value), offset in zip(messages, offsets, strict=True)}
        return found

    try:
        written = await asyncio.gather(write(bridge.ledger, "a"), write(bridge.ledger, "b"), write(second, "c"))
    finally:
        await second.close()
    there = {(message.slot, message.offset): message.value for message in await bridge.all()}
    assert there == {place: value for one in written for place, value in one.items()}
    assert len(there) == 120


@every_kafka
async def test_another_process_finds_the_topic_and_its_ends(bridge):
    await bridge.ledger.open()
    await bridge.ledger.write([(1, b"x"), (1, b"y")])
    other = bridge.another()
    assert await other.open() == {0: 0, 1: 2, 2: 0, 3: 0}
    await other.close()


@every_kafka
async def test_it_is_found_by_the_time_at_which_it_was_written(bridge, differs):
    await bridge.ledger.open()
    await bridge.ledger.write([(0, b"before"), (1, b"before")])
    await asyncio.sleep(0.1)
    between_ms = round(time.time() * 1000)
    await asyncio.sleep(0.1)
    await bridge.ledger.write([(1, b"behind")])
    assert {slot: (await bridge.ledger.offsets_at(0))[slot] for slot in (0, 1)} == {0: 0, 1: 0}
    between, later = await bridge.ledger.offsets_at(between_ms), await bridge.ledger.offsets_at(between_ms + 3_600_000)
    if differs:
        assert not any(later.values())
        return
    assert (between[0], between[1]) == (1, 1)
    ends = await bridge.ledger.ends()
    assert {slot: later[slot] for slot in (0, 1)} == {slot: ends[slot] for slot in (0, 1)} == {0: 1, 1: 2}


@every_kafka
async def test_the_topic_is_made_as_it_has_to_be(bridge, differs):
    await bridge.ledger.open()
    assert await bridge.topics.partitions_in(bridge.definition.name) == PARTITIONS
    found = (await bridge.topics.settings_of([bridge.definition.name])).get(bridge.definition.name, {})
    expected = {
        "cleanup.policy": "delete",
        "retention.ms": "691200000",
        "retention.bytes": "-1",
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": "4259840",
    }
    assert bridge.definition.settings == expected
    assert {name: found.get(name) for name in expected} == (dict.fromkeys(expected) if differs else expected)


@with_settings
@pytest.mark.parametrize(
    ("setting", "value", "wanted"),
    [
        ("cleanup.policy", "compact", "wanted delete: "),
        ("cleanup.policy", "compact,delete", "wanted delete: "),
        ("retention.ms", "691199999", "wanted 691200000 or more: "),
        ("retention.bytes", "1000000000", "wanted -1: "),
        ("message.timestamp.type", "CreateTime", "wanted LogAppendTime: "),
        ("max.message.bytes", "1048588", "wanted 4259840 or more: "),
    ],
)
async def test_a_topic_that_is_not_as_it_has_to_be_is_refused_and_left_as_it_is(bridge, broker, setting, value, wanted):
    name = bridge.definition.name
    create(broker, name, PARTITIONS, {**bridge.definition.settings, setting: value})
    with pytest.raises(RefusedError) as caught:
        await bridge.ledger.open()
    assert f"topic {name} is not as the bridge needs it: {setting} is {value}, {wanted}kafka-configs.sh --alter" in str(
        caught.value
    )
    with pytest.raises(RefusedError, match=setting):
        await bridge.ledger.write([(0, b"x")])
    with pytest.raises(RefusedError, match=setting):
        await bridge.topics.try_topic(bridge.definition)
    assert (await bridge.topics.settings_of([name]))[name][setting] == value
    assert await bridge.all() == []


@with_settings
async def test_all_that_is_wrong_is_named_at_once(bridge, broker):
    create(broker, bridge.definition.name, PARTITIONS + 1, {"retention.ms": "1000", "cleanup.policy": "compact"})
    with pytest.raises(RefusedError, match=r"partitions are 5, wanted 4: .*cleanup\.policy is compact.*retention\.ms is 1000"):
        await bridge.ledger.open()


@with_settings
async def test_a_topic_that_keeps_more_will_do(bridge, broker):
    settings = {**bridge.definition.settings, "retention.ms": "-1", "max.message.bytes": "9000000"}
    create(broker, bridge.definition.name, PARTITIONS, settings)
    assert await bridge.ledger.open() == dict.fromkeys(range(PARTITIONS), 0)
    longer = ledger_definition(unique("bridge"), PARTITIONS, RETENTION_S, 1)
    create(broker, longer.name, PARTITIONS, {**longer.settings, "retention.ms": "691200001"})
    other = bridge.another(longer)
    await other.open()
    await other.close()


@every_kafka
async def test_another_number_of_slots_is_refused(bridge):
    await bridge.ledger.open()
    other = bridge.another(ledger_definition(bridge.definition.name.removesuffix(".ledger"), 3, RETENTION_S, 1))
    with pytest.raises(RefusedError, match="partitions are 4, wanted 3: configure the number that it has"):
        await other.open()


@every_kafka
async def test_whether_the_topic_could_be_made(bridge, differs):
    await bridge.topics.try_topic(bridge.definition)
    assert not await bridge.topics.partitions_in(bridge.definition.name)
    await bridge.ledger.open()
    await bridge.topics.try_topic(bridge.definition)
    if not differs and bridge.broker.kind == "kafka":
        impossible = ledger_definition(unique("bridge"), PARTITIONS, RETENTION_S, 3)
        with pytest.raises(RefusedError, match=r"create it by hand: kafka-topics.sh --create .*--replication-factor 3 --config"):
            await bridge.topics.try_topic(impossible)
        with pytest.raises(RefusedError, match="--replication-factor 3"):
            await bridge.another(impossible).open()


@with_settings
async def test_a_reading_begins_where_retention_has_left_something(bridge, broker):
    await bridge.ledger.open()
    await bridge.ledger.write([(slot, b"%d" % n) for slot in (0, 1, 2) for n in range(10)])
    delete_records(broker, bridge.partition(0), 4)
    delete_records(broker, bridge.partition(1), 10)
    ends = await bridge.ledger.ends()
    assert ends == {0: 10, 1: 10, 2: 10, 3: 0}
    found = await read(bridge.ledger, {0: 2, 1: 3, 2: 8}, ends)
    assert [(message.slot, message.offset) for message in found] == [*((0, n) for n in range(4, 10)), (2, 8), (2, 9)]
    # What was written after the end that was asked for, behind a gap, does not count.
    await bridge.ledger.write([(1, b"later")])
    assert await read(bridge.ledger, {1: 3}, {1: 10}) == []


@every_kafka
async def test_a_slot_that_ends_below_its_end_is_told(bridge, monkeypatch):
    monkeypatch.setattr(topic_reader, "SILENCE_S", 1.5)
    await bridge.ledger.open()
    await bridge.ledger.write([(0, b"x"), (1, b"y")])
    with pytest.raises(UnavailableError, match=r"nothing came within 1\.5 s of what is missing: partition 1 up to 5"):
        await read(bridge.ledger, {0: 0, 1: 0}, {0: 1, 1: 5})


@with_settings
async def test_a_broker_that_is_away_is_told_in_time_and_not_held_against_it(bridge, broker, request, monkeypatch):
    await bridge.ledger.open()
    await bridge.ledger.write([(0, b"before")])
    with broker_away(broker, request), monkeypatch.context() as patched:
        patched.setattr(ledger, "ENDS_S", 2.0)
        began = time.monotonic()
        with pytest.raises(UnavailableError, match=f"topic {bridge.definition.name}: a ledger message was not confirmed"):
            await bridge.ledger.write([(0, b"lost")])
        # The client that did not deliver is closed before the error is told.
        assert time.monotonic() - began < ledger.WRITE_S + producing.CLOSE_S
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="Kafka has not told the end of partition 0 in time"):
            await bridge.ledger.ends()
        assert time.monotonic() - began < 4.0
        with pytest.raises(UnavailableError, match="Kafka has not confirmed a ledger message in time"):
            await bridge.ledger.write([(0, b"lost too")])
    (offset,) = await until_written(bridge.ledger, (0, b"after"))
    there = await bridge.all()
    assert [message.value for message in there if message.offset in (0, offset)] == [b"before", b"after"]
    assert b"lost too" not in [message.value for message in there]


async def until_written(writer: Ledger, message: tuple[int, bytes]) -> Any:
    for _ in range(10):
        with contextlib.suppress(UnavailableError):
            return await writer.write([message])
    raise AssertionError("not written")


@every_kafka
async def test_after_its_end_it_may_be_used_again(bridge):
    await bridge.ledger.close()
    await bridge.ledger.open()
    await bridge.ledger.close()
    await bridge.ledger.close()
    assert await bridge.ledger.write([(2, b"x")]) == [0]
    assert [message.value for message in await bridge.all()] == [b"x"]


@every_kafka
async def test_a_reading_that_is_given_up_leaves_no_consumer(bridge):
    await bridge.ledger.open()
    await bridge.ledger.write([(0, b"%d" % n) for n in range(50)])
    async with contextlib.aclosing(bridge.ledger.read({0: 0}, {0: 50})) as batches:
        async for _ in batches:
            break
    if bridge.broker.simulated is not None:
        assert bridge.broker.simulated.cluster.consumers == []


@only_kafka
async def test_the_largest_message_is_taken_and_a_larger_one_refused(bridge):
    await bridge.ledger.open()
    largest = random_bytes(LEDGER_MESSAGE_BYTES_MAX)
    assert await bridge.ledger.write([(0, largest), (0, b"next")]) == [0, 1]
    assert [message.value for message in await bridge.all()] == [largest, b"next"]
    with pytest.raises(RefusedError, match=r"does not take a ledger message of up to 5\d+ bytes: raise its max\.message\.bytes"):
        await bridge.ledger.write([(0, random_bytes(5_000_000))])
    assert await bridge.ledger.write([(0, b"more")]) == [2]


@only_kafka
async def test_a_topic_that_was_removed_is_not_made_again_in_silence(bridge, broker, monkeypatch):
    monkeypatch.setitem(ledger.OWNED, "delivery.timeout.ms", 2000)
    monkeypatch.setitem(ledger.OWNED, "topic.metadata.propagation.max.ms", 1000)
    monkeypatch.setattr(ledger, "ENDS_S", 3.0)
    await bridge.ledger.open()
    await bridge.ledger.write([(0, b"x")])
    delete_topic(broker.bootstrap_servers, bridge.definition.name)
    with pytest.raises(UnavailableError, match="not confirmed"):
        await bridge.ledger.write([(0, b"y")])
    with pytest.raises(RefusedError, match="it is not there any more, and with it what it held"):
        await bridge.ledger.write([(0, b"y")])
    with pytest.raises(UnavailableError, match="has not told the end of partition 0"):
        await bridge.ledger.ends()
    again = bridge.another()
    assert await again.open() == dict.fromkeys(range(PARTITIONS), 0)
    await again.close()
