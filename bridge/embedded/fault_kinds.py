"""Which faults there are: what each does, and what can be said of it."""

import binascii
from base64 import b64decode
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bridge.core.quotas import HASH_KEY_MAX, PARTITION_KEY_CHARACTERS_MAX

ANY_OPERATION = "*"

SHARD_OPERATIONS = ("PutRecords", "PutRecord", "GetRecords", "GetShardIterator", "SplitShard", "MergeShards")
"""Operations of which it is known which shards they touch."""

STREAM_OPERATIONS = (
    "CreateStream",
    "DeleteStream",
    "DescribeStream",
    "DescribeStreamSummary",
    "ListShards",
    "UpdateShardCount",
    "UpdateMaxRecordSize",
    "UpdateStreamRecordDistributionStrategy",
    "IncreaseStreamRetentionPeriod",
    "DecreaseStreamRetentionPeriod",
    "AddTagsToStream",
    "RemoveTagsFromStream",
    "ListTagsForStream",
    "EnableEnhancedMonitoring",
    "DisableEnhancedMonitoring",
)

ACCOUNT_OPERATIONS = ("ListStreams",)
OPERATIONS = (*SHARD_OPERATIONS, *STREAM_OPERATIONS, *ACCOUNT_OPERATIONS)

PutOperation = Literal["PutRecords", "PutRecord"]
Seconds = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]


def _operation(name: str) -> str:
    if name not in (*OPERATIONS, ANY_OPERATION):
        raise ValueError(f"is no operation of this service; it is {ANY_OPERATION} or one of {', '.join(OPERATIONS)}")
    return name


def _hash_key(text: str) -> str:
    if not (text.isascii() and text.isdecimal() and int(text) <= HASH_KEY_MAX):
        raise ValueError("write a hash key, 0 to 2^128-1, as decimal text")
    return text


def _base64(text: str) -> str:
    try:
        b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"write bytes as base64: {error}") from None
    return text


class Fault(BaseModel):
    """What every fault can have: which calls it is for, and which of them it hits.

    `stream` (its name): only calls to it.
    `probability`: of each such call, or, for the kinds that hit records, of each record of such a call.
    `times`: hits after which it is used up. `after_calls`: it begins after that many such calls.
    `after_s`: it begins that many seconds after the document came.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: str
    stream: str | None = None
    probability: float = Field(default=1.0, ge=0, le=1, allow_inf_nan=False)
    times: int | None = Field(default=None, ge=1)
    after_calls: int = Field(default=0, ge=0)
    after_s: Seconds = 0.0


class CallFault(Fault):
    """A fault that hits calls, or records in them.

    `shard` (its id): only calls that touch it, only records of it. `operation`: only calls of it; "*" is every operation.
    """

    shard: str | None = None
    operation: Annotated[str, AfterValidator(_operation)] = "PutRecords"

    @model_validator(mode="after")
    def _touches_what_it_asks_for(self) -> Self:
        if self.shard is not None and self.operation not in (*SHARD_OPERATIONS, ANY_OPERATION):
            raise ValueError(f"shard: {self.operation} touches no shard; remove it, or use one of {', '.join(SHARD_OPERATIONS)}")
        if self.stream is not None and self.operation in ACCOUNT_OPERATIONS:
            raise ValueError(f"stream: {self.operation} is a call to no stream; remove it, or use another operation")
        return self


class RecordFault(CallFault):
    """A fault that hits single records of PutRecords or PutRecord."""

    operation: PutOperation = "PutRecords"


class RecordThrottled(RecordFault):
    """The record is refused as over its shard's limit; the others are stored."""

    kind: Literal["record_throttled"]


class RecordInternalFailure(RecordFault):
    """The record is refused with InternalFailure; the others are stored."""

    kind: Literal["record_internal_failure"]


class AckedNotStored(RecordFault):
    """The record is acknowledged with a sequence number and can never be read."""

    kind: Literal["acked_not_stored"]


class ByteFlipped(RecordFault):
    """One byte of the record's data is stored with all its bits turned; a record without data is let be."""

    kind: Literal["byte_flipped"]


class StoredTwice(RecordFault):
    """The record is stored a second time behind the others of the request; the answer names the first."""

    kind: Literal["stored_twice"]


class Swapped(RecordFault):
    """The data of the record and of the one before it with its partition key change places; a reader may have read that one.

    A record that is the first of its key among the last 10,000 of the shard, or equal to the one before, is let be.
    """

    kind: Literal["swapped"]


class ForeignRecord(CallFault):
    """A record by somebody else is stored before the request's own: on the fault's shard, else where its partition key leads.

    What is not given is random: a partition key, 16 bytes of data. The probability is that of a call.
    """

    kind: Literal["foreign_record"]
    operation: PutOperation = "PutRecords"
    partition_key: str | None = Field(default=None, min_length=1, max_length=PARTITION_KEY_CHARACTERS_MAX // 2)
    data_base64: Annotated[str, AfterValidator(_base64)] | None = None


class RequestThrottled(CallFault):
    """The whole call is refused with ProvisionedThroughputExceededException."""

    kind: Literal["request_throttled"]


class ErrorBeforeStoring(CallFault):
    """The call is not carried out; the answer is InternalFailure (500) or ServiceUnavailable (503)."""

    kind: Literal["error_before_storing"]
    status: Literal[500, 503] = 500


class ErrorAfterStoring(CallFault):
    """The call is carried out; the answer is InternalFailure (500) or ServiceUnavailable (503)."""

    kind: Literal["error_after_storing"]
    status: Literal[500, 503] = 500


class ClosedBeforeStoring(CallFault):
    """The call is not carried out; the connection is closed without an answer."""

    kind: Literal["connection_closed_before_storing"]


class ClosedAfterStoring(CallFault):
    """The call is carried out; the connection is closed without an answer."""

    kind: Literal["connection_closed_after_storing"]


class AnswerDelayed(CallFault):
    """The call is carried out at once and answered `delay_s` later."""

    kind: Literal["answer_delayed"]
    delay_s: Seconds


class StoredLate(CallFault):
    """The call is carried out `delay_s` after it came, also if nobody waits any more, and then answered.

    With `closed_after_s` the connection is closed that long after the call came, without an answer.
    """

    kind: Literal["stored_late"]
    delay_s: Seconds
    closed_after_s: Seconds | None = None

    @model_validator(mode="after")
    def _is_closed_before_an_answer(self) -> Self:
        if self.closed_after_s is not None and self.closed_after_s > self.delay_s:
            raise ValueError(f"closed_after_s: {self.closed_after_s} comes after delay_s {self.delay_s}; it must not")
        return self


class Latency(CallFault):
    """The call takes `delay_s` and up to `jitter_s` more, by chance; half of it before it is carried out."""

    kind: Literal["latency"]
    delay_s: Seconds
    jitter_s: Seconds = 0.0


class Hung(CallFault):
    """The call is never answered and the connection stays open; it is carried out only with `stored`."""

    kind: Literal["hung"]
    stored: bool = False


class StreamNotActive(CallFault):
    """The call meets the stream in this status: CREATING, DELETING (records: ResourceNotFoundException) or UPDATING."""

    kind: Literal["stream_not_active"]
    status: Literal["CREATING", "DELETING", "UPDATING"] = "CREATING"


class ReshardFault(Fault):
    """A change of shards at a moment: before the PutRecords call that follows `after_calls` of them.

    With `after_s` alone: before any call, once that time is over. `stream` is by default that of the call. While the stream
    is busy or missing, it is tried again before the next such call.
    """

    times: int | None = Field(default=1, ge=1)


class Split(ReshardFault):
    """A shard is split: `shard`, by default the open one with the most hash keys, at a hash key, by default in the middle."""

    kind: Literal["split"]
    shard: str | None = None
    new_starting_hash_key: Annotated[str, AfterValidator(_hash_key)] | None = None


class Merge(ReshardFault):
    """Two neighbours are merged: `shard`, by default the first open one, and `adjacent_shard`, by default the next one."""

    kind: Literal["merge"]
    shard: str | None = None
    adjacent_shard: str | None = None


class UpdateShardCount(ReshardFault):
    """The stream is scaled to `target` equal shards."""

    kind: Literal["update_shard_count"]
    target: int = Field(ge=1)


AnyFault = (
    RecordThrottled
    | RecordInternalFailure
    | RequestThrottled
    | ErrorBeforeStoring
    | ErrorAfterStoring
    | ClosedBeforeStoring
    | ClosedAfterStoring
    | AnswerDelayed
    | StoredLate
    | Latency
    | Hung
    | StreamNotActive
    | Split
    | Merge
    | UpdateShardCount
    | AckedNotStored
    | ByteFlipped
    | StoredTwice
    | Swapped
    | ForeignRecord
)

KINDS: dict[str, type[Fault]] = {get_args(model.model_fields["kind"].annotation)[0]: model for model in get_args(AnyFault)}
"""Every kind with its model, in the order of the documentation."""
