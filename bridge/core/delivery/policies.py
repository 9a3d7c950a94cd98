"""What is done with a record that cannot be carried as it is: one policy for each reason."""

from dataclasses import dataclass
from typing import Literal

from bridge.core.delivery.halts import Reason

OnOversize = Literal["park", "stop", "skip"]
OnLongKey = Literal["hash", "park", "stop"]
OnTombstone = Literal["park", "stop", "skip", "send_empty"]
OnMissingField = Literal["park", "stop", "skip", "use_kafka_key"]
Action = Literal["park", "stop", "skip"]
"""`park`: into the dead-letter topic, confirmed before the offset passes. `stop`: the partition halts at the record. `skip`: the
record is left out, and counted."""


@dataclass(slots=True, frozen=True)
class Policies:
    """Those of one route. The defaults lose nothing and stop nothing."""

    on_oversize: OnOversize = "park"
    on_long_key: OnLongKey = "hash"
    on_tombstone: OnTombstone = "park"
    on_missing_field: OnMissingField = "park"


@dataclass(slots=True, frozen=True)
class Decided:
    """An operator's word for the record at one offset, in place of every policy."""

    offset: int
    action: Literal["park", "skip"]
    reason: Reason
    detail: str


@dataclass(slots=True, frozen=True)
class Diverted:
    """A row that is not sent: parked or skipped, and why."""

    row: int
    action: Literal["park", "skip"]
    reason: Reason
    detail: str


def action_of(policies: Policies, reason: Reason) -> Action:
    """What is done with a record that has this fault.

    Where the policy's own way was no way out (an origin that is too long cannot be hashed), it is parked.
    """
    actions: dict[Reason, str] = {
        "oversize": policies.on_oversize,
        "key_too_long": policies.on_long_key,
        "tombstone": policies.on_tombstone,
        "missing_field": policies.on_missing_field,
        "not_json": policies.on_missing_field,
    }
    action = actions[reason]
    return action if action in ("stop", "skip") else "park"  # type: ignore[return-value]
