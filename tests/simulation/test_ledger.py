"""The ledger's topic in virtual time: what was confirmed is read where it was said to stand, whatever befalls the broker."""

import asyncio
from functools import partial

import pytest

from bridge.adapters.kafka.ledger import WRITE_S, KafkaLedger
from bridge.adapters.kafka.topics import KafkaTopics
from bridge.core.errors import UnavailableError
from bridge.core.topics import ledger_definition
from tests.simulation.kafka.clients import SimKafkaClients
from tests.simulation.kafka.cluster import Cluster
from tests.simulation.process import Process
from tests.simulation.world import World

SLOTS = 3
ROUNDS = 25
END_S = 900.0


class Run:
    """Two processes write to the same slots, and each reads them to their ends now and then."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.chance = self.world.chance("ledger")
        self.cluster = Cluster(lambda: self.world.now, self.world.chance("kafka"), lambda: self.world.wall() * 1000)
        self.cluster.timeline.on_earlier = self._advance_at
        self.confirmed: dict[tuple[int, int], bytes] = {}
        self.failures = 0
        self.slowest_s = 0.0
        self.processes = [self._start(name) for name in ("a", "b")]

    def _advance_at(self, when: float) -> None:
        self.world.call_at(when, partial(self.cluster.advance, None))

    def _start(self, name: str) -> Process:
        process = Process(self.world, name)
        process.main = process.loop.create_task(self._work(process))
        return process

    async def _work(self, process: Process) -> None:
        clients = SimKafkaClients({"client.id": process.name}, self.cluster, process)
        definition = ledger_definition("bridge", SLOTS, 8 * 86_400.0, -1)
        ledger = KafkaLedger(definition, clients, KafkaTopics(clients), process.threading)
        await self._until_done(ledger.open)
        for n in range(ROUNDS):
            await self._until_done(partial(self._write, ledger, process, n))
            if n % 5 == 4:
                await self._until_done(partial(self._read, ledger))
            await asyncio.sleep(self.chance.random())
        await ledger.close()

    async def _until_done(self, act: object) -> None:
        while True:
            try:
                await act()  # type: ignore[operator]
            except UnavailableError:
                self.failures += 1
                await asyncio.sleep(1.0)
            else:
                return

    async def _write(self, ledger: KafkaLedger, process: Process, n: int) -> None:
        messages = [(slot, f"{process.name} {n} {slot}".encode()) for slot in range(SLOTS)]
        began = asyncio.get_running_loop().time()
        try:
            offsets = await ledger.write(messages)
        finally:
            if process.runs():
                self.slowest_s = max(self.slowest_s, asyncio.get_running_loop().time() - began)
        for (slot, value), offset in zip(messages, offsets, strict=True):
            assert (slot, offset) not in self.confirmed
            self.confirmed[slot, offset] = value

    async def _read(self, ledger: KafkaLedger) -> None:
        before = dict(self.confirmed)
        ends = await ledger.ends()
        found: dict[tuple[int, int], bytes] = {}
        last = dict.fromkeys(range(SLOTS), -1)
        async for batch in ledger.read(dict.fromkeys(range(SLOTS), 0), ends):
            for slot, offset, value in batch:
                assert last[slot] < offset < ends[slot]
                last[slot], found[slot, offset] = offset, value
        assert {place: found.get(place) for place in before} == before
        assert len(found) == sum(ends.values())

    def done(self) -> bool:
        return all(process.main is not None and process.main.done() for process in self.processes)

    def end(self) -> None:
        for process in self.processes:
            assert process.main is None or not process.main.done() or process.main.exception() is None
            process.bury()


@pytest.mark.parametrize("seed", range(12))
def test_what_was_confirmed_is_read_where_it_was_said_to_stand(seed):
    run = Run(seed)
    chance = run.world.chance("faults")
    run.cluster.faults.unanswered_produces = run.cluster.faults.small_fetches = run.cluster.faults.short_batches = 0.1
    run.cluster.faults.slow_fetches = 0.05
    for _ in range(3):
        run.world.call_at(chance.uniform(0.0, 20.0), partial(run.processes[0].freeze, chance.uniform(1.0, 20.0)))
        run.world.call_at(chance.uniform(0.0, 20.0), lambda: run.cluster.broker_down(run.world.now + chance.uniform(1.0, 15.0)))
    try:
        assert run.world.run_until(run.done, END_S)
        assert [process.failures for process in run.processes] == [[], []]
        assert len(run.confirmed) == 2 * ROUNDS * SLOTS
    finally:
        run.end()


def test_an_outage_is_told_within_the_time_of_a_write():
    run = Run(100)
    run.world.call_at(5.0, lambda: run.cluster.broker_down(run.world.now + 60.0))
    try:
        assert run.world.run_until(run.done, END_S)
        assert run.failures > 0
        assert run.slowest_s <= WRITE_S + 0.1
    finally:
        run.end()
