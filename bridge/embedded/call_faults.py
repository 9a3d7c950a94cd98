"""Faults that hit whole calls: what is to happen to a call, decided when it comes; and reshards at their moment.

Pure, like the model: `fate_of` says what happens and when, `take_up` does the part that concerns the streams, and whoever
has a clock and a connection waits, answers, closes or stays silent (`call_timeline`).
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from random import Random
from typing import NamedTuple

from bridge.embedded.call_target import CallTarget
from bridge.embedded.calls import carry_out
from bridge.embedded.fault_kinds import (
    AnswerDelayed,
    ClosedAfterStoring,
    ClosedBeforeStoring,
    ErrorAfterStoring,
    ErrorBeforeStoring,
    Fault,
    Hung,
    Latency,
    RequestThrottled,
    StoredLate,
    StreamNotActive,
)
from bridge.embedded.fault_plan import Injection
from bridge.embedded.kinesis_errors import (
    KinesisError,
    ProvisionedThroughputExceededException,
    ServiceUnavailable,
)
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.record_faults import INTERNAL_FAILURE
from bridge.embedded.record_operations import PUT_CALLS
from bridge.embedded.request_fields import Call
from bridge.embedded.reshard_faults import carry_out_reshards

UNAVAILABLE = "The request has failed due to a temporary failure of the server."


class Ending(Enum):
    """What the caller gets in the end."""

    ANSWERED = "answered"
    CLOSED = "closed"
    HUNG = "hung"


class CallFate(NamedTuple):
    """What happens to a call. Without any fault: it is taken up at once and answered at once.

    `wait_s`: from its arrival until it is taken up. `answer_wait_s`: from then until it ends in its `ending`.
    `closed_after_s`: from its arrival until the connection is closed, if that comes before.
    `carried_out`: False when it never reaches the streams. `error`: told instead of the answer.
    `status`: the stream status that it meets, instead of the stream's own.
    """

    wait_s: float = 0.0
    answer_wait_s: float = 0.0
    ending: Ending = Ending.ANSWERED
    closed_after_s: float | None = None
    carried_out: bool = True
    error: KinesisError | None = None
    status: str | None = None

    @property
    def is_settled(self) -> bool:
        """True once a fault has decided how the call ends: no other one can."""
        given = (self.error, self.status, self.closed_after_s)
        return self.ending is not Ending.ANSWERED or any(part is not None for part in given)


PLAIN = CallFate()


def fate_of(model: KinesisModel, call: Call, now: float) -> CallFate:
    """What happens to a call that came now, and before it the reshards whose moment has come.

    Delays add up. Of the faults that decide how a call ends, the first of the document that hits it does.
    """
    plan = model.faults
    if not plan.rules:
        return PLAIN
    target = CallTarget(model, call, now)
    carry_out_reshards(model, call.operation, target.stream, now)
    fate = PLAIN
    for rule in plan.call_rules:
        shards = target.shards if rule.shard is not None else frozenset()
        if not rule.is_for(call.operation, target.stream, shards):
            continue
        rule.calls += 1
        if not (rule.is_on(now) and rule.hits()):
            continue
        changed = _hit(fate, rule.fault, target.stream, rule.chance)
        if changed is not None:
            fate = changed
            plan.note(rule, model.traffic.faults, Injection(now, rule.index, rule.fault.kind, call.operation, target.stream))
    return fate


def take_up(model: KinesisModel, call: Call, fate: CallFate, now: float) -> bytes:
    """Carries the call out, or only books it where it is kept from the streams: the body of its answer; raises KinesisError."""
    if not fate.carried_out:
        _withhold(model, call, fate, now)
        content = b""
    else:
        try:
            with _shown_status(model, call, fate.status, now):
                content = carry_out(model, call, now)
        except KinesisError:
            if fate.error is None:
                raise
    if fate.error is not None:
        raise fate.error
    return content


def _withhold(model: KinesisModel, call: Call, fate: CallFate, now: float) -> None:
    put_call = PUT_CALLS.get(call.operation)
    if put_call is not None:
        with suppress(KinesisError):  # a request that is invalid anyway: its caller is told of the fault
            model.withhold(put_call(call), isinstance(fate.error, ProvisionedThroughputExceededException), now)


@contextmanager
def _shown_status(model: KinesisModel, call: Call, status: str | None, now: float) -> Iterator[None]:
    name = None if status is None else CallTarget(model, call, now).stream
    stream = None if name is None else model.streams.get(name, now)
    if stream is None:
        yield
        return
    stream.shown_status = status
    try:
        yield
    finally:
        stream.shown_status = None


def _hit(fate: CallFate, fault: Fault, stream: str | None, chance: Random) -> CallFate | None:
    """The fate with one more fault; None where another one has decided the end already, or there is nothing to hit."""
    match fault:
        case AnswerDelayed():
            return fate._replace(answer_wait_s=fate.answer_wait_s + fault.delay_s)
        case Latency():
            half_s = (fault.delay_s + fault.jitter_s * chance.random()) / 2
            return fate._replace(wait_s=fate.wait_s + half_s, answer_wait_s=fate.answer_wait_s + half_s)
        case StoredLate(closed_after_s=None):
            return fate._replace(wait_s=fate.wait_s + fault.delay_s)
        case StreamNotActive() if stream is None:
            return None
    return None if fate.is_settled else _settled(fate, fault, stream)


def _settled(fate: CallFate, fault: Fault, stream: str | None) -> CallFate:
    match fault:
        case RequestThrottled():
            return fate._replace(carried_out=False, error=_throttled(stream))
        case ErrorBeforeStoring():
            return fate._replace(carried_out=False, error=_error_of(fault.status))
        case ErrorAfterStoring():
            return fate._replace(error=_error_of(fault.status))
        case ClosedBeforeStoring():
            return fate._replace(carried_out=False, ending=Ending.CLOSED)
        case ClosedAfterStoring():
            return fate._replace(ending=Ending.CLOSED)
        case StoredLate():
            return fate._replace(wait_s=fate.wait_s + fault.delay_s, closed_after_s=fault.closed_after_s)
        case Hung():
            return fate._replace(carried_out=fault.stored, ending=Ending.HUNG)
        case StreamNotActive():
            return fate._replace(status=fault.status)
    raise TypeError(f"{fault.kind} does not hit whole calls")


def _throttled(stream: str | None) -> KinesisError:
    return ProvisionedThroughputExceededException("Rate exceeded." if stream is None else f"Rate exceeded for stream {stream}.")


def _error_of(status: int) -> KinesisError:
    return KinesisError(INTERNAL_FAILURE) if status == KinesisError.status else ServiceUnavailable(UNAVAILABLE)
