"""The control topic on every Kafka: one change after the other, by what is there; readers see whole changes only.

DIFFERENCES as in `test_dead_letters`.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from bridge.adapters.kafka import control
from bridge.adapters.kafka.control import KafkaControl
from bridge.adapters.kafka.topics import KafkaTopics
from bridge.core.direction.control_record import ControlRecord, decode, encode
from bridge.core.direction.direction import Direction
from bridge.core.direction.transitions import Basis, ChangeRefusedError, Request, basis_of, first_record, requested
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.records import Partition
from bridge.core.topics import TopicDefinition, control_definition
from tests.contract.kafka_sources import Broker, create, produce, settings_for
from tests.contract.test_dead_letters import KINDS, every_kafka, only_kafka
from tests.contract.test_ledger import broker_away
from tests.servers.fixtures import unique
from tests.servers.process import wait_until
from tests.servers.topics import delete_topic

DIFFERENCES = {
    "test_the_topic_is_made_as_it_has_to_be": "it makes every topic by itself, all of them alike",
    "test_what_is_left_open_is_aborted_by_the_next_writer": "it shows the records of aborted transactions too",
    "test_whether_the_topic_could_be_made": "it has no controller, so nobody can be asked",
}
with_settings = pytest.mark.parametrize("broker", KINDS[1:], indirect=True)
"""Not the mock: its topics have none, it shows what is not committed, and it fences no writer off."""
SECONDS = 30.0
CRASHING = """
import sys
from confluent_kafka import Producer
servers, topic, key, value = sys.argv[1:]
producer = Producer({"bootstrap.servers": servers, "transactional.id": topic, "transaction.timeout.ms": 60000})
producer.init_transactions(30)
producer.begin_transaction()
producer.produce(topic, value=value.encode(), key=key.encode(), partition=0)
assert producer.flush(30) == 0
print("written", flush=True)
sys.stdin.read()
"""


class Bridge:
    """The control topic of a bridge of its own, and one who reads and writes it."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.clients = broker.clients(settings_for(broker, "none", unique("group")))
        self.topics = KafkaTopics(self.clients)
        self.definition = control_definition(unique("bridge"), 1)
        self.name = self.definition.name
        self.store = self.another()

    def another(self, definition: TopicDefinition | None = None) -> KafkaControl:
        """Of another process."""
        return KafkaControl(definition or self.definition, self.clients, self.topics)

    async def reads(self) -> dict[str, bytes]:
        """What one sees who has seen nothing before."""
        return dict(await self.another().read())

    async def until_read(self, expected: Mapping[str, bytes], reader: KafkaControl | None = None) -> None:
        """Kafka shows the end of a transaction to readers a moment after it has confirmed it."""
        deadline = time.monotonic() + SECONDS
        while (found := dict(await (reader or self.another()).read())) != expected:
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.01)


@pytest.fixture
def bridge(broker: Broker) -> Bridge:
    return Bridge(broker)


def writing(**values: str) -> Callable[[Mapping[str, bytes]], Mapping[str, bytes]]:
    return lambda _: {key: value.encode() for key, value in values.items()}


def asking(direction: Direction, basis: Basis, who: str) -> Callable[[Mapping[str, bytes]], Mapping[str, bytes]]:
    """A request for the route `orders`, as an operator makes it."""
    request = Request(direction, None, who, "tonight", 60_000)
    return lambda latest: {"orders": encode(requested(decode(latest["orders"]), basis, request, 2_000))}


async def began(bridge: Bridge) -> ControlRecord:
    record = first_record("orders", Direction.FORWARD, "test", 1_000)
    await bridge.store.change(lambda _: {"orders": encode(record)})
    return record


@every_kafka
async def test_the_latest_value_of_each_key_is_read(bridge):
    await bridge.store.open()
    assert await bridge.reads() == {}
    assert await bridge.store.change(writing(a="1", b="1")) == {"a": b"1", "b": b"1"}
    assert await bridge.store.change(writing(a="2")) == {"a": b"2", "b": b"1"}
    await bridge.until_read({"a": b"2", "b": b"1"})
    await bridge.until_read({"a": b"2", "b": b"1"}, bridge.store)


@every_kafka
async def test_what_comes_later_is_read_from_where_reading_has_got_to(bridge):
    reader = bridge.another()
    await bridge.store.change(writing(a="1", b="1"))
    await bridge.until_read({"a": b"1", "b": b"1"}, reader)
    await bridge.store.change(writing(a="2", c="1"))
    await bridge.until_read({"a": b"2", "b": b"1", "c": b"1"}, reader)


@with_settings
async def test_where_there_is_no_topic_nothing_is_read_and_none_is_made(bridge):
    assert await bridge.store.read() == {}
    assert not await bridge.topics.partitions_in(bridge.name)


@every_kafka
async def test_who_decides_sees_what_is_there_and_may_write_nothing(bridge):
    seen: list[Mapping[str, bytes]] = []

    def decide(latest: Mapping[str, bytes]) -> Mapping[str, bytes]:
        seen.append(dict(latest))
        return {}

    await bridge.store.change(writing(a="1"))
    assert await bridge.another().change(decide) == {"a": b"1"}
    assert seen == [{"a": b"1"}]


@every_kafka
async def test_a_refusal_is_passed_on_and_nothing_is_written(bridge):
    record = await began(bridge)
    with pytest.raises(ChangeRefusedError, match="the route has this direction already"):
        await bridge.store.change(asking(Direction.FORWARD, basis_of(record), "a"))
    assert await bridge.another().change(lambda _: {}) == {"orders": encode(record)}


@with_settings
async def test_of_two_requests_by_the_same_record_exactly_one_wins(bridge):
    for _ in range(3):
        of_its_own = Bridge(bridge.broker)
        basis = basis_of(await began(of_its_own))
        stores = [of_its_own.another() for _ in range(2)]
        wanted = [Direction.PAUSED, Direction.BOTH]
        answers = await asyncio.gather(
            *(store.change(asking(to, basis, f"{to}")) for store, to in zip(stores, wanted, strict=True)),
            return_exceptions=True,
        )
        refused = [answer for answer in answers if isinstance(answer, ChangeRefusedError)]
        won = [answer for answer in answers if isinstance(answer, Mapping)]
        assert (len(won), len(refused)) == (1, 1), answers
        assert refused[0].reason == "under_way"
        latest = decode((await of_its_own.another().change(lambda _: {}))["orders"])
        assert latest == decode(won[0]["orders"])
        assert (latest.epoch, latest.who) == (2, str(latest.direction))


@with_settings
async def test_many_changes_at_once_stand_one_behind_the_other(bridge, monkeypatch):
    monkeypatch.setattr(control, "TRIES", 40)
    monkeypatch.setattr(control, "PAUSE_S", 0.05)

    def count(latest: Mapping[str, bytes]) -> Mapping[str, bytes]:
        return {"count": b"%d" % (int(latest.get("count", b"0")) + 1)}

    stores = [bridge.another() for _ in range(3)]

    async def three_times(store: KafkaControl) -> None:
        for _ in range(3):
            await store.change(count)

    await asyncio.gather(*map(three_times, stores))
    assert await bridge.another().change(lambda _: {}) == {"count": b"9"}


@with_settings
async def test_a_writer_that_was_fenced_off_decides_anew(bridge):
    """Another one writes between its look and its commit."""
    await bridge.store.open()
    first, second = bridge.another(), bridge.another()
    loop = asyncio.get_running_loop()
    looks: list[Mapping[str, bytes]] = []

    def slowly(latest: Mapping[str, bytes]) -> Mapping[str, bytes]:
        looks.append(dict(latest))
        return {"mine": b"%d" % len(looks)}

    begun, go_on = asyncio.Event(), asyncio.Event()
    write = control._Attempt.write

    async def waiting(attempt: control._Attempt, values: Mapping[str, bytes]) -> None:
        if "mine" in values and not begun.is_set():
            begun.set()
            await go_on.wait()
        await write(attempt, values)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(control._Attempt, "write", waiting)
        change = loop.create_task(first.change(slowly))
        await begun.wait()
        await second.change(writing(other="1"))
        go_on.set()
        assert await change == {"other": b"1", "mine": b"2"}
    assert looks == [{}, {"other": b"1"}]
    await bridge.until_read({"other": b"1", "mine": b"2"})


@every_kafka
async def test_a_writer_that_always_loses_is_told(bridge, monkeypatch):
    async def lose(_attempt: control._Attempt, _values: Mapping[str, bytes]) -> None:
        raise control._LookAgainError

    await bridge.store.open()
    monkeypatch.setattr(control._Attempt, "write", lose)
    monkeypatch.setattr(control, "TRIES", 2)
    monkeypatch.setattr(control, "PAUSE_S", 0.0)
    with pytest.raises(UnavailableError, match="other writers came between 2 times: try again"):
        await bridge.store.change(writing(a="1"))
    monkeypatch.undo()
    assert await bridge.reads() == {}


@every_kafka
async def test_what_is_left_open_is_aborted_by_the_next_writer(bridge, differs):
    """As a writer leaves it that dies in mid-transaction: readers go on, and never see it."""
    await bridge.store.change(writing(a="1"))
    await bridge.until_read({"a": b"1"})
    abandoned = bridge.clients.producer({"transactional.id": bridge.name})
    await asyncio.to_thread(abandoned.init_transactions, SECONDS)
    abandoned.begin_transaction()
    abandoned.produce(bridge.name, value=b"never", key=b"a", partition=0)
    assert await asyncio.to_thread(abandoned.flush, SECONDS) == 0
    left = b"never" if differs else b"1"
    assert await bridge.reads() == {"a": left}
    assert await bridge.store.read() == {"a": left}
    assert await bridge.another().change(writing(b="2")) == {"a": left, "b": b"2"}
    await bridge.until_read({"a": left, "b": b"2"})
    await bridge.until_read({"a": left, "b": b"2"}, bridge.store)


@only_kafka
async def test_a_process_that_is_killed_in_mid_transaction_changes_nothing(bridge, broker):
    await bridge.store.change(writing(a="1"))
    await bridge.until_read({"a": b"1"})
    command = [sys.executable, "-c", CRASHING, broker.bootstrap_servers, bridge.name, "a", "never"]
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"written\n"
    process.kill()
    await process.wait()
    assert await bridge.reads() == {"a": b"1"}
    assert await bridge.another().change(writing(b="2")) == {"a": b"1", "b": b"2"}
    await bridge.until_read({"a": b"1", "b": b"2"})
    assert sorted(all_records(broker, bridge.name)) == [(b"a", b"1"), (b"a", b"never"), (b"b", b"2")]  # it really was there


def all_records(broker: Broker, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    """Also those of aborted transactions."""
    reading = {"isolation.level": "read_uncommitted", "enable.partition.eof": True, "auto.offset.reset": "earliest"}
    consumer = broker.consumer(unique("all"), reading)
    found: list[tuple[bytes | None, bytes | None]] = []
    try:
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            message: Any = consumer.poll(1.0)
            if message is not None and message.error() is not None:
                return found
            if message is not None:
                found.append((message.key(), message.value()))
    finally:
        consumer.close()
    raise AssertionError(f"the end of {topic} was not reached: {found}")


@only_kafka
async def test_compaction_leaves_the_latest_state(bridge, broker):
    eager = {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.001", "max.compaction.lag.ms": "100"}
    create(broker, bridge.name, 1, {**bridge.definition.settings, **eager})
    behind = bridge.another()
    for n in range(30):
        await bridge.store.change(writing(a=str(n), **{f"key{n % 3}": str(n)}))
    await bridge.until_read({"a": b"29", "key0": b"27", "key1": b"28", "key2": b"29"}, behind)

    async def written_more() -> int:
        """A segment is closed, and may be compacted, only when something is written into the next one."""
        await bridge.store.change(writing(tick=str(time.monotonic())))
        return len(all_records(broker, bridge.name))

    deadline = time.monotonic() + 90.0
    while (left := await written_more()) > 30:
        assert time.monotonic() < deadline, f"not compacted: {left} records"
        await asyncio.sleep(0.2)
    latest = await bridge.another().change(lambda _: {})
    assert {**latest, "tick": b""} == {"a": b"29", "key0": b"27", "key1": b"28", "key2": b"29", "tick": b""}
    await bridge.until_read(latest)
    await bridge.until_read(latest, behind)


@every_kafka
async def test_the_topic_is_made_as_it_has_to_be(bridge, differs):
    await bridge.store.open()
    await bridge.store.open()
    assert await bridge.topics.partitions_in(bridge.name) == (4 if differs else 1)
    found = (await bridge.topics.settings_of([bridge.name])).get(bridge.name, {})
    assert found.get("cleanup.policy") == (None if differs else "compact")


@with_settings
@pytest.mark.parametrize(
    ("partitions", "policy", "wrong"),
    [
        (1, "delete", "cleanup.policy is delete, wanted compact: kafka-configs.sh --alter"),
        (1, "compact,delete", "cleanup.policy is compact,delete, wanted compact"),
        (3, "compact", "partitions are 3, wanted 1"),
    ],
)
async def test_a_topic_that_is_not_as_it_has_to_be_is_named_and_left_alone(bridge, broker, partitions, policy, wrong):
    create(broker, bridge.name, partitions, {"cleanup.policy": policy})
    with pytest.raises(RefusedError, match=f"topic {bridge.name} is not as the bridge needs it: {wrong}"):
        await bridge.store.open()
    with pytest.raises(RefusedError, match=wrong):
        await bridge.store.change(writing(a="1"))
    with pytest.raises(RefusedError, match=wrong):
        await bridge.topics.try_topic(bridge.definition)
    assert (await bridge.topics.settings_of([bridge.name]))[bridge.name]["cleanup.policy"] == policy
    assert await bridge.topics.partitions_in(bridge.name) == partitions
    assert await bridge.reads() == {}


@every_kafka
async def test_whether_the_topic_could_be_made(bridge, differs):
    await bridge.topics.try_topic(bridge.definition)
    assert not await bridge.topics.partitions_in(bridge.name)
    await bridge.store.open()
    await bridge.topics.try_topic(bridge.definition)
    if not differs and bridge.broker.kind == "kafka":
        impossible = control_definition(unique("bridge"), 3)
        with pytest.raises(RefusedError, match=r"create it by hand: kafka-topics.sh --create .*--config cleanup.policy=compact"):
            await bridge.another(impossible).open()


@with_settings
async def test_what_another_program_wrote_is_there_by_its_key_and_a_null_ends_a_key(bridge, broker):
    await bridge.store.change(writing(a="1", b="1"))
    produce(broker, Partition(bridge.name, 0), [(b"a", None), (b"\xff", b"y")])
    await bridge.until_read({"b": b"1", "\N{REPLACEMENT CHARACTER}": b"y"})


@with_settings
async def test_a_broker_that_is_away_is_told_in_time(bridge, broker, request, monkeypatch):
    await bridge.store.change(writing(a="1"))
    with broker_away(broker, request), monkeypatch.context() as patched:
        patched.setattr(control, "ENDS_S", 2.0)
        patched.setattr(control, "INITIALISE_S", 2.0)
        began_at = time.monotonic()
        with pytest.raises(UnavailableError):
            await bridge.store.read()
        with pytest.raises(UnavailableError):
            await bridge.store.change(writing(a="2"))
        assert time.monotonic() - began_at < 60.0
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            assert await bridge.store.change(writing(b="1")) == {"a": b"1", "b": b"1"}
            break
        except UnavailableError:
            assert time.monotonic() < deadline


@only_kafka
async def test_a_topic_that_was_removed_is_told(bridge, broker, monkeypatch):
    monkeypatch.setattr(control, "ENDS_S", 3.0)
    await bridge.store.change(writing(a="1"))
    await bridge.until_read({"a": b"1"}, bridge.store)
    delete_topic(broker.bootstrap_servers, bridge.name)
    with pytest.raises(RefusedError, match="it is not there any more as it was read, and with it the directions of the routes"):
        await bridge.store.change(writing(a="2"))
    with pytest.raises(UnavailableError, match="has not told the end of partition 0"):
        await bridge.store.read()
    create(broker, bridge.name, 1, bridge.definition.settings)
    wait_until(lambda: bridge.name in all_topics(broker), "the topic anew", SECONDS)
    with pytest.raises(RefusedError, match="it is not there any more as it was read"):
        await bridge.store.read()
    assert await bridge.reads() == {}


def all_topics(broker: Broker) -> Mapping[str, object]:
    consumer = broker.consumer(unique("all"))
    try:
        topics: Mapping[str, object] = consumer.list_topics(timeout=SECONDS).topics
        return topics
    finally:
        consumer.close()


@every_kafka
async def test_a_change_that_is_given_up_leaves_nothing_behind(bridge):
    await bridge.store.open()
    begun = asyncio.Event()
    write = control._Attempt.write

    async def never(_attempt: control._Attempt, _values: Mapping[str, bytes]) -> None:
        begun.set()
        await asyncio.Event().wait()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(control._Attempt, "write", never)
        change = asyncio.get_running_loop().create_task(bridge.store.change(writing(a="1")))
        await begun.wait()
        change.cancel()
        with pytest.raises(asyncio.CancelledError):
            await change
    assert control._Attempt.write is write
    assert await bridge.store.change(writing(b="1")) == {"b": b"1"}
