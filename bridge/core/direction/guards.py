"""What has to hold before a route changes its direction: named guards over one gathered value.

The table is the only source of them: preflight, API, command line and runbook take names, reasons and remedies from here. A guard
whose facts are not known refuses; nothing is taken for granted because it could not be measured.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from bridge.core.direction.direction import PATHS, Direction, Path, Phase
from bridge.core.direction.gathered import Gathered

TARGET_LOAD_MAX = 0.8
"""The part of what the target takes that the observed rate may need: what waited during the change has to fit in as well."""

Check = Callable[[Gathered], str | None]
"""The reason why the guard refuses; None where it holds. Called only where everything that the guard needs is known."""


@dataclass(slots=True, frozen=True)
class Guard:
    """`about` says what has to hold, `remedy` what the operator does where it does not; both are sentences.

    `needs` names the fields of Gathered without which it cannot be told. `on` is when the guard is asked at all.
    """

    about: str
    remedy: str
    needs: tuple[str, ...]
    check: Check
    overridable: bool = True
    on: Callable[[Gathered], bool] = lambda _: True


@dataclass(slots=True, frozen=True)
class Refused:
    """A guard that does not hold. `measured` is false where it could not be told. One that is overridden refuses no more."""

    guard: str
    reason: str
    remedy: str
    overridable: bool
    measured: bool
    overridden: bool = False


def turned_on(gathered: Gathered, path: Path) -> bool:
    """Whether the change would turn a path on; said also where the present direction is not known."""
    current = gathered.control
    return path in PATHS[gathered.to] and (current is None or path not in PATHS[current.direction])


def turned_off(gathered: Gathered, path: Path) -> bool:
    """Whether the change would turn a path off; said also where the present direction is not known."""
    current = gathered.control
    return path not in PATHS[gathered.to] and (current is None or path in PATHS[current.direction])


def _replaced(path: Path) -> Callable[[Gathered], bool]:
    """The path is turned off and the other one carries: consumers on its far side must have everything by then."""
    return lambda gathered: turned_off(gathered, path) and gathered.to is not Direction.PAUSED


def _starts(gathered: Gathered) -> bool:
    return any(turned_on(gathered, path) for path in Path)


def _reverse_starts(gathered: Gathered) -> bool:
    return turned_on(gathered, Path.REVERSE)


def _at_most(name: str, limit: str, what: str) -> Check:
    def check(gathered: Gathered) -> str | None:
        value, most = getattr(gathered, name), getattr(gathered, limit)
        return None if value <= most else f"{what} {value:g} s, at most {most:g} s"

    return check


def _none_of(name: str, what: str) -> Check:
    def check(gathered: Gathered) -> str | None:
        found: Collection[str] = getattr(gathered, name)
        return f"{what}: {', '.join(sorted(found))}" if found else None

    return check


def _parity_clean(gathered: Gathered) -> str | None:
    return f"{gathered.parity_mismatches} mismatches" if gathered.parity_mismatches else None


def _replicas(gathered: Gathered) -> str | None:
    versions = gathered.replica_versions or ()
    if gathered.replicas_expected is not None and len(versions) != gathered.replicas_expected:
        return f"{len(versions)} replicas, {gathered.replicas_expected} expected"
    if not versions:
        return "no replica is running"
    if len(set(versions)) > 1:
        return f"replicas of several versions: {', '.join(sorted(set(versions)))}"
    return None


def _held_decided(gathered: Gathered) -> str | None:
    if not gathered.held_records or gathered.held is not None:
        return None
    return f"{gathered.held_records} records are held on the path that would be turned on"


def _retention(gathered: Gathered) -> str | None:
    needed = gathered.retention_needed_s or 0.0
    sides = {"topic": gathered.topic_retention_s or 0.0, "stream": gathered.stream_retention_s or 0.0}
    short = [f"the {side} keeps records {kept_s:g} s" for side, kept_s in sides.items() if kept_s < needed]
    return f"{' and '.join(short)}, {needed:g} s are needed" if short else None


def _target_room(gathered: Gathered) -> str | None:
    load = gathered.target_load or 0.0
    return f"the observed rate needs {load:.0%} of the target, at most {TARGET_LOAD_MAX:.0%}" if load > TARGET_LOAD_MAX else None


def _reverse_way(gathered: Gathered) -> str | None:
    return None if gathered.reverse_topic else "the route names no topic for its way back"


def _nothing_under_way(gathered: Gathered) -> str | None:
    control = gathered.control
    if control is None or control.phase is Phase.ACTIVE:
        return None
    return f"the change to {control.direction} by {control.who or 'nobody named'} is {control.phase}"


def _keys_count(gathered: Gathered) -> str | None:
    return "the stream spreads records without regard to their partition keys" if gathered.keys_ignored else None


def _keys_reversible(gathered: Gathered) -> str | None:
    count = gathered.irreversible_keys
    return f"{count} records were seen whose Kafka key cannot be made of their partition key" if count else None


GUARDS: Mapping[str, Guard] = {
    "no_other_switchover": Guard(
        "No other change of the route is under way.",
        "Wait for its end (`bridge direction show`), or abort it (`bridge direction abort`).",
        ("control",),
        _nothing_under_way,
        overridable=False,
    ),
    "internal_topics_healthy": Guard(
        "Every partition of the internal topics has a leader and enough replicas in sync, and its settings are right.",
        "Bring the named topics into order; `bridge config topics` prints their definitions.",
        ("internal_topics_in_trouble",),
        _none_of("internal_topics_in_trouble", "in trouble"),
        overridable=False,
    ),
    "permissions": Guard(
        "The bridge has every right that the new direction needs, on both platforms.",
        "Grant the rights that are named; `bridge config check --online` tries each of them.",
        ("permissions_missing",),
        _none_of("permissions_missing", "missing"),
        overridable=False,
        on=_starts,
    ),
    "reverse_way_named": Guard(
        "The route says where the stream's foreign records go.",
        "Give the route a `reverse_topic`, and restart; of several routes that share a stream one can have it.",
        ("reverse_topic",),
        _reverse_way,
        overridable=False,
        on=_reverse_starts,
    ),
    "partition_keys_count": Guard(
        "The stream places records by their partition keys; else there is no order to keep.",
        "Give the stream a record distribution that heeds partition keys.",
        ("keys_ignored",),
        _keys_count,
        overridable=False,
        on=_starts,
    ),
    "keys_reversible": Guard(
        "Every key that was seen can be made of its partition key again, so that a record of the same key meets it in Kafka.",
        "Set `on_long_key: park` (or shorten the keys at the producer) and wait until none is left that matters.",
        ("irreversible_keys",),
        _keys_reversible,
        on=_reverse_starts,
    ),
    "replicas_as_expected": Guard(
        "As many replicas run as are expected, all of one version.",
        "Start or stop replicas, or finish the roll-out; `switchover.replicas_expected` says how many there should be.",
        ("replica_versions",),
        _replicas,
    ),
    "no_unclean_partition": Guard(
        "No partition was left open by a dead owner, and none is halted.",
        "Wait for the recovery, or settle the halt: `bridge status` names partition and remedy.",
        ("unclean_partitions",),
        _none_of("unclean_partitions", "unclean or halted"),
        on=lambda gathered: gathered.to is not Direction.PAUSED,
    ),
    "forward_lag": Guard(
        "What is in Kafka has landed in the stream, but for the last moments.",
        "Wait until it has (`bridge wait`); where the lag grows, the stream needs more shards.",
        ("forward_lag_s", "lag_max_s"),
        _at_most("forward_lag_s", "lag_max_s", "the lag is"),
        on=_replaced(Path.FORWARD),
    ),
    "iterator_age": Guard(
        "The stream is read to its end, but for the last moments.",
        "Wait until it is; where the age grows, other readers use up the shards' read limits.",
        ("iterator_age_s", "lag_max_s"),
        _at_most("iterator_age_s", "lag_max_s", "the oldest unread record is behind by"),
        on=lambda gathered: turned_on(gathered, Path.REVERSE) or _replaced(Path.REVERSE)(gathered),
    ),
    "parity_clean": Guard(
        "Both platforms hold the same records, as far as they were compared.",
        "Look at `bridge parity show`, and mend or explain each mismatch.",
        ("parity_mismatches",),
        _parity_clean,
        on=_replaced(Path.FORWARD),
    ),
    "parity_fresh": Guard(
        "The last verdict of parity is not older than `switchover.verified_within`.",
        "Wait for the next verdict, or run `bridge parity audit`.",
        ("parity_age_s", "verified_within_s"),
        _at_most("parity_age_s", "verified_within_s", "the last verdict is of"),
        on=_replaced(Path.FORWARD),
    ),
    "parity_up_to_now": Guard(
        "Everything that was carried is verified, but for the last moments.",
        "Wait until it is (`bridge wait --verified`).",
        ("parity_behind_s", "lag_max_s"),
        _at_most("parity_behind_s", "lag_max_s", "verification is behind by"),
        on=_replaced(Path.FORWARD),
    ),
    "held_decided": Guard(
        "The operator has said what becomes of records that are held on a path that would be turned on.",
        "Say `--held carry` to carry them first, or `--held skip` to leave them out for ever.",
        ("held_records",),
        _held_decided,
        overridable=False,
        on=_starts,
    ),
    "retention": Guard(
        "Topic and stream keep records long enough for the change, a look at its outcome, and the way back.",
        "Raise the retention of the side that is named.",
        ("topic_retention_s", "stream_retention_s", "retention_needed_s"),
        _retention,
        on=_starts,
    ),
    "target_room": Guard(
        "The target of a path that would be turned on has room for the rate that was observed.",
        "Give the stream more shards (`bridge provision`), or the topic more partitions or brokers.",
        ("target_load",),
        _target_room,
        on=_starts,
    ),
}


def refusals(gathered: Gathered, overrides: Collection[str] = ()) -> list[Refused]:
    """Every guard that does not hold, in the order of the table, and not only the first.

    Raises KeyError for an override that names no guard.
    """
    for name in overrides:
        GUARDS[name]
    found = []
    for name, guard in GUARDS.items():
        if not guard.on(gathered):
            continue
        unknown = [need for need in guard.needs if getattr(gathered, need) is None]
        reason = f"not yet measurable: {', '.join(unknown)}" if unknown else guard.check(gathered)
        if reason is not None:
            overridden = guard.overridable and name in overrides
            found.append(Refused(name, reason, guard.remedy, guard.overridable, not unknown, overridden))
    return found


def allowed(found: Collection[Refused]) -> bool:
    """Whether the change may be asked for: every guard that refuses is overridden."""
    return all(refused.overridden for refused in found)
