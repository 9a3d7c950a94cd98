"""`ledger`: what the bridge remembers of the records that it wrote, and for how long."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from bridge.app.settings.section import Section, WholeNumber, written
from bridge.app.settings.units import Duration, Within, refuse
from bridge.core.topics import OF_THE_CLUSTER


def _check_replication_factor(value: int) -> int:
    if value == 0:
        raise refuse("write -1 for the cluster's default, or a number of replicas from 1 to 32")
    return value


_NOT_ZERO: dict[str, Any] = {"not": {"minimum": 0, "maximum": 0}}


class LedgerSettings(Section):
    """The topic `<name>.ledger`: where each record of Kafka stands in Kinesis."""

    slots: WholeNumber = Field(
        default=16,
        ge=1,
        le=256,
        description="Partitions of the topic; a shard's entries go to one of them. Never change it: entries would be looked for "
        "where they are not. 16 by default: so many replicas can share the work, and an idle one costs next to nothing.",
    )
    replication_factor: Annotated[WholeNumber, AfterValidator(_check_replication_factor)] = Field(
        default=OF_THE_CLUSTER,
        ge=-1,
        le=32,
        json_schema_extra=_NOT_ZERO,
        description="Replicas of the topic when the bridge makes it; -1 takes the cluster's default, which is right where "
        "that keeps other topics safe. Only used then.",
    )
    retention: Annotated[Duration, Within("25h", "3650d")] = Field(
        default=written("8d"),
        description="How long entries are kept. Longer than each stream keeps its records, or a record could not be told from "
        "one that the bridge did not write; 8d are enough for streams that keep theirs for up to 7d.",
    )
