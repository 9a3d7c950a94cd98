"""One round of reading a stream back: for the rows that were asked about when it began, until each has its verdict."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from math import inf
from typing import NamedTuple

from bridge.app.asked_rows import GROUP_ROWS_MAX, Asked, rows_of
from bridge.app.feeders import Feeders
from bridge.app.ledger import LedgerLine
from bridge.app.ledger_view import LedgerEnds, LedgerView
from bridge.app.service_time import ServiceTime
from bridge.app.shard_pass import ShardPass
from bridge.core.proof.ledger_entries import ResolvedAs, Stored
from bridge.core.proof.ledger_index import LedgerIndex, Origin, Place
from bridge.core.proof.matching import Evidence, Wanted
from bridge.core.proof.recovery import digests_to_watch, needed_since_ms, settle
from bridge.core.proof.verdicts import Expected, Known, Settled, Verdict
from bridge.core.records import Partition
from bridge.ports import ShardReader

ROWS_AT_ONCE_MAX = 2000
"""More are judged in a thread: 50 000 take 0.7 s."""
RECORDS_MAX = 100
"""Kinesis records with marks in one group: each may hold hundreds of rows."""
CLAIMS_AT_ONCE_MAX = 20
"""So often claims are written and read back before the shards are read again."""
PATIENCE_TAKE_OVERS = 2.0
"""So many session timeouts and leases after a row's last moment it is waited for others, whose records may be the same, to be
taken over: who takes them over may die too."""


class RecoveryTerms(NamedTuple):
    """Of the configuration: name of the bridge and of its group; milliseconds."""

    bridge: str
    group: str
    settle_ms: float
    margin_ms: float
    lease_ms: float
    session_ms: float
    ledger_retention_ms: float

    @property
    def patience_ms(self) -> float:
        """How long after a row's last moment it is not given up."""
        return PATIENCE_TAKE_OVERS * (self.session_ms + self.lease_ms) + self.settle_ms


@dataclass(slots=True, frozen=True)
class Sources:
    """Where the truth is looked for."""

    shards: ShardReader
    ledger: LedgerLine
    ends: LedgerEnds
    feeders: Feeders
    time: ServiceTime
    terms: RecoveryTerms


class Round:
    """`step` goes on where the one before ended, also where that raised something."""

    def __init__(self, sources: Sources, stream: str, asked: Sequence[Asked]) -> None:
        self.asked = asked
        self._sources = sources
        self._stream = stream
        self._terms = sources.terms
        self._unmarked = [a.expected for a in asked if not a.expected.is_marked]
        self._key_hashes = frozenset(hashed for rows in self._unmarked for hashed in rows.key_hashes)
        self._deadline_ms = max([sources.time.now().latest_ms, *(max(a.expected.until_ms, default=0) for a in asked)])
        self._deadline_ms += self._terms.patience_ms
        floors: dict[Partition, int] = {}
        for rows in self._unmarked:
            floors[rows.partition] = min(rows.offsets[0], floors.get(rows.partition, rows.offsets[0]))
        self._view = LedgerView(sources.ledger, sources.ends, stream, floors, self._key_hashes)
        self._since_ms = needed_since_ms([a.expected for a in asked], LedgerIndex(0))
        self._shards = self._new_pass()
        self._claimed: set[tuple[Origin, Place]] = set()

    @property
    def is_over(self) -> bool:
        return all(asked.is_over for asked in self.asked)

    def expired(self) -> list[Asked]:
        """Those whose records the stream may not hold any more, if there were any."""
        if self._shards.retention_ms is None:
            return []
        kept_since_ms = self._sources.time.now().latest_ms - self._shards.retention_ms + self._terms.margin_ms
        return [a for a in self.asked if any(a.expected.not_before_ms[row] < kept_since_ms for row in a.open_rows)]

    async def look(self) -> None:
        """Asks for the shards, before anything of them is read. Raises UnavailableError, RefusedError."""
        if self._shards.retention_ms is None:
            await self._shards.look()

    async def step(self) -> None:
        """Reads on and tells what is settled. Raises UnavailableError, RefusedError, ValueError, LedgerIndexFullError."""
        await self._tell()
        await self._shards.to_tip()
        for _ in range(CLAIMS_AT_ONCE_MAX):
            asked = [a for a in self.asked if not a.is_over]
            rows: list[Sequence[int]] = [a.left() for a in asked]
            expected = [rows_of(a.expected, of_asked) for a, of_asked in zip(asked, rows, strict=True)]
            known = await self._known(expected)
            if known is None:
                return
            if any(a.is_forgotten for a in asked):
                continue  # what it has in doubt is somebody else's by now, and is to be judged so
            rows = [self._judgeable(a, of_asked, known.index) for a, of_asked in zip(asked, rows, strict=True)]
            expected = [rows_of(a.expected, of_asked) for a, of_asked in zip(asked, rows, strict=True)]
            verdicts = await self._settle(expected, known)
            claims: list[Stored] = []
            for a, of_asked, of_rows in zip(asked, rows, verdicts, strict=True):
                self._take(a, of_asked, of_rows)
                claims += self._claims(a, of_asked, of_rows)
            for claim in claims:  # before anything can fail: each is said once
                self._sources.ledger.say(claim)
            await self._tell()
            if not claims:
                return

    async def close(self) -> None:
        """Ends all reading."""
        await self._shards.close()

    def _new_pass(self) -> ShardPass:
        marked = frozenset(a.expected.partition for a in self.asked if a.expected.is_marked)
        untils = [max(a.expected.until_ms, default=0) for a in self.asked]
        wanted = Wanted(self._terms.bridge, marked, self._key_hashes, max(untils, default=0) + self._terms.margin_ms)
        since_ms = self._since_ms - self._terms.margin_ms
        return ShardPass(self._sources.shards, self._sources.time, self._stream, wanted, since_ms)

    async def _known(self, expected: Sequence[Expected]) -> Known | None:
        """None: the shards have to be read again, from an earlier moment."""
        read_to_ms, margin_ms = self._shards.read_to_ms, self._terms.margin_ms
        unmarked = [rows for rows in expected if not rows.is_marked]
        if not unmarked:
            return Known(LedgerIndex(0), -inf, read_to_ms, self._deadline_ms, margin_ms)
        known_to_ms = await self._sources.feeders.known_to_ms(self._stream)
        evidence, index = self._shards.evidence, self._view.index
        while True:
            since_ms = needed_since_ms(unmarked, index)
            if since_ms < self._since_ms:
                await self._shards.close()
                self._since_ms = since_ms
                self._shards = self._new_pass()
                return None
            since_ms -= self._terms.settle_ms + 2 * margin_ms
            digests = await asyncio.to_thread(digests_to_watch, unmarked, evidence, index)
            index = await self._view.read(since_ms, digests)
            since_ms = needed_since_ms(unmarked, index) - self._terms.settle_ms - 2 * margin_ms
            if self._view.covers(since_ms, await asyncio.to_thread(digests_to_watch, unmarked, evidence, index)):
                return Known(index, known_to_ms, read_to_ms, self._deadline_ms, margin_ms)

    @staticmethod
    def _judgeable(asked: Asked, rows: Sequence[int], index: LedgerIndex) -> Sequence[int]:
        """Without rows that landed before what of the ledger is read: a row without a place would hold up its lane."""
        if asked.expected.is_marked:
            return rows
        partition, offsets, still_open = asked.expected.partition, asked.expected.offsets, set(asked.open_rows)
        return [row for row in rows if row in still_open or index.place_of(Origin(partition, offsets[row])) is not None]

    async def _settle(self, expected: Sequence[Expected], known: Known) -> list[list[Verdict]]:
        evidence: Sequence[Evidence] = self._shards.evidence
        if sum(map(len, expected)) <= ROWS_AT_ONCE_MAX:
            return settle(expected, evidence, known)
        return await asyncio.to_thread(settle, expected, evidence, known)

    # -- what follows from the verdicts

    def _take(self, asked: Asked, rows: Sequence[int], verdicts: Sequence[Verdict]) -> None:
        """What is final goes into the ledger, and is told once that is there."""
        new, expected = asked.judged(rows, verdicts), asked.expected
        landed = [(row, verdict.place) for row, verdict in new if verdict.place is not None]
        for group in self._marked(expected, landed) if expected.is_marked else self._stored(expected, landed, is_claim=False):
            self._sources.ledger.say(group)
        gone = [expected.offsets[row] for row, verdict in new if verdict.settled != Settled.LANDED]
        for first in range(0, len(gone) if not expected.is_marked else 0, GROUP_ROWS_MAX):
            offsets = gone[first : first + GROUP_ROWS_MAX]
            self._sources.ledger.resolved(expected.partition, ResolvedAs.NOT_WRITTEN, "", offsets)

    def _claims(self, asked: Asked, rows: Sequence[int], verdicts: Sequence[Verdict]) -> list[Stored]:
        places: list[tuple[int, Place]] = []
        for row, verdict in zip(rows, verdicts, strict=True):
            if verdict.settled != Settled.CLAIM or verdict.place is None:
                continue
            claim = Origin(asked.expected.partition, asked.expected.offsets[row]), verdict.place
            if claim not in self._claimed:
                self._claimed.add(claim)
                places.append((row, verdict.place))
        return self._stored(asked.expected, places, is_claim=True)

    def _stored(self, expected: Expected, places: Iterable[tuple[int, Place]], is_claim: bool) -> list[Stored]:
        """Entries of rows without marks."""
        groups = []
        by_shard = sorted(places, key=lambda row: (row[1].shard, row[1].sequence_number))
        for shard, of_shard in groupby(by_shard, key=lambda row: row[1].shard):
            rows = list(of_shard)
            for first in range(0, len(rows), GROUP_ROWS_MAX):
                part = rows[first : first + GROUP_ROWS_MAX]
                numbers = [place.sequence_number for _, place in part]
                digests, offsets = ([column[row] for row, _ in part] for column in (expected.digests, expected.offsets))
                groups.append(Stored(shard, expected.partition, numbers, digests, offsets, None, is_claim))
        return groups

    def _marked(self, expected: Expected, places: Iterable[tuple[int, Place]]) -> list[Stored]:
        """Entries of records with marks: each whole, whichever of its rows were asked about."""
        wanted = {(place.shard, place.sequence_number) for _, place in places}
        groups, partition = [], expected.partition
        for evidence in self._shards.evidence if wanted else ():
            columns = zip(evidence.sequence_numbers, evidence.digests, evidence.marks, strict=True)
            found = [(number, digest, mark.offsets) for number, digest, mark in columns if mark and mark.partition == partition]
            found = [row for row in found if (evidence.shard, row[0]) in wanted]
            for first in range(0, len(found), RECORDS_MAX):
                numbers, digests, of_records = zip(*found[first : first + RECORDS_MAX], strict=True)
                offsets, counts = list(chain.from_iterable(of_records)), list(map(len, of_records))
                is_raw = len(offsets) == len(numbers)
                groups.append(Stored(evidence.shard, partition, numbers, digests, offsets, None if is_raw else counts))
        return groups

    async def _tell(self) -> None:
        """Tells what is final, once the ledger has it: who sends a row again may do so only then."""
        await self._sources.ledger.flush()
        for asked in self.asked:
            asked.tell()
