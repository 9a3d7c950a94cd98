"""What the bridge writes beside a committed offset, so that any process with access to Kafka can tell its state.

Format: compact JSON, `v` its version, at most 4096 bytes (default of the broker's `offset.metadata.max.bytes`).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

VERSION = 1
METADATA_BYTES_MAX = 4096


class CommitPoint(NamedTuple):
    """An offset to commit (next to read) with its metadata."""

    offset: int
    metadata: str


@dataclass(slots=True, frozen=True)
class CommitMetadata:
    """`slices` is N of `partition_key: partition`, frozen when the partition was first assigned.

    `halted` and `halted_at` name the reason and the offset at which the partition stands still.
    """

    slices: int | None = None
    halted: str | None = None
    halted_at: int | None = None


def encode(metadata: CommitMetadata) -> str:
    """Text for the metadata field of an offset commit."""
    fields: dict[str, Any] = {"v": VERSION}
    if metadata.slices is not None:
        fields["n"] = metadata.slices
    if metadata.halted is not None:
        fields["halted"] = metadata.halted
        fields["at"] = metadata.halted_at
    return orjson.dumps(fields).decode()


def decode(text: str | None) -> CommitMetadata:
    """The metadata of a committed offset; empty for what another program wrote there."""
    try:
        fields = orjson.loads(text or "")
    except orjson.JSONDecodeError:
        return CommitMetadata()
    if not isinstance(fields, dict) or fields.get("v") != VERSION:
        return CommitMetadata()
    slices, halted, halted_at = fields.get("n"), fields.get("halted"), fields.get("at")
    return CommitMetadata(
        slices if isinstance(slices, int) and slices > 0 else None,
        halted if isinstance(halted, str) else None,
        halted_at if isinstance(halted_at, int) else None,
    )
