"""Parking in virtual time: what was confirmed is in the topic, whatever befalls the broker and the processes."""

import asyncio
from functools import partial

import pytest

from bridge.adapters.kafka.dead_letters import DeadLetterTopic, KafkaDeadLetters
from bridge.adapters.kafka.topics import KafkaTopics
from bridge.core.delivery.dead_letters import Parked, read_message
from bridge.core.errors import UnavailableError
from bridge.core.records import DeadLetter, Partition
from tests.simulation.kafka.clients import SimKafkaClients
from tests.simulation.kafka.cluster import Cluster
from tests.simulation.process import Process
from tests.simulation.world import World

LETTERS = 60
RETRY_S = 1.0
END_S = 600.0


def letter(offset: int) -> DeadLetter:
    return DeadLetter(Partition("orders", offset % 3), offset, offset, b"k", b"v%d" % offset, [("h", None)], "oversize", "why")


class Run:
    """One process after the other parks the same letters, from the first that is not known as confirmed."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.chance = self.world.chance("dead letters")
        self.cluster = Cluster(lambda: self.world.now, self.world.chance("kafka"), lambda: self.world.wall() * 1000)
        self.cluster.timeline.on_earlier = self._advance_at
        self.cluster.create_topic("orders", 2)
        self.confirmed: set[int] = set()
        self.failures = 0
        self.processes: list[Process] = []
        self.start()

    def _advance_at(self, when: float) -> None:
        self.world.call_at(when, partial(self.cluster.advance, None))

    def start(self) -> None:
        process = Process(self.world, f"p{len(self.processes)}")
        self.processes.append(process)
        process.main = process.loop.create_task(self._park_all(process))

    async def _park_all(self, process: Process) -> None:
        clients = SimKafkaClients({"client.id": process.name}, self.cluster, process)
        topic = DeadLetterTopic("bridge", lambda name: name == "orders")
        writer = KafkaDeadLetters(topic, clients, KafkaTopics(clients), process, process.threading)
        missing = [offset for offset in range(LETTERS) if offset not in self.confirmed]
        for first in range(0, len(missing), 4):
            await self._park(writer, missing[first : first + 4])
            await asyncio.sleep(self.chance.random())
        await writer.close()

    async def _park(self, writer: KafkaDeadLetters, offsets: list[int]) -> None:
        while True:
            try:
                await writer.park([letter(offset) for offset in offsets])
            except UnavailableError:
                self.failures += 1
                await asyncio.sleep(RETRY_S)
            else:
                self.confirmed.update(offsets)
                assert self.stored().keys() >= self.confirmed
                return

    def kill(self) -> None:
        self.processes[-1].abandon()
        self.start()

    def stored(self) -> dict[int, int]:
        """How often each letter is in the topic, as it was."""
        counts: dict[int, int] = {}
        for place in self.cluster.topics.get("bridge.dlq", []):
            for message in self.cluster.logs[place].records():
                found = read_message(message.key(), message.value(), message.headers())
                assert isinstance(found, Parked)
                assert found.letter == letter(found.letter.offset)
                assert place[1] == found.letter.partition.number % 2
                counts[found.letter.offset] = counts.get(found.letter.offset, 0) + 1
        return counts

    def done(self) -> bool:
        main = self.processes[-1].main
        return main is not None and main.done()

    def end(self) -> None:
        for process in self.processes:
            process.bury()


@pytest.mark.parametrize("seed", range(20))
def test_what_was_confirmed_is_in_the_topic_and_nothing_is_missing(seed):
    run = Run(seed)
    chance = run.world.chance("faults")
    for _ in range(3):
        run.world.call_at(chance.uniform(0.0, 30.0), partial(run.processes[0].freeze, chance.uniform(1.0, 20.0)))
        run.world.call_at(chance.uniform(0.0, 40.0), lambda: run.cluster.broker_down(run.world.now + chance.uniform(1.0, 50.0)))
    for _ in range(chance.randint(0, 3)):
        run.world.call_at(chance.uniform(0.0, 30.0), run.kill)
    try:
        assert run.world.run_until(run.done, END_S)
        assert run.processes[-1].main is not None
        run.processes[-1].main.result()
        assert run.stored().keys() == set(range(LETTERS))
        assert [process.failures for process in run.processes] == [[]] * len(run.processes)
    finally:
        run.end()


def test_the_faults_of_these_runs_are_felt():
    failures = 0
    for seed in range(20, 26):
        run = Run(seed)
        run.world.call_at(2.0, lambda run=run: run.cluster.broker_down(run.world.now + 45.0))  # type: ignore[misc]
        try:
            assert run.world.run_until(run.done, END_S)
            failures += run.failures
        finally:
            run.end()
    assert failures > 0
