"""How large an aggregate may be."""

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class AggregateLimits:
    """Of one aggregate: bytes of its data, and records. A record that is larger goes alone."""

    bytes_max: int
    records_max: int
    bridge: str
    """Name that goes into the tag."""
