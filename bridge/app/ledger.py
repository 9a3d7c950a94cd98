"""What was resolved, on its way into the ledger. Nothing is committed that is not there."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence

from bridge.app.telemetry import Sample, Telemetry
from bridge.core.delivery.requests import Resolution
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.proof.ledger_entries import Group, Resolved, ResolvedAs
from bridge.core.proof.ledger_floors import LedgerFloors
from bridge.core.proof.noted_entries import NotedEntries, SlotMessage
from bridge.core.records import Partition
from bridge.ports import Ledger

CHUNK_RECORDS = 4000
"""So many Kafka records of a slot are put into a message before the next commit asks for it; the event loop stands still for
some milliseconds meanwhile."""
UNWRITTEN_RECORDS_MAX = 200_000
"""Nothing is sent while more waits for Kafka's confirmation."""
FLUSH_S = 10.0
RETRY_S = 1.0
ENDS_S = 10.0
"""How often Kafka is asked for the ends of all slots, so that what a new owner has to read stays short."""


class LedgerLine:
    """Takes entries as they come, writes them in chunks, and knows from where on a successor has to read."""

    def __init__(self, ledger: Ledger, slots: int, telemetry: Telemetry) -> None:
        self.port = ledger
        self._telemetry = telemetry
        self._noted = NotedEntries(slots)
        self._unwritten = 0
        self._writing: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._room.set()
        self._ready = asyncio.Event()
        self._task: Callable[[Coroutine[None, None, None]], asyncio.Task[None]] | None = None
        self.floors = LedgerFloors()
        self.trouble: str | None = None
        self.on_ends: Callable[[Mapping[int, int]], None] = lambda ends: None
        """The ends of all slots as they were just now."""

    # -- what is said

    def stored(self, stream: str, resolution: Resolution) -> None:
        """Rows that the stream has confirmed."""
        self._count(self._noted.stored(stream, resolution.stored, resolution.shard_ids, resolution.sequence_numbers))

    def resolved(self, partition: Partition, resolved_as: ResolvedAs, reason: str, offsets: Sequence[int]) -> None:
        """Offsets that were resolved without a record in Kinesis."""
        self._noted.add(Resolved(partition, resolved_as, reason, offsets))
        self._count(len(offsets))

    def say(self, group: Group) -> None:
        """What is found out in another way; at most `CHUNK_RECORDS` rows."""
        self._noted.add(group)
        self._count(len(group.offsets))

    async def write_again(self, groups: Iterable[Group]) -> None:
        """What the ledger says already; returns when Kafka has confirmed it once more. Raises UnavailableError as `flush`."""
        for group in groups:
            self.say(group)
        await self.flush()

    def _count(self, records: int) -> None:
        self._unwritten += records
        for slot in self._noted.slots(CHUNK_RECORDS):
            self._write_slot(slot)
        if self._unwritten > UNWRITTEN_RECORDS_MAX:
            self._room.clear()

    # -- what others wait for

    async def ready(self) -> None:
        """Returns when the topic is there and as it has to be."""
        await self._ready.wait()

    async def room(self) -> None:
        """Returns when more may be sent."""
        await self._room.wait()

    async def flush(self, timeout_s: float = FLUSH_S) -> None:
        """Returns when everything that was said before is written. Raises UnavailableError when that takes too long."""
        for slot in self._noted.slots():
            if slot in self._noted.slots():  # it may have been written while we waited
                self._write_slot(slot)
                await asyncio.sleep(0)
        if self._writing:
            _, late = await asyncio.wait(self._writing, timeout=timeout_s)
            if late:
                raise UnavailableError(self.trouble or f"the ledger was not confirmed within {timeout_s:g} s")

    async def flushed(self, timeout_s: float) -> bool:
        """`flush`, where who asks goes on in any case. `problems` tells why not."""
        try:
            await self.flush(timeout_s)
        except UnavailableError:
            return False
        return True

    def problems(self) -> list[str]:
        """Why nothing can be written now, in a sentence; empty where it can."""
        return [f"ledger: {self.trouble}"] if self.trouble else []

    def samples(self) -> list[Sample]:
        """Gauges."""
        return [("bridge_ledger_unwritten_records", (), self._unwritten)]

    # -- the work

    async def run(self, task: Callable[[Coroutine[None, None, None]], asyncio.Task[None]]) -> None:
        """Finds the topic, then asks for its ends now and then; works until cancelled. `task` starts further work."""
        self._task = task
        ask = self.port.open
        while True:
            try:
                ends = await ask()
                self.floors.know_ends(ends)
                self.on_ends(ends)
                self._note(None)
                self._ready.set()
                ask = self.port.ends
                await asyncio.sleep(ENDS_S)
            except (UnavailableError, RefusedError) as error:
                self._note(str(error))
                await asyncio.sleep(RETRY_S)

    def _write_slot(self, slot: int) -> None:
        if self._task is None:
            raise RuntimeError("the ledger line is not running")
        writing = self._task(self._write(self._noted.take(slot)))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    async def _write(self, message: SlotMessage) -> None:
        """Tries until Kafka has taken it: an entry is a fact, and says the same when it is there twice."""
        number = self.floors.begin(message)
        while True:
            try:
                (offset,) = await self.port.write([(message.slot, message.value)])
                break
            except (UnavailableError, RefusedError) as error:
                self._note(str(error))
            await asyncio.sleep(RETRY_S)
        self._note(None)
        self.floors.written(number, message, offset)
        self._telemetry.count("bridge_ledger_bytes_total", len(message.value))
        self._telemetry.count("bridge_ledger_records_total", message.records)
        self._unwritten -= message.records
        if self._unwritten <= UNWRITTEN_RECORDS_MAX:
            self._room.set()

    def _note(self, problem: str | None) -> None:
        if problem != self.trouble:
            if problem is None:
                self._telemetry.log("info", "ledger_recovered")
            else:
                self._telemetry.log("error", "ledger_trouble", problem=problem)
        self.trouble = problem
