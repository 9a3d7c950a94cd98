"""Every reason for which a partition stands still: what happened, and what the operator does about it.

The catalogue is the only source of these names: status, `/readyz`, metrics, log and README take them from here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Reason = Literal[
    "oversize",
    "tombstone",
    "key_too_long",
    "not_json",
    "missing_field",
    "rejected",
    "dead_letters",
    "offset_out_of_range",
    "topic_recreated",
    "stream_recreated",
    "mapping_changed",
    "evidence_expired",
    "metadata_version",
]


@dataclass(slots=True, frozen=True)
class About:
    """`what` happened and the `remedy`, in sentences.

    A reason that `stays` outlives every restart, until the group's offset is set by the operator; any other is looked at
    again by the next owner of the partition, and found again if its cause is still there.
    """

    what: str
    remedy: str
    stays: bool = False


_PASS_BY = "or pass it by with `bridge route resume --skip`, or `--park` to keep it in the dead-letter topic"
_SET = "stop all replicas, set the group's offset with kafka-consumer-groups.sh, and start them"

HALTS: Mapping[Reason, About] = {
    "oversize": About(
        "data and partition key of the record are larger than the stream, or a request, takes",
        "raise the stream's largest record (UpdateMaxRecordSize) and `kinesis.request_bytes_max` above it, and restart; "
        f"or give the route another policy for such records; {_PASS_BY}",
    ),
    "tombstone": About(
        "the value of the record is null, which Kinesis cannot hold",
        f"give the route another policy for such records, and restart; {_PASS_BY}",
    ),
    "key_too_long": About(
        "the partition key of the record would have more than 256 characters",
        f"choose another `partition_key` or policy for the route, and restart; {_PASS_BY}",
    ),
    "not_json": About(
        "`partition_key` asks for a field and the value of the record is not JSON",
        f"correct the producer, give the route another policy for such records, and restart; {_PASS_BY}",
    ),
    "missing_field": About(
        "a field of the template is missing in the record, or not a string, number or boolean",
        f"correct the template or the producer, or give the route another policy for such records, and restart; {_PASS_BY}",
    ),
    "rejected": About(
        "Kinesis refused the record, alone in a request, as invalid; `detail` has its words",
        f"mend what its words name, and restart; {_PASS_BY}",
    ),
    "dead_letters": About(
        "the record is to be parked, and the dead-letter topic cannot be written",
        "create the dead-letter topic, or allow the bridge to write it, as `detail` says, and restart",
    ),
    "offset_out_of_range": About(
        "Kafka does not have the committed offset any more: retention removed it, or the log was truncated",
        f"find out which records are missing; then {_SET}",
    ),
    "topic_recreated": About(
        "the topic was deleted and created anew under its name: the committed offset is one of the topic before",
        f"find out which records of the topic before are missing; then {_SET}, `--to-earliest` to carry all of the new topic",
        stays=True,
    ),
    "stream_recreated": About(
        "the stream was deleted and created anew under its name: what was carried before is not in it",
        f"decide where the new stream begins; then {_SET}, `--to-earliest` to carry all that Kafka still has",
        stays=True,
    ),
    "mapping_changed": About(
        "the route maps records otherwise than the owner before did, and what became of the last records that it sent is not "
        "settled: by the new mapping they would not be known again",
        "restore the configuration that the route had, and start one replica until `bridge status` shows its partitions clean; "
        "stop it; then change the route",
    ),
    "evidence_expired": About(
        "the owner before left attempts whose outcome nobody knows, and the retention of the stream, or of the ledger, has "
        "removed what would tell it",
        "find out what of the partition reached the stream's consumers, which the ledger and their own data tell; then "
        f"{_SET}, at the first record that is to be sent: what stands there is then sent, perhaps once more",
    ),
    "metadata_version": About(
        "what stands beside the committed offset was written by another version of the bridge, or is damaged: who owns the "
        "partition, and what is under way, cannot be read; nothing is committed over it",
        "run the version of the bridge that wrote it on all replicas; only where no version can read it any more: find out what "
        f"of the partition reached the stream's consumers, then {_SET}, at the first record that is to be sent",
    ),
}


def reason_named(name: str | None) -> Reason | None:
    """The reason of this name; None where the catalogue has none, as where a later version has written it."""
    return next((reason for reason in get_args(Reason) if reason == name), None)


@dataclass(slots=True, frozen=True)
class Halt:
    """Why and where a partition stands still. `offset` is the record that waits for a decision; nothing above it is committed."""

    reason: Reason
    offset: int
    detail: str
    timestamp_ms: int | None = None

    @property
    def remedy(self) -> str:
        """What the operator does, in a sentence."""
        return HALTS[self.reason].remedy

    @property
    def stays(self) -> bool:
        """Whether a restart does not look at it again."""
        return HALTS[self.reason].stays

    def outranks(self, other: "Halt") -> bool:
        """Whether it is told in place of the other: the lower one is, but for one that stays."""
        return (self.stays, -self.offset) > (other.stays, -other.offset)
