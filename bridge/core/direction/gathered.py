"""The facts that guards judge by, gathered in one value. None stands for what is not known."""

from dataclasses import dataclass

from bridge.core.direction.control_record import ControlRecord, Held
from bridge.core.direction.direction import Direction


@dataclass(slots=True, frozen=True, kw_only=True)
class Gathered:
    """What is asked for, and what is known of one route. Durations in seconds; a field that is None could not be measured.

    `control` is the route's latest control record. `iterator_age_s` is by how much reading of the stream is behind.
    `parity_age_s` is the age of the last verdict, `parity_behind_s` how far the end of what is verified is behind what was
    carried. `unclean_partitions` were left open by an owner that is gone, or are halted. `replica_versions` has an entry for each
    running replica. `held_records` counts those on paths that would be turned on. Retentions are infinite where nothing is ever
    removed. `target_load` is the observed rate as a part of what the target takes, of the path and limit where it is highest.
    `reverse_topic` is empty where the route names none. `keys_ignored`: the stream places records without their partition keys.
    `irreversible_keys` counts records whose key was hashed. The last four are settings.
    """

    to: Direction
    held: Held | None = None
    control: ControlRecord | None = None
    forward_lag_s: float | None = None
    iterator_age_s: float | None = None
    parity_mismatches: int | None = None
    parity_age_s: float | None = None
    parity_behind_s: float | None = None
    unclean_partitions: tuple[str, ...] | None = None
    replica_versions: tuple[str, ...] | None = None
    held_records: int | None = None
    topic_retention_s: float | None = None
    stream_retention_s: float | None = None
    target_load: float | None = None
    permissions_missing: tuple[str, ...] | None = None
    reverse_topic: str | None = None
    internal_topics_in_trouble: tuple[str, ...] | None = None
    keys_ignored: bool | None = None
    irreversible_keys: int | None = None
    lag_max_s: float | None = None
    verified_within_s: float | None = None
    retention_needed_s: float | None = None
    replicas_expected: int | None = None
