"""What the application asks of the outside world. Adapters implement these; nothing else crosses the border."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.core.delivery.commit_metadata import CommitPoint
from bridge.core.delivery.dead_letters import Origin, Place, StoredEntry
from bridge.core.delivery.halts import Reason
from bridge.core.delivery.requests import Request
from bridge.core.delivery.stream_description import StreamDescription
from bridge.core.direction.control_state import Decide
from bridge.core.proof.ledger_layout import LedgerMessage
from bridge.core.proof.shard_reads import ReadableStream, ReadStart, ShardRead
from bridge.core.records import DeadLetter, GroupMember, Partition, PutAnswer, SourceBatch
from bridge.core.topics import TopicDefinition

# -- Kafka


@dataclass(slots=True, frozen=True)
class AssignedPartition:
    """A partition that is ours from now on; `offset` is the next to read, `metadata` what was committed beside it.

    `slices` is N of `partition_key: partition`: that of the topic's earlier commits, else its number of partitions. `topic_id` is
    that of the topic now; None where Kafka does not tell it.
    """

    partition: Partition
    offset: int
    metadata: str
    slices: int
    topic_id: str | None = None


@dataclass(slots=True, frozen=True)
class Assigned:
    """Partitions added to the assignment. Their records follow."""

    partitions: Sequence[AssignedPartition]


@dataclass(slots=True, frozen=True)
class Revoking:
    """Partitions that leave as soon as `complete` is called with what may be committed for them."""

    partitions: Sequence[Partition]
    complete: Callable[[Mapping[Partition, CommitPoint]], None]


@dataclass(slots=True, frozen=True)
class Lost:
    """Partitions that are not ours any more: nothing may be committed for them."""

    partitions: Sequence[Partition]


@dataclass(slots=True, frozen=True)
class PartitionFailed:
    """Kafka will not hand over more of this partition; `detail` is a sentence."""

    partition: Partition
    reason: Reason
    detail: str


@dataclass(slots=True, frozen=True)
class CommittedLate:
    """Kafka answered a commit that was given up, perhaps after a later one: which of them holds is not known."""

    partitions: Sequence[Partition]


@dataclass(slots=True, frozen=True)
class SourceTrouble:
    """Something is wrong with Kafka as a whole; the source keeps trying."""

    code: str
    message: str


SourceEvent = Assigned | Revoking | Lost | SourceBatch | PartitionFailed | CommittedLate | SourceTrouble


class Source(Protocol):
    """Reads the partitions that the consumer group gives us."""

    async def events(self) -> Sequence[SourceEvent]:
        """What happened since the last call, in order; waits for something. Empty once the source is closed."""

    def pause(self, partitions: Collection[Partition]) -> None:
        """Hand over no more records of these partitions; a few that are on the way may still come."""

    def resume(self, partitions: Collection[Partition]) -> None:
        """The opposite of `pause`."""

    def again(self, assigned: AssignedPartition) -> None:
        """Reads a partition of the assignment again from this offset; what comes behind its `Assigned` is from there."""

    async def commit(self, points: Mapping[Partition, CommitPoint]) -> Mapping[Partition, str]:
        """Commits those partitions that are still assigned.

        Returns the partitions that Kafka refused, with its reason. Raises UnavailableError without an answer in time.
        """

    async def close(self) -> None:
        """Leaves the group."""


class OffsetDirectory(Protocol):
    """What can be asked about partitions without reading them."""

    async def end_offsets(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Offset after the last committed record of each partition; unknown ones are left out.

        Without partitions it only finds out whether Kafka answers. Raises UnavailableError."""

    async def partitions_of(self, wanted: Callable[[str], bool]) -> Sequence[Partition]:
        """All partitions of the topics for which `wanted` is true. Raises UnavailableError, RefusedError."""

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """Kafka's ids of these topics, which a topic created anew under the same name does not share (KIP-516).

        Those are left out of which Kafka tells none. Raises UnavailableError.
        """


class GroupDirectory(OffsetDirectory, Protocol):
    """What Kafka tells about topics and a consumer group to one who is no member.

    Every call raises UnavailableError without an answer, and RefusedError where it is not allowed.
    """

    async def committed(self, group: str, partitions: Collection[Partition]) -> Mapping[Partition, CommitPoint]:
        """Committed offsets with their metadata, of those partitions that have one."""

    async def members(self, group: str) -> Sequence[GroupMember]:
        """Members of the group."""

    async def try_to_read(self, partition: Partition) -> None:
        """Reads one record, or finds the partition empty. Raises RefusedError where that is not allowed."""

    async def timestamps_at(self, offsets: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Timestamp (milliseconds) of the first record at or above each offset; left out where there is none."""


class RowReader(Protocol):
    """Reads records of source topics beside the consumer group."""

    def read(self, begins: Mapping[Partition, int], ends: Mapping[Partition, int]) -> AsyncIterator[SourceBatch]:
        """Committed records of the partitions of `begins`, each in its order from its begin, or from what retention left of
        it, up to its end. Raises UnavailableError, RefusedError."""


class DeadLetters(Protocol):
    """Keeps the records that were not carried, in the dead-letter topic."""

    async def park(self, letters: Sequence[DeadLetter]) -> None:
        """Returns once Kafka has confirmed all of them; those that it had confirmed before an error may be written again.

        Raises UnavailableError without an answer in time, RefusedError where the topic cannot be written as it is.
        """

    async def close(self) -> None:
        """What is not confirmed by now is given up."""


class ReplayMarks(Protocol):
    """Keeps in the dead-letter topic what became of its records."""

    async def mark_replayed(self, origins: Sequence[Origin]) -> None:
        """Writes down that these have been carried after all. Returns and raises as `DeadLetters.park`."""


class DeadLetterReader(Protocol):
    """Reads the dead-letter topic. Both calls raise UnavailableError, and RefusedError where it may not be read."""

    def entries(self) -> AsyncIterator[Sequence[StoredEntry]]:
        """Everything that is in the topic now, each partition in its order; nothing where there is no such topic."""

    def at(self, places: Collection[Place]) -> AsyncIterator[Sequence[StoredEntry]]:
        """The messages at these places, as far as they are still there; each partition in its order."""


class Ledger(Protocol):
    """The topic `<name>.ledger`. Every call but `close` raises UnavailableError, RefusedError."""

    async def open(self) -> Mapping[int, int]:
        """Finds or makes the topic, and checks it. Returns the end offset of each slot."""

    async def write(self, messages: Sequence[tuple[int, bytes]]) -> Sequence[int]:
        """Slots and values. Returns the offset of each once Kafka has confirmed all; after an error some may be there."""

    async def ends(self) -> Mapping[int, int]:
        """End offset of each slot now."""

    async def offsets_at(self, wall_ms: int) -> Mapping[int, int]:
        """In each slot the first offset that was written at this moment of the brokers' clocks (milliseconds) or later; the
        slot's end where there is none."""

    def read(self, begins: Mapping[int, int], ends: Mapping[int, int]) -> AsyncIterator[Sequence[LedgerMessage]]:
        """The slots of `begins`, each in its order from its begin, or from what retention left of it, up to its end."""

    async def close(self) -> None:
        """What is not confirmed by now is given up."""


class ControlStore(Protocol):
    """The topic `<name>.control`. Every call raises UnavailableError, RefusedError."""

    async def open(self) -> None:
        """Finds or makes the topic, and checks it."""

    async def read(self) -> Mapping[str, bytes]:
        """The latest value of each key, up to the end of now; nothing where there is no topic."""

    async def change(self, decide: Decide) -> Mapping[str, bytes]:
        """Writes what is decided by the latest values, all of it or nothing. Returns the latest values after it.

        Raises what `decide` raises; UnavailableError also where it is not known whether it was written.
        """


class TopicDirectory(Protocol):
    """What topics are like, and what may be done with them. Every call raises UnavailableError."""

    async def settings_of(self, topics: Collection[str]) -> Mapping[str, Mapping[str, str]]:
        """The settings of these topics; those that may not be read are left out."""

    async def try_to_park(self, bridge: str, wanted: Callable[[str], bool]) -> None:
        """Tries whether the dead-letter topic of this bridge can be written, or could be made; writes and makes nothing.

        `wanted` tells the topics whose records it would have to hold. Raises RefusedError.
        """

    async def try_topic(self, definition: TopicDefinition) -> None:
        """Whether it is as it has to be, and may be read and written, or could be made. Makes nothing; raises RefusedError."""

    async def troubles_of(self, definition: TopicDefinition) -> Sequence[str]:
        """What is wrong with one of the bridge's own topics, in sentences: also leaders and replicas."""


# -- Kinesis


class Sink(Protocol):
    """Puts records into a stream."""

    async def put(self, stream: str, request: Request, deadline: float) -> PutAnswer:
        """Sends one PutRecords request, once, and all of it before the deadline (seconds of the port `Clock`) or never.

        Never raises for what the service or the network did: see Outcome.
        """


class ShardDirectory(Protocol):
    """Knows the shards of a stream."""

    async def describe(self, stream: str) -> StreamDescription:
        """Asks the service.

        Raises:
            UnavailableError: no answer, or none that can be used now.
            RefusedError: the stream does not exist, or may not be described, or cannot be written in order.
        """

    async def try_to_write(self, stream: str) -> None:
        """Tries the permission to put records without putting one. Raises UnavailableError, RefusedError."""

    async def try_to_read(self, stream: str) -> None:
        """Tries the permissions to read records back. Raises UnavailableError, RefusedError."""


class ShardReader(Protocol):
    """Reads streams back. It takes only a part of what a shard can be read (5 calls and 2 MiB a second), which all its readers
    share, and gives way where others read too."""

    async def shards(self, stream: str) -> ReadableStream:
        """Every shard that is listed. Raises UnavailableError, RefusedError."""

    def read(self, stream: str, shard_id: str, start: ReadStart) -> AsyncGenerator[ShardRead, None]:
        """The records of a shard in their order, read by read, also such without records; ends with `has_ended`, for an open
        shard never.

        Raises UnavailableError without an answer (reading can go on behind the last record), and RefusedError, also where the
        stream or shard is not there any more.
        """


# -- the rest


class Clock(Protocol):
    """Time."""

    def monotonic(self) -> float:
        """Seconds that never go back and go on while the machine sleeps, from an arbitrary start."""

    def wall_ms(self) -> float:
        """Milliseconds since the epoch, as Kafka's timestamps."""
