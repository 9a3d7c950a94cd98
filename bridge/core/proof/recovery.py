"""What became of attempts whose outcome is not known, from what the shards hold and what the ledger says.

By mark: exact, record by record. Without marks: by partition key and digest, lane by lane from its first row on, among the
records that nobody claims. Two mistakes are possible and both are excluded: to take a record for ours that is somebody else's
(then ours would be lost), and to take ours for not written (then it would be written twice).

- A record is taken for ours only when every attempt that began before it arrived, of any other partition that feeds the stream,
  has its outcome or its doubt in the ledger (`known_to_ms`), and was read there.
- Where lanes of several partitions may have written it, all of them are assigned together (see `assignment`), once everything was
  read that they may have written. What falls to us is claimed in the ledger first: of all claims for a record the first counts.
  So is what falls to rows of an owner before: it may have been cut off from Kafka, and what it knows may come into the ledger at
  any time.
- A row was not written only when a read that began after its last moment has reached the tip and found nothing, where every way
  of assigning was followed, and no record like it belongs to a row that has another one: its owner has told too late then what
  somebody else had claimed.
- What cannot be told so until `deadline_ms` is to be sent again, and counted.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import inf

from bridge.core.proof.assignment import NOBODY, AlikeRecord, LaneRow, assign
from bridge.core.proof.ledger_index import Doubt, LedgerIndex, Origin, Place
from bridge.core.proof.matching import Evidence
from bridge.core.proof.verdicts import ABSENT, UNSETTLED, WAIT, Expected, Known, Settled, Verdict
from bridge.core.records import Partition


def settle(expected: Sequence[Expected], evidence: Sequence[Evidence], known: Known) -> list[list[Verdict]]:
    """One verdict for each row, of partitions that feed one stream.

    `evidence` holds every shard read so far, parents before their children, and of a child nothing before its parents were read
    to their end. A row with a verdict other than WAIT or CLAIM should not be asked about again.
    """
    verdicts = [[WAIT] * len(rows) for rows in expected]
    _judge_marked(expected, evidence, known, verdicts)
    for key in _keys(expected, evidence, known, verdicts).values():
        key.judge(known, verdicts)
    return verdicts


def needed_since_ms(expected: Sequence[Expected], index: LedgerIndex) -> float:
    """From when on shards and ledger have to be read for `settle` (see `Known`): the first moment of our rows, and of what others
    have in doubt with the same partition keys. Where that is earlier than what was read, read again from there."""
    keys = {hashed for rows in expected if not rows.is_marked for hashed in rows.key_hashes}
    streams = {rows.stream for rows in expected}
    theirs = (doubt.not_before_ms for stream in streams for doubt in index.doubts_of(stream) if doubt.key_hash in keys)
    return min(chain((first_ms for rows in expected for first_ms in rows.not_before_ms), theirs), default=inf)


def digests_to_watch(expected: Sequence[Expected], evidence: Sequence[Evidence], index: LedgerIndex) -> set[int]:
    """The digests that the index has to watch for `settle`. Where there are new ones, read the ledger again with all of them.

    Of keys that nobody else has in doubt only our rows' own; else those of all lanes, and of what the shards hold with such a
    key: which of it is claimed tells where a lane goes on.
    """
    ours = [rows for rows in expected if not rows.is_marked]
    origins, keys = _origins(expected), {hashed for rows in ours for hashed in rows.key_hashes}
    digests = {digest for rows in ours for digest in rows.digests}
    contested = set()
    for doubt in (doubt for stream in {rows.stream for rows in ours} for doubt in index.doubts_of(stream)):
        if doubt.key_hash in keys and doubt.origin not in origins:
            contested.add(doubt.key_hash)
            digests.add(doubt.digest)
    for shard in evidence if contested else ():
        columns = zip(shard.key_hashes, shard.digests, shard.marks, strict=True)
        digests.update(digest for hashed, digest, mark in columns if mark is None and hashed in contested)
    return digests


def _judge_marked(
    expected: Sequence[Expected], evidence: Sequence[Evidence], known: Known, verdicts: list[list[Verdict]]
) -> None:
    """Rows with marks: the first record with a row's coordinates is its."""
    wanted = {rows.partition for rows in expected if rows.is_marked}
    found: dict[Origin, Place] = {}
    for shard in evidence if wanted else ():
        for number, mark in zip(shard.sequence_numbers, shard.marks, strict=True):
            if mark is not None and mark.partition in wanted:
                for sub, offset in enumerate(mark.offsets):
                    found.setdefault(Origin(mark.partition, offset), Place(shard.shard, number, sub))
    for rows, verdicts_of in zip(expected, verdicts, strict=True):
        for row, offset in enumerate(rows.offsets if rows.is_marked else ()):
            origin = Origin(rows.partition, offset)
            place = known.index.place_of(origin) or found.get(origin)
            if place is not None:
                verdicts_of[row] = Verdict(Settled.LANDED, place)
            elif known.read_to_ms > rows.until_ms[row]:
                verdicts_of[row] = ABSENT


@dataclass(slots=True)
class _Row:
    """A row without a known place; of ours it has a place among the verdicts. `is_overtaken`: a later row of its lane has a known
    place, so it was written."""

    alike: LaneRow
    until_ms: float
    verdict_at: tuple[int, int] | None = None
    is_overtaken: bool = False


@dataclass(slots=True)
class _Lane:
    """Rows of a lane without a known place."""

    is_ours: bool
    is_inherited: bool = False
    rows: list[_Row] = field(default_factory=list)

    @property
    def is_contested(self) -> bool:
        """Whether others may take its records, or have told whose they are."""
        return self.is_inherited or not self.is_ours


@dataclass(slots=True)
class _Key:
    """The rows and records of one partition key. Lanes are named by partition and, where each row is one, offset."""

    lanes: dict[tuple[Partition, int], _Lane] = field(default_factory=dict)
    records: list[AlikeRecord] = field(default_factory=list)
    places: dict[int, Place] = field(default_factory=dict)
    """By position, of records that nobody claims."""
    spare: list[AlikeRecord] = field(default_factory=list)
    """Records of rows that have another one already."""
    claimed: dict[Origin, tuple[int, Place]] = field(default_factory=dict)
    """Of the others, whose they are: position and place."""
    last_claimed: dict[Partition, tuple[list[int], list[int]]] = field(default_factory=dict)
    """For each partition, offsets of such rows, ascending, and the highest position up to each."""

    def sort_claimed(self) -> None:
        """When `claimed` is complete."""
        for origin in sorted(self.claimed):
            offsets, positions = self.last_claimed.setdefault(origin.partition, ([], []))
            offsets.append(origin.offset)
            positions.append(max(self.claimed[origin][0], positions[-1] if positions else -1))

    def after(self, origin: Origin) -> int:
        """The position of the last record that a lower offset of the partition has."""
        offsets, positions = self.last_claimed.get(origin.partition, ([], []))
        below = bisect_left(offsets, origin.offset)
        return positions[below - 1] if below else -1

    def judge(self, known: Known, verdicts: list[list[Verdict]]) -> None:
        """Fills in the verdicts of our rows."""
        lanes = [self.lanes[name] for name in sorted(self.lanes) if self.lanes[name].rows]
        if not any(lane.is_ours for lane in lanes):
            return
        last_ms = max(row.alike.last_ms for lane in lanes for row in lane.rows)
        records = [record for record in self.records if record.arrival_ms <= last_ms]
        records_of: list[list[AlikeRecord]] = [[] for _ in lanes]
        assigned = assign([[row.alike for row in lane.rows] for lane in lanes], records)
        doubtful: dict[int, list[int]] = {}
        for record, lane in zip(records, assigned.lanes, strict=True):
            if lane != NOBODY:
                records_of[lane].append(record)
        for record in (*self.spare, *(() if assigned.is_exact else records)):
            doubtful.setdefault(record.digest, []).append(record.arrival_ms)
        is_read = known.read_to_ms > max(row.until_ms for lane in lanes for row in lane.rows)
        is_known = known.known_to_ms >= max((record.arrival_ms for record in records), default=0) + known.margin_ms
        is_contested = any(lane.is_contested for lane in lanes)
        is_decided = len(lanes) == 1 or (is_read and is_known)
        judge = _Judge(known, is_decided, is_contested, self.places, doubtful)
        for lane_rows, found in zip(lanes, records_of, strict=True):
            if lane_rows.is_ours:
                judge.lane(lane_rows, found, verdicts)


@dataclass(slots=True, frozen=True)
class _Judge:
    """What decides between the verdicts on the rows of a key."""

    known: Known
    is_decided: bool
    """Nothing can come any more that would assign the records otherwise."""
    is_contested: bool
    """See `_Lane`."""
    places: Mapping[int, Place]
    doubtful: Mapping[int, Sequence[int]]
    """Arrivals, by digest, of records of rows that have another one; of all where not every way of assigning was followed."""

    def lane(self, lane: _Lane, records: Sequence[AlikeRecord], verdicts: list[list[Verdict]]) -> None:
        """The rows of one lane, whose first ones have these records."""
        before: Verdict | None = None
        is_doubtful = any(self._is_doubtful(row) for row in lane.rows[len(records) :])
        for at, row in enumerate(lane.rows):
            verdict = self._verdict(row, records[at] if at < len(records) else None, is_doubtful)
            if before in (WAIT, UNSETTLED, ABSENT):
                verdict = before  # what stands behind was attempted later, or never
            before = verdict
            if row.verdict_at is not None:
                batch, place = row.verdict_at
                verdicts[batch][place] = verdict

    def _is_doubtful(self, row: _Row) -> bool:
        """Whether one of those records may be this row's."""
        return any(
            row.alike.first_ms <= arrival_ms <= row.alike.last_ms for arrival_ms in self.doubtful.get(row.alike.digest, ())
        )

    def _verdict(self, row: _Row, record: AlikeRecord | None, is_doubtful: bool) -> Verdict:
        known = self.known
        is_over = known.read_to_ms > row.until_ms
        give_up = UNSETTLED if is_over and known.read_to_ms >= known.deadline_ms else WAIT
        if not self.is_decided:
            return give_up
        if record is None:
            if not is_over:
                return WAIT
            return UNSETTLED if row.is_overtaken or is_doubtful else ABSENT
        if known.known_to_ms < record.arrival_ms + known.margin_ms:
            return give_up
        return Verdict(Settled.CLAIM if self.is_contested else Settled.LANDED, self.places[record.position])


def _keys(
    expected: Sequence[Expected], evidence: Sequence[Evidence], known: Known, verdicts: list[list[Verdict]]
) -> dict[int, _Key]:
    """By hash, the keys of our rows without marks. Rows whose place is known get their verdicts."""
    keys = {hashed: _Key() for rows in expected if not rows.is_marked for hashed in rows.key_hashes}
    position = 0
    for shard in evidence:
        columns = zip(shard.sequence_numbers, shard.arrivals_ms, shard.key_hashes, shard.digests, shard.marks, strict=True)
        for number, arrival_ms, hashed, digest, mark in columns:
            if mark is None and hashed in keys:
                _add_record(keys[hashed], AlikeRecord(position, arrival_ms, digest), Place(shard.shard, number, 0), known)
                position += 1
    for key in keys.values():
        key.sort_claimed()
    for batch, rows in enumerate(expected):
        if not rows.is_marked:
            _add_ours(keys, rows, batch, known, verdicts[batch])
    ours = _origins(expected)
    for doubt in sorted(doubt for stream in {rows.stream for rows in expected} for doubt in known.index.doubts_of(stream)):
        if doubt.key_hash in keys and doubt.origin not in ours:
            _add_theirs(keys[doubt.key_hash], doubt, known)
    return keys


def _origins(expected: Sequence[Expected]) -> set[Origin]:
    """Of the rows without marks. Others of the same partition may be in doubt beside them, and are asked about later."""
    return {Origin(rows.partition, offset) for rows in expected if not rows.is_marked for offset in rows.offsets}


def _add_record(key: _Key, record: AlikeRecord, place: Place, known: Known) -> None:
    entry = known.index.claimed_by(place.shard, place.sequence_number)
    if entry is None:
        key.records.append(record)
        key.places[record.position] = place
    else:
        if known.index.is_second(entry):
            key.spare.append(record)
        key.claimed.setdefault(Origin(entry.partition, entry.offsets[0]), (record.position, place))


def _add_ours(keys: Mapping[int, _Key], rows: Expected, batch: int, known: Known, verdicts: list[Verdict]) -> None:
    columns = zip(rows.offsets, rows.key_hashes, rows.digests, rows.not_before_ms, rows.until_ms, strict=True)
    for row, (offset, hashed, digest, not_before_ms, until_ms) in enumerate(columns):
        key, origin = keys[hashed], Origin(rows.partition, offset)
        lane = key.lanes.setdefault(
            (rows.partition, 0 if rows.is_ordered else offset), _Lane(is_ours=True, is_inherited=rows.is_inherited)
        )
        place = key.claimed[origin][1] if origin in key.claimed else None
        if place is None and rows.is_inherited:  # our own is among what was read: else it is of a topic of that name before
            place = known.index.place_of(origin)
        if place is not None:
            verdicts[row] = Verdict(Settled.LANDED, place)
            for overtaken in lane.rows:
                overtaken.is_overtaken = True
        else:
            after = key.after(origin) if rows.is_ordered else -1
            alike = LaneRow(digest, not_before_ms - known.margin_ms, until_ms + known.margin_ms, after)
            lane.rows.append(_Row(alike, until_ms, (batch, row)))


def _add_theirs(key: _Key, doubt: Doubt, known: Known) -> None:
    partition, offset = doubt.origin
    if doubt.origin not in key.claimed:
        lane = key.lanes.setdefault((partition, 0 if doubt.is_ordered else offset), _Lane(is_ours=False))
        window = (doubt.not_before_ms - known.margin_ms, doubt.until_ms + known.margin_ms)
        after = key.after(doubt.origin) if doubt.is_ordered else -1
        lane.rows.append(_Row(LaneRow(doubt.digest, *window, after), doubt.until_ms))
