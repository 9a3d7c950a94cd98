"""Records that do not fit as they are, drawn for a run, and what the configuration says shall become of each."""

import random
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from bridge.core.delivery.aggregation import encode_aggregate
from bridge.core.quotas import MIB

Kind = Literal["tombstone", "long_key", "oversize", "binary_key", "empty_key", "marker_key", "looks_aggregated"]
KINDS: tuple[Kind, ...] = (
    "tombstone",
    "tombstone",
    "long_key",
    "long_key",
    "binary_key",
    "empty_key",
    "marker_key",
    "looks_aggregated",
    "oversize",
)
Fate = Literal["arrive", "park", "skip", "stop"]

TOMBSTONE_KEY = "tombstone/"


class Odd(NamedTuple):
    """One record that does not fit, produced at a moment."""

    at: float
    topic: str
    partition: int
    kind: Kind


def odd_of(chance: random.Random, topics: Mapping[str, int], ends_at: float) -> list[Odd]:
    """Of topics, given with their numbers of partitions. In half of the runs there are none."""
    if chance.random() < 0.5:
        return []
    names = sorted(topics)
    found = []
    for _ in range(chance.randint(1, 12)):
        topic = chance.choice(names)
        kind = chance.choice(KINDS)
        if kind == "oversize" and chance.random() < 0.6:
            kind = "tombstone"  # large ones cost much time to simulate
        found.append(Odd(chance.uniform(0, ends_at * 0.9), topic, chance.randrange(topics[topic]), kind))
    return found


def policies_of(chance: random.Random) -> dict[str, Any]:
    """Of one route. A partition that stops stays so: that is rare."""
    stop = chance.random() < 0.1
    return {
        "on_oversize": "stop" if stop else chance.choice(("park", "park", "skip")),
        "on_long_key": "stop" if stop else chance.choice(("hash", "park")),
        "on_tombstone": "stop" if stop else chance.choice(("park", "park", "skip", "send_empty")),
    }


def fate_of(kind: Kind, route: Mapping[str, Any]) -> Fate:
    """What the configuration says."""
    by_key = route["partition_key"] == "key"
    if kind == "tombstone":
        policy = route.get("on_tombstone", "park")
    elif kind == "oversize":
        policy = route.get("on_oversize", "park")
    elif kind == "long_key" and by_key:
        policy = route.get("on_long_key", "hash")
    else:
        return "arrive"
    return policy if policy in ("park", "skip", "stop") else "arrive"


def reason_of(kind: Kind) -> str:
    """The name by which it is parked, or its partition halted."""
    return {"long_key": "key_too_long"}.get(kind, kind)


def content_of(kind: Kind, coordinates: str, value: bytes) -> tuple[bytes, bytes | None]:
    """Key and value of a record of this kind; `value` is what it would be as an ordinary one."""
    if kind == "tombstone":
        return f"{TOMBSTONE_KEY}{coordinates}".encode(), None
    if kind == "long_key":
        return b"long-" + b"k" * 300, value
    if kind == "oversize":
        return b"large", value + b"x" * (MIB + 1)
    if kind == "binary_key":
        return b"\xff\x00\xfe", value
    if kind == "empty_key":
        return b"", value
    if kind == "marker_key":
        return b"~k:bAAAA", value
    return b"looks-aggregated", encode_aggregate(["inside"], None, [value])
