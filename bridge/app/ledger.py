"""What was resolved, on its way into the ledger. Nothing is committed that is not there."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence

from bridge.app.telemetry import Sample, Telemetry
from bridge.core.delivery.requests import Resolution
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.proof.ledger_entries import Resolved, ResolvedAs
from bridge.core.proof.ledger_floors import LedgerFloors
from bridge.core.proof.noted_entries import NotedEntries, SlotMessage, messages_of
from bridge.core.records import Partition
from bridge.ports import Ledger

CHUNK_RECORDS = 8000
"""So many Kafka records are put into messages at once; the event loop stands still for some milliseconds meanwhile."""
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
        self._slots = slots
        self._telemetry = telemetry
        self._noted = NotedEntries()
        self._unwritten = 0
        self._writing: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._room.set()
        self._ready = asyncio.Event()
        self._task: Callable[[Coroutine[None, None, None]], asyncio.Task[None]] | None = None
        self.floors = LedgerFloors()
        self.trouble: str | None = None

    # -- what is said

    def stored(self, stream: str, resolution: Resolution) -> None:
        """Rows that the stream has confirmed."""
        before = self._noted.records
        self._noted.stored(stream, resolution.stored, resolution.shard_ids, resolution.sequence_numbers)
        self._count(self._noted.records - before)

    def resolved(self, partition: Partition, resolved_as: ResolvedAs, reason: str, offsets: Sequence[int]) -> None:
        """Offsets that were resolved without a record in Kinesis."""
        self._noted.add(Resolved(partition, resolved_as, reason, offsets))
        self._count(len(offsets))

    def _count(self, records: int) -> None:
        self._unwritten += records
        if self._noted.records >= CHUNK_RECORDS:
            self._write_chunk()
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
        if self._noted.records:
            self._write_chunk()
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
                self.floors.know_ends(await ask())
                self._note(None)
                self._ready.set()
                ask = self.port.ends
                await asyncio.sleep(ENDS_S)
            except (UnavailableError, RefusedError) as error:
                self._note(str(error))
                await asyncio.sleep(RETRY_S)

    def _write_chunk(self) -> None:
        records = self._noted.records
        messages = messages_of(self._noted.take(), self._slots)
        if self._task is None:
            raise RuntimeError("the ledger line is not running")
        writing = self._task(self._write(messages, records))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    async def _write(self, messages: Sequence[SlotMessage], records: int) -> None:
        """Tries until Kafka has taken them: an entry is a fact, and says the same when it is there twice."""
        number = self.floors.begin(messages)
        while True:
            try:
                offsets = await self.port.write([(message.slot, message.value) for message in messages])
                break
            except (UnavailableError, RefusedError) as error:
                self._note(str(error))
            await asyncio.sleep(RETRY_S)
        self._note(None)
        self.floors.written(number, messages, offsets)
        self._telemetry.count("bridge_ledger_bytes_total", sum(len(message.value) for message in messages))
        self._telemetry.count("bridge_ledger_records_total", records)
        self._unwritten -= records
        if self._unwritten <= UNWRITTEN_RECORDS_MAX:
            self._room.set()

    def _note(self, problem: str | None) -> None:
        if problem != self.trouble:
            if problem is None:
                self._telemetry.log("info", "ledger_recovered")
            else:
                self._telemetry.log("error", "ledger_trouble", problem=problem)
        self.trouble = problem
