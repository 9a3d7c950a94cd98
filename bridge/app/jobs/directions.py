"""`bridge direction show`: the direction of each route, and how many of its partitions act by it."""

from dataclasses import dataclass

from bridge.app.jobs.preflight import rows_by_topic
from bridge.app.jobs.status import read_status
from bridge.app.settings import Settings
from bridge.core.direction.control_record import ControlRecord
from bridge.core.direction.control_state import control_state
from bridge.core.errors import RefusedError
from bridge.ports import Clock, ControlStore, GroupDirectory


@dataclass(slots=True, frozen=True)
class RouteDirection:
    """`control` is None before a daemon has run with the route. `at_epoch` counts the partitions whose commits show its epoch,
    `unreadable` those whose commits this version cannot read; `problem` tells why its record cannot be read."""

    route: str
    control: ControlRecord | None
    partitions: int
    at_epoch: int
    problem: str | None = None
    unreadable: int = 0


async def read_directions(
    settings: Settings, kafka: GroupDirectory, store: ControlStore, clock: Clock, routes: str | None
) -> list[RouteDirection]:
    """Asks Kafka. Raises UnavailableError; RefusedError where it may not be asked, or where no route is meant."""
    rows = rows_by_topic(await read_status(settings, kafka, clock), routes)
    if not rows and routes is not None:
        raise RefusedError(f"--routes {routes}: no route of the configuration carries such a topic of Kafka")
    state = control_state(await store.read())
    found = []
    for topic, of_topic in rows.items():
        record = state.records.get(topic)
        epochs = [row.ownership.epoch for row in of_topic if row.ownership]
        at_epoch = 0 if record is None else epochs.count(record.epoch)
        unreadable = sum(row.unreadable is not None for row in of_topic)
        found.append(RouteDirection(topic, record, len(of_topic), at_epoch, state.unreadable.get(topic), unreadable))
    return found
