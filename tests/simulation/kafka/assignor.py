"""Who gets which partition: balanced, and each member keeps as much as it may."""

from collections.abc import Collection, Mapping

from tests.simulation.kafka.messages import Place


def assign(
    wanted: Mapping[str, Collection[Place]], owned: Mapping[str, Collection[Place]], pinned: Mapping[Place, str]
) -> dict[str, set[Place]]:
    """`wanted` is what each member subscribes to, `owned` what it has now, `pinned` who is to have a partition in any case."""
    target: dict[str, set[Place]] = {member: set() for member in sorted(wanted)}
    given: set[Place] = set()
    for place, member in sorted(pinned.items()):
        if place in wanted.get(member, ()):
            target[member].add(place)
            given.add(place)
    fixed = set(given)
    for member, places in sorted(owned.items()):
        for place in sorted(places):
            if place not in given and place in wanted.get(member, ()):
                target[member].add(place)
                given.add(place)
    for place in sorted({place for places in wanted.values() for place in places} - given):
        candidates = [member for member in target if place in wanted[member]]
        target[min(candidates, key=lambda member: (len(target[member]), member))].add(place)
    while move := _next_move(target, wanted, fixed):
        place, heavy, light = move
        target[heavy].remove(place)
        target[light].add(place)
    return target


def _next_move(
    target: Mapping[str, set[Place]], wanted: Mapping[str, Collection[Place]], fixed: Collection[Place]
) -> tuple[Place, str, str] | None:
    """A partition whose move makes the assignment more even, from whom, to whom."""
    by_load = sorted(target, key=lambda member: (len(target[member]), member))
    for heavy in reversed(by_load):
        for light in by_load:
            if len(target[heavy]) - len(target[light]) < 2:
                break
            movable = [place for place in target[heavy] if place not in fixed and place in wanted[light]]
            if movable:
                return max(movable), heavy, light
    return None
