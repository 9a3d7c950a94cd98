"""All streams of an account, by name or ARN, and the changes that take a while: creation, resharding, deletion."""

import re
from collections.abc import Callable
from math import inf
from typing import NamedTuple

from bridge.embedded.kinesis_errors import (
    LimitExceededException,
    ResourceInUseException,
    ResourceNotFoundException,
    ValidationException,
    constraint_broken,
)
from bridge.embedded.stream import Stream

STREAMS_CREATING_MAX = 5
"""CreateStream page of the API reference."""

SHARDS_MAX = 20_000
"""Default shard quota of an account in the largest Regions ("Quotas and limits" of the developer guide)."""

_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")


class Account(NamedTuple):
    """Whose streams these are; stands in every ARN and error message."""

    region: str = "us-east-1"
    number: str = "000000000000"

    def arn(self, stream_name: str) -> str:
        return f"arn:aws:kinesis:{self.region}:{self.number}:stream/{stream_name}"


DEFAULT_ACCOUNT = Account()


class StreamRegistry:
    """`transition_s` is how long a stream stays in CREATING, UPDATING or DELETING, `kept_s` how long records stay at most."""

    def __init__(self, account: Account, transition_s: float, enforce_limits: bool, kept_s: float = inf) -> None:
        self.account = account
        self._transition_s = transition_s
        self._enforce_limits = enforce_limits
        self._kept_s = kept_s
        self._streams: dict[str, Stream] = {}

    def create(self, name: str, shard_count: int, now: float) -> Stream:
        """Raises ValidationException, ResourceInUseException, LimitExceededException."""
        if not _NAME.fullmatch(name):
            raise _bad_name(name)
        if shard_count < 1:
            raise constraint_broken(shard_count, "shardCount", "have value greater than or equal to 1")
        streams = self.all(now)
        if name in self._streams:
            raise ResourceInUseException(f"Stream {name} under account {self.account.number} already exists.")
        creating = sum(stream.status(now) == "CREATING" for stream in streams)
        if self._enforce_limits and creating >= STREAMS_CREATING_MAX:
            raise LimitExceededException(f"More than {STREAMS_CREATING_MAX} streams are in the CREATING state.")
        self.check_shard_quota(shard_count, now)
        stream = self._streams[name] = Stream(name, self.account.arn(name), shard_count, now, self._kept_s)
        stream.active_at = now + self._transition_s
        self._settle(stream, now)
        return stream

    def delete(self, stream: str, now: float) -> None:
        """Raises ResourceNotFoundException, ResourceInUseException while it is being created or resharded."""
        found = self.find(stream, now)
        if found.status(now) == "DELETING":
            return
        if found.status(now) != "ACTIVE":
            raise self.in_use(found, now)
        found.deleted_at = now + self._transition_s
        self.all(now)

    def all(self, now: float) -> list[Stream]:
        """Streams in order of their names."""
        for stream in list(self._streams.values()):
            self._settle(stream, now)
        return [self._streams[name] for name in sorted(self._streams)]

    def find(self, stream: str, now: float) -> Stream:
        """The stream of a name or ARN in any state; raises ResourceNotFoundException, ValidationException."""
        name = stream
        if stream.startswith("arn:"):
            name = stream.partition(":stream/")[2]
            if stream != self.account.arn(name):
                raise ResourceNotFoundException(f"Stream {stream} not found in account {self.account.number}.")
        found = self._streams.get(name)
        if found is not None and found.is_changing:
            self._settle(found, now)
            found = self._streams.get(name)
        if found is None:
            if not _NAME.fullmatch(name):
                raise _bad_name(name)
            raise self._not_found(name)
        return found

    def get(self, name: str, now: float) -> Stream | None:
        """The stream of a name in any state, or None."""
        try:
            return self.find(name, now)
        except (ResourceNotFoundException, ValidationException):
            return None

    def serving(self, stream: str, now: float) -> Stream:
        """A stream that takes and gives records: active, also while it is resharded; raises ResourceNotFoundException."""
        found = self.find(stream, now)
        if found.status(now) in ("CREATING", "DELETING"):
            raise self._not_found(found.name)
        return found

    def idle(self, stream: str, now: float) -> Stream:
        """A stream that may be changed; raises ResourceNotFoundException, ResourceInUseException unless ACTIVE."""
        found = self.find(stream, now)
        if found.status(now) != "ACTIVE":
            raise self.in_use(found, now)
        return found

    def schedule(self, stream: Stream, effect: Callable[[float], None], now: float) -> None:
        """Makes a reshard take effect `transition_s` from now; `effect` gets that moment."""
        stream.change = (now + self._transition_s, effect)
        self._settle(stream, now)

    def check_shard_quota(self, more: int, now: float) -> None:
        """Raises LimitExceededException when the account would have too many open shards."""
        opened = sum(len(stream.open_shards) for stream in self.all(now))
        if opened + more > SHARDS_MAX:
            raise LimitExceededException(
                f"This request would exceed the shard limit for the account {self.account.number} in {self.account.region}. "
                f"Current shard count for the account: {opened}. Limit: {SHARDS_MAX}. "
                f"Number of additional shards that would have resulted from this request: {more}."
            )

    def _settle(self, stream: Stream, now: float) -> None:
        if stream.active_at is not None and stream.active_at <= now:
            stream.active_at = None
        if stream.change is not None and stream.change[0] <= now:
            at, effect = stream.change
            stream.change = None
            effect(at)
        if stream.deleted_at is not None and stream.deleted_at <= now:
            del self._streams[stream.name]

    def _not_found(self, name: str) -> ResourceNotFoundException:
        return ResourceNotFoundException(f"Stream {name} under account {self.account.number} not found.")

    def in_use(self, stream: Stream, now: float) -> ResourceInUseException:
        """The error for an operation that needs the stream in another state."""
        return ResourceInUseException(
            f"Stream {stream.name} under account {self.account.number} not ACTIVE, instead in state {stream.status(now)}"
        )


def _bad_name(name: str) -> ValidationException:
    return constraint_broken(name, "streamName", "satisfy regular expression pattern: [a-zA-Z0-9_.-]{1,128}")
