"""The faults that are asked for, with what each has done so far: which calls and records are hit, by seeded chance.

Pure: it takes `now`, seconds since the epoch, and waits for nothing. Every fault has a chance of its own, so one more or
less does not change what another hits.
"""

import random
from collections import Counter, deque
from collections.abc import Sequence, Set
from typing import Any, NamedTuple

from bridge.embedded.fault_document import FaultDocument
from bridge.embedded.fault_kinds import ANY_OPERATION, CallFault, Fault, ForeignRecord, RecordFault, ReshardFault

LOG_MAX = 10_000
"""Injections that are remembered one by one; of more the oldest go first."""


class Injection(NamedTuple):
    """One fault that was injected: when, which of the document (by its place), and what it hit, as far as there is one.

    `other_sequence_number` is that of the copy of a record stored twice, and of the record that one changed places with.
    """

    at: float
    fault: int
    kind: str
    operation: str
    stream: str | None
    shard_id: str | None = None
    sequence_number: str | None = None
    other_sequence_number: str | None = None


class Rule:
    """A fault at work. `calls` are those it is for, `injected` its hits, `problem` why it could not do what it should."""

    def __init__(self, fault: Fault, index: int, since: float, chance: random.Random) -> None:
        self.fault = fault
        self.index = index
        self.calls = 0
        self.injected = 0
        self.problem: str | None = None
        self.chance = chance
        self._since = since

    @property
    def shard(self) -> str | None:
        return self.fault.shard if isinstance(self.fault, CallFault) else None

    @property
    def operation(self) -> str:
        return self.fault.operation if isinstance(self.fault, CallFault) else "PutRecords"

    def is_for(self, operation: str, stream: str | None, shard_ids: Set[str]) -> bool:
        """True for a call that the fault asks for; shards are those that the call touches."""
        return (
            self.operation in (operation, ANY_OPERATION)
            and self.fault.stream in (None, stream)
            and (self.shard is None or self.shard in shard_ids)
        )

    def is_on(self, now: float) -> bool:
        """True once it has begun, until it is used up. Count the call first."""
        fault = self.fault
        begun = self.calls > fault.after_calls or fault.after_calls == 0
        return begun and now >= self._since + fault.after_s and (fault.times is None or self.injected < fault.times)

    def hits(self) -> bool:
        """Draws whether it hits a call."""
        return self.fault.probability >= 1 or self.chance.random() < self.fault.probability

    def hit_records(self, offered: Sequence[int], candidates: Set[int]) -> list[int]:
        """Draws which records it hits, not more than it has times left: one draw for each that was offered, whether or not it is
        a candidate, so that limits and other faults do not shift the draws."""
        probability, draw = self.fault.probability, self.chance.random
        drawn = offered if probability >= 1 else [index for index in offered if draw() < probability]
        hit = [index for index in drawn if index in candidates]
        return hit if self.fault.times is None else hit[: self.fault.times - self.injected]


class FaultPlan:
    """A document at work since `now`. `counts` gets each injection by kind."""

    def __init__(self, document: FaultDocument, now: float) -> None:
        self.document = document
        self.since = now
        self.log: deque[Injection] = deque(maxlen=LOG_MAX)
        self.rules = _rules(document, now)
        of_records = (RecordFault, ForeignRecord)
        self.record_rules = [rule for rule in self.rules if isinstance(rule.fault, of_records)]
        self.reshard_rules = [rule for rule in self.rules if isinstance(rule.fault, ReshardFault)]
        self.call_rules = [rule for rule in self.rules if not isinstance(rule.fault, (*of_records, ReshardFault))]

    def note(self, rule: Rule, counts: Counter[str], injection: Injection) -> None:
        """Counts one injection and remembers it."""
        rule.injected += 1
        rule.problem = None
        counts[injection.kind] += 1
        self.log.append(injection)

    def state(self) -> dict[str, Any]:
        """The JSON of `GET /_control/faults`: the document, with what each fault did, and the injections, oldest first."""
        faults = [
            {**rule.fault.model_dump(), "calls": rule.calls, "injected": rule.injected, "problem": rule.problem}
            for rule in self.rules
        ]
        return {
            "seed": self.document.seed,
            "since": self.since,
            "faults": faults,
            "log": [injection._asdict() for injection in self.log],
        }


def no_faults() -> FaultPlan:
    """A plan that does nothing."""
    return FaultPlan(FaultDocument(), 0.0)


def _rules(document: FaultDocument, now: float) -> list[Rule]:
    """Chances come from the seed and from what a fault is for, not from its place in the list."""
    rules = []
    alike: Counter[str] = Counter()
    for index, fault in enumerate(document.faults):
        shard, operation = getattr(fault, "shard", None), getattr(fault, "operation", None)
        name = f"{fault.kind}/{fault.stream}/{shard}/{operation}"
        alike[name] += 1
        rules.append(Rule(fault, index, now, random.Random(f"{document.seed}/{name}/{alike[name]}")))
    return rules
