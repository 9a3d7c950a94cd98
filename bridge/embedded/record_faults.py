"""Faults that hit single records of a request, between its decision and its answer.

Refusals change the decision, so what they refuse takes no room of a shard. What is stored wrongly is changed in the shard
after it was stored rightly: it is not traffic, takes no room either, and stands in the plan's log only.
"""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import NamedTuple

import pybase64

from bridge.embedded.fault_kinds import (
    AckedNotStored,
    ByteFlipped,
    Fault,
    ForeignRecord,
    RecordInternalFailure,
    RecordThrottled,
    StoredTwice,
    Swapped,
)
from bridge.embedded.fault_plan import FaultPlan, Injection, Rule
from bridge.embedded.kinesis_errors import KinesisError
from bridge.embedded.put_path import Decision, PutAnswer, PutCall, RecordError, ShardRun, bytes_of, rate_exceeded
from bridge.embedded.shard import Shard
from bridge.embedded.stream import Stream, hash_key

SWAP_REACH = 10_000
"""How many records of the shard are searched for the one before with the same partition key."""

FOREIGN_DATA_BYTES = 16
INTERNAL_FAILURE = "Internal service failure."


class PutUnderWay(NamedTuple):
    """A request that was decided and is to be stored; `sizes` are bytes of data and partition key of each record."""

    call: PutCall
    stream: Stream
    sizes: list[int]
    now: float
    account: str


class PutFaults:
    """What the faults of a plan do to one request: `before` it is stored, and `after`."""

    def __init__(self, plan: FaultPlan, put: PutUnderWay, counts: Counter[str]) -> None:
        self._plan = plan
        self._put = put
        self._counts = counts
        self._rules: list[Rule] = []

    def before(self, decision: Decision) -> Decision:
        """Sees which faults are for this request, refuses what is to be refused, stores foreign records."""
        touched = {run.shard.shard_id for run in decision.runs}
        for rule in self._plan.record_rules:
            if not rule.is_for(self._put.call.operation, self._put.stream.name, touched):
                continue
            rule.calls += 1
            if not rule.is_on(self._put.now):
                continue
            self._rules.append(rule)
            if isinstance(rule.fault, RecordThrottled | RecordInternalFailure):
                decision = self._refused(rule, decision)
            elif isinstance(rule.fault, ForeignRecord) and rule.hits():
                self._store_foreign(rule, rule.fault)
        return decision

    def after(self, decision: Decision, answer: PutAnswer) -> None:
        """Changes what was stored. A record is picked by one of these faults at most, the first of the document that does."""
        for run in decision.runs:
            untouched = set(run.stored)
            for rule in self._rules:
                corruption = _CORRUPTIONS.get(type(rule.fault))
                if corruption is None or rule.shard not in (None, run.shard.shard_id):
                    continue
                for index in rule.hit_records(run.offered, untouched):
                    number = answer.sequence_numbers[index]
                    hit = corruption(run.shard, run.shard.place_at_or_after(int(number)), self._put.now, rule.chance)
                    if hit is not None:
                        untouched.discard(index)
                        untouched.difference_update([i for i in run.stored if answer.sequence_numbers[i] == hit.other])
                        self._note(rule, run.shard, number, hit.other)

    def _refused(self, rule: Rule, decision: Decision) -> Decision:
        runs, refused = [], dict(decision.refused)
        for run in decision.runs:
            hit = rule.hit_records(run.offered, set(run.stored)) if rule.shard in (None, run.shard.shard_id) else []
            for index in hit:
                refused[index] = self._error(rule.fault, run.shard)
                self._note(rule, run.shard)
            runs.append(_without(run, hit, self._put.sizes, failed=isinstance(rule.fault, RecordInternalFailure)))
        return Decision(runs, refused)

    def _error(self, fault: Fault, shard: Shard) -> RecordError:
        if isinstance(fault, RecordThrottled):
            return rate_exceeded(shard, self._put.stream, self._put.account)
        return RecordError(KinesisError.code, INTERNAL_FAILURE)

    def _store_foreign(self, rule: Rule, fault: ForeignRecord) -> None:
        stream, chance = self._put.stream, rule.chance
        key = fault.partition_key or f"foreign-{chance.getrandbits(64):016x}"
        data = chance.randbytes(FOREIGN_DATA_BYTES) if fault.data_base64 is None else pybase64.b64decode(fault.data_base64)
        shard = stream.open_shards[stream.slot_of(hash_key(key))]
        for candidate in stream.open_shards:
            if candidate.shard_id == rule.shard:
                shard = candidate
        (number,) = shard.append([key], [data], self._put.now)
        self._note(rule, shard, number)

    def _note(self, rule: Rule, shard: Shard, number: str | None = None, other: str | None = None) -> None:
        put = self._put
        injection = Injection(
            put.now, rule.index, rule.fault.kind, put.call.operation, put.stream.name, shard.shard_id, number, other
        )
        self._plan.note(rule, self._counts, injection)


class Corruption(NamedTuple):
    """A record was stored wrongly; `other` is the sequence number of the other record that this concerns."""

    other: str | None = None


def _flip_byte(shard: Shard, place: int, now: float, chance: Random) -> Corruption | None:
    data = bytearray(shard.data_at(place))
    if not data:
        return None
    data[chance.randrange(len(data))] ^= 0xFF
    shard.replace_data(place, bytes(data))
    return Corruption()


def _lose(shard: Shard, place: int, now: float, chance: Random) -> Corruption | None:
    shard.lose(place)
    return Corruption()


def _store_again(shard: Shard, place: int, now: float, chance: Random) -> Corruption | None:
    (number,) = shard.append([shard.partition_key_at(place)], [shard.data_at(place)], now)
    return Corruption(number)


def _swap(shard: Shard, place: int, now: float, chance: Random) -> Corruption | None:
    key, data = shard.partition_key_at(place), shard.data_at(place)
    for other in range(place - 1, max(shard.first_place, place - SWAP_REACH) - 1, -1):
        if shard.partition_key_at(other) == key:
            if shard.is_lost(other) or shard.data_at(other) == data:
                return None
            shard.replace_data(place, shard.data_at(other))
            shard.replace_data(other, data)
            return Corruption(shard.sequence_number_at(other))
    return None


_CORRUPTIONS: dict[type[Fault], Callable[[Shard, int, float, Random], Corruption | None]] = {
    ByteFlipped: _flip_byte,
    AckedNotStored: _lose,
    StoredTwice: _store_again,
    Swapped: _swap,
}


def _without(run: ShardRun, hit: list[int], sizes: list[int], *, failed: bool) -> ShardRun:
    """The run without these records, which count as throttled unless they `failed`."""
    if not hit:
        return run
    left = set(hit)
    size = bytes_of(hit, sizes)
    return run._replace(
        stored=[index for index in run.stored if index not in left],
        stored_bytes=run.stored_bytes - size,
        failed=run.failed + len(hit) * failed,
        failed_bytes=run.failed_bytes + size * failed,
    )
