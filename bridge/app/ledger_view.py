"""What a recovery needs of the ledger, read from a moment on and then followed."""

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from math import inf

from bridge.app.ledger import LedgerLine
from bridge.app.service_time import ServiceTime
from bridge.core.proof.ledger_codec import decode
from bridge.core.proof.ledger_index import LedgerIndex
from bridge.core.records import Partition

ENDS_KEPT = 120
"""Some 20 minutes. What is asked about from before that is looked for by time."""
CLOCKS_APART_MS = 60_000
"""By how much the clocks of Kafka's brokers, by which the ledger's messages are found, may differ from Kinesis's."""
INDEX_ROWS_MAX = 200_000


class LedgerEnds:
    """The ends that the ledger's slots had, and when: all that was written later stands behind them."""

    def __init__(self, ledger: LedgerLine, time: ServiceTime) -> None:
        self._ledger = ledger
        self._time = time
        self._known: deque[tuple[float, Mapping[int, int]]] = deque(maxlen=ENDS_KEPT)
        ledger.on_ends = self._saw

    def _saw(self, ends: Mapping[int, int]) -> None:
        self._known.append((self._time.now().latest_ms, ends))

    async def before(self, moment_ms: float) -> Mapping[int, int]:
        """Offsets at or above which everything stands that was written at this moment, by Kinesis's clock, or later. Raises
        UnavailableError, RefusedError."""
        for latest_ms, ends in reversed(self._known):
            if latest_ms <= moment_ms:
                return ends
        return await self._ledger.port.offsets_at(max(0, int(moment_ms - CLOCKS_APART_MS)))


@dataclass(slots=True)
class LedgerView:
    """An index of one stream, for some partitions."""

    ledger: LedgerLine
    ends: LedgerEnds
    stream: str
    floors: Mapping[Partition, int]
    """The partitions that are followed: their lowest offset that is asked about."""
    key_hashes: Collection[int]
    index: LedgerIndex = field(default_factory=lambda: LedgerIndex(INDEX_ROWS_MAX))
    _digests: set[int] = field(default_factory=set)
    _since_ms: float = inf
    _read_to: Mapping[int, int] = field(default_factory=dict)

    def covers(self, since_ms: float, digests: Iterable[int]) -> bool:
        """Whether what it has read is all that was written since then, and who claims records with these digests."""
        return since_ms >= self._since_ms and self._digests.issuperset(digests)

    async def read(self, since_ms: float, digests: Collection[int]) -> LedgerIndex:
        """The ledger to its end as it is when this is called, with all that was said before. Raises UnavailableError,
        RefusedError, ValueError for what is not readable, LedgerIndexFullError."""
        await self.ledger.flush()
        if not self.covers(since_ms, digests):
            self._since_ms = inf  # nothing, until all of it is read
            begins = await self.ends.before(since_ms)
            self.index = LedgerIndex(INDEX_ROWS_MAX)
            self._digests |= set(digests)
            for partition, floor in self.floors.items():
                self.index.follow(partition, floor)
            self.index.watch(self.stream, self._digests, self.key_hashes)
            self._read_to = begins
            await self._read_on()
            self._since_ms = since_ms
        else:
            await self._read_on()
        return self.index

    async def _read_on(self) -> None:
        ends = await self.ledger.port.ends()
        begins = {slot: self._read_to.get(slot, 0) for slot in ends}
        missing = {slot: begin for slot, begin in begins.items() if begin < ends[slot]}
        if missing:
            read_to = dict(self._read_to)
            async for messages in self.ledger.port.read(missing, ends):
                self.index.add(chain.from_iterable(decode(message.value) for message in messages))
                for message in messages:
                    read_to[message.slot] = message.offset + 1
                    self._read_to = read_to
        self._read_to = ends
