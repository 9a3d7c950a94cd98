"""A pure model of Kinesis Data Streams: streams, shards, limits, iterators, in memory.

It has no clock: every method takes `now`, seconds since the epoch. It answers at once and never waits.
`stream` is a name or an ARN. Errors are the classes of `kinesis_errors`, which carry AWS's error codes.
Shards are described in AWS's own shapes (dictionaries); records travel as columns.
"""

from math import inf

from bridge.core.quotas import GET_RECORDS_RECORDS_MAX
from bridge.embedded import put_path, read_path
from bridge.embedded.fault_plan import no_faults
from bridge.embedded.kinesis_errors import (
    DryRunOperationException,
    InvalidArgumentException,
    KinesisError,
    LimitExceededException,
    ProvisionedThroughputExceededException,
    ResourceNotFoundException,
    ValidationException,
    constraint_broken,
)
from bridge.embedded.position_tokens import read_iterator
from bridge.embedded.put_path import PlacedRequest, PutAnswer, PutCall
from bridge.embedded.read_path import GetAnswer
from bridge.embedded.record_faults import PutFaults, PutUnderWay
from bridge.embedded.shard import Shard, milliseconds
from bridge.embedded.stream import Stream, max_record_bytes
from bridge.embedded.stream_registry import DEFAULT_ACCOUNT, Account, StreamRegistry
from bridge.embedded.traffic import Traffic

SCALINGS_PER_DAY = 10
"""UpdateShardCount page of the API reference: calls per stream in a rolling 24 hours."""

_DAY_S = 86_400


class KinesisModel:
    """Streams of one account in one Region.

    `transition_s` is how long creating, resharding and deleting take; `enforce_limits=False` switches the rate limits
    of shards and the quotas of the account off, not the limits of a request. `kept_s`: records are gone after so long, though
    the retention of their stream is longer. `traffic` has the figures of what was put;
    `faults` are those to inject: into records here, into whole calls by `call_faults`.
    """

    def __init__(
        self,
        account: Account = DEFAULT_ACCOUNT,
        *,
        enforce_limits: bool = True,
        transition_s: float = 0.0,
        kept_s: float = inf,
    ) -> None:
        self.account = account
        self.enforce_limits = enforce_limits
        self.streams = StreamRegistry(account, transition_s, enforce_limits, kept_s)
        self.traffic = Traffic(0.0)
        self.faults = no_faults()

    # Writing

    def put_records(
        self,
        stream: str,
        partition_keys: list[str],
        explicit_hash_keys: list[int | None] | None,
        datas: list[bytes],
        now: float,
        dry_run: bool = False,
    ) -> PutAnswer:
        """Columns of one length in, columns out; a throttled record is in `errors` of the answer and not stored.

        Raises ValidationException, InvalidArgumentException, ResourceNotFoundException, and
        DryRunOperationException for a valid request that was only to be checked.
        """
        return self.put(PutCall(stream, partition_keys, explicit_hash_keys, datas, dry_run), now)

    def put(self, call: PutCall, now: float) -> PutAnswer:
        """As `put_records`, for any caller and either operation."""
        target = self.streams.serving(call.stream, now)
        request = self._placed(target, call)
        if call.dry_run:
            raise _dry_run()
        if self.enforce_limits:
            decision = put_path.decide(target, request, now, self.account.number)
        else:
            decision = put_path.admit_all(target, request)
        if not self.faults.record_rules:
            self.traffic.add(call, target.name, request, decision.runs, now)
            return put_path.store(target, request, decision, now)
        under_way = PutUnderWay(call, target, request.sizes, now, self.account.number)
        faults = PutFaults(self.faults, under_way, self.traffic.faults)
        decision = faults.before(decision)
        self.traffic.add(call, target.name, request, decision.runs, now)
        answer = put_path.store(target, request, decision, now)
        faults.after(decision, answer)
        return answer

    def withhold(self, call: PutCall, throttled: bool, now: float) -> None:
        """Books a request that an injected error keeps from being stored: it was offered. Raises what `put_records` does."""
        target = self.streams.serving(call.stream, now)
        request = self._placed(target, call)
        if not call.dry_run:
            self.traffic.add(call, target.name, request, put_path.admit_none(target, request, throttled).runs, now)

    def _placed(self, target: Stream, call: PutCall) -> PlacedRequest:
        try:
            return put_path.place(target, call)
        except KinesisError as error:
            self.traffic.refuse(call, target.name, error.over_limit)
            raise

    def put_record(self, call: PutCall, now: float) -> tuple[str, str]:
        """Shard id and sequence number for a call with one record.

        Raises what `put_records` does, and ProvisionedThroughputExceededException or KinesisError (InternalFailure).
        """
        answer = self.put(call, now)
        if answer.errors:
            if answer.errors[0].code == KinesisError.code:
                raise KinesisError(answer.errors[0].message)
            raise ProvisionedThroughputExceededException(answer.errors[0].message)
        return answer.shard_ids[0], answer.sequence_numbers[0]

    # Reading

    def get_shard_iterator(
        self,
        stream: str,
        shard_id: str,
        iterator_type: str,
        now: float,
        start: str | float | None = None,
        dry_run: bool = False,
    ) -> str:
        """`start` is the sequence number (decimal text) or the timestamp (seconds) that the type asks for.

        Raises InvalidArgumentException, ResourceNotFoundException, ProvisionedThroughputExceededException.
        """
        target = self.streams.serving(stream, now)
        shard = self._shard(target, shard_id, now)
        place = read_path.iterator_place(shard, iterator_type, start, now)
        if dry_run:
            raise _dry_run()
        if self.enforce_limits:
            if shard.iterator_calls.room(now)[0] < 1:
                raise ProvisionedThroughputExceededException(put_path.rate_exceeded(shard, target, self.account.number).message)
            shard.iterator_calls.take(1, 0, now)
        return read_path.iterator_token(target, shard, place, now)

    def get_records(self, iterator: str, now: float, limit: int | None = None, dry_run: bool = False) -> GetAnswer:
        """Up to `limit` (default 10,000) records and 10 MiB.

        Raises InvalidArgumentException, ExpiredIteratorException, ResourceNotFoundException,
        ProvisionedThroughputExceededException.
        """
        limit = GET_RECORDS_RECORDS_MAX if limit is None else limit
        if not 1 <= limit <= GET_RECORDS_RECORDS_MAX:
            must = "greater than or equal to 1" if limit < 1 else f"less than or equal to {GET_RECORDS_RECORDS_MAX}"
            raise constraint_broken(limit, "limit", f"have value {must}")
        position = read_iterator(iterator)
        stream = self.streams.serving(position.stream, now)
        read_path.check_position(position, stream, now)
        shard = stream.shards[position.shard_index]
        if dry_run:
            raise _dry_run()
        if self.enforce_limits and min(shard.reads.room(now)) < 1:
            raise ProvisionedThroughputExceededException(put_path.rate_exceeded(shard, stream, self.account.number).message)
        return read_path.read(stream, shard, position.place, limit, now)

    # Changing shards

    def split_shard(self, stream: str, shard_id: str, new_starting_hash_key: int, now: float) -> None:
        """Raises InvalidArgumentException, ResourceInUseException, ResourceNotFoundException, LimitExceededException."""
        target = self._provisioned(stream, now)
        shard = self._open_shard(target, shard_id, now)
        if not shard.start_hash_key + 1 < new_starting_hash_key < shard.end_hash_key:
            raise InvalidArgumentException(
                f"NewStartingHashKey {new_starting_hash_key} used in SplitShard() on shard {shard_id} in stream {target.name} "
                f"under account {self.account.number} is not both greater than one plus the shard's StartingHashKey "
                f"{shard.start_hash_key} and less than the shard's EndingHashKey {shard.end_hash_key}."
            )
        self._check_quota(1, now)
        self.streams.schedule(target, lambda at: target.split(shard, new_starting_hash_key, at), now)

    def merge_shards(self, stream: str, shard_id: str, adjacent_shard_id: str, now: float) -> None:
        """Raises InvalidArgumentException, ResourceInUseException, ResourceNotFoundException."""
        target = self._provisioned(stream, now)
        shard, adjacent = self._open_shard(target, shard_id, now), self._open_shard(target, adjacent_shard_id, now)
        if shard.end_hash_key + 1 != adjacent.start_hash_key and adjacent.end_hash_key + 1 != shard.start_hash_key:
            raise InvalidArgumentException(
                f"Shards {shard_id} and {adjacent_shard_id} in stream {target.name} under account {self.account.number} "
                "are not an adjacent pair of shards eligible for merging"
            )
        self.streams.schedule(target, lambda at: target.merge(shard, adjacent, at), now)

    def update_shard_count(self, stream: str, target_count: int, now: float) -> int:
        """Uniform scaling; returns the count before. Raises InvalidArgumentException, LimitExceededException (quotas),
        ResourceInUseException, ResourceNotFoundException."""
        target = self._provisioned(stream, now)
        count = len(target.open_shards)
        if target_count > 2 * count:
            raise _bad_scaling("up over double", count, target_count)
        if target_count < (count + 1) // 2:
            raise _bad_scaling("down below half", count, target_count)
        target.scalings = [moment for moment in target.scalings if moment > now - _DAY_S]
        if self.enforce_limits and len(target.scalings) >= SCALINGS_PER_DAY:
            raise LimitExceededException(f"Stream {target.name} was scaled {SCALINGS_PER_DAY} times in the last 24 hours.")
        self._check_quota(target_count - count, now)
        target.scalings.append(now)
        self.streams.schedule(target, lambda at: target.scale(target_count, at), now)
        return count

    def update_max_record_size(self, stream: str, max_record_size_kib: int, now: float) -> None:
        """1024..10240 KiB. Raises ValidationException, ResourceInUseException, ResourceNotFoundException."""
        self.streams.idle(stream, now).max_record_bytes = max_record_bytes(max_record_size_kib)

    def _check_quota(self, more: int, now: float) -> None:
        if self.enforce_limits:
            self.streams.check_shard_quota(more, now)

    def _provisioned(self, stream: str, now: float) -> Stream:
        target = self.streams.idle(stream, now)
        if target.mode != "PROVISIONED":
            raise ValidationException(f"Stream {target.name} is in the {target.mode} mode: its shards scale by themselves.")
        return target

    def _shard(self, stream: Stream, shard_id: str, now: float) -> Shard:
        index = shard_id.removeprefix("shardId-")
        if index.isdecimal() and int(index) < len(stream.shards):
            shard = stream.shards[int(index)]
            shard.trim(milliseconds(stream.trim_horizon(now)))
            if shard.closed_at is None or shard.closed_at >= stream.trim_horizon(now):
                return shard
        raise ResourceNotFoundException(
            f"Shard {shard_id} in stream {stream.name} under account {self.account.number} does not exist"
        )

    def _open_shard(self, stream: Stream, shard_id: str, now: float) -> Shard:
        shard = self._shard(stream, shard_id, now)
        if shard.closed_at is not None:
            raise InvalidArgumentException(
                f"Shard {shard_id} in stream {stream.name} under account {self.account.number} is not open."
            )
        return shard


def _bad_scaling(how: str, count: int, target_count: int) -> InvalidArgumentException:
    return InvalidArgumentException(
        f"UpdateShardCount cannot scale {how} your current open shard count. "
        f"Current open shard count: {count} Target shard count: {target_count}"
    )


def _dry_run() -> DryRunOperationException:
    return DryRunOperationException("The request would have succeeded, but the DryRun parameter was set.")
