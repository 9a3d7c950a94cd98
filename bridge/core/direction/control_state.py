"""What the control topic says as a whole: its keys, and the state that the latest value of each of them makes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bridge.core.direction.control_record import ControlRecord, ControlRecordError, decode, encode
from bridge.core.direction.resume import Resume, decode_resume, encode_resume
from bridge.core.records import Partition

Decide = Callable[[Mapping[str, bytes]], Mapping[str, bytes]]
"""From the latest value of each key to the values to write; what it raises is the refusal. It may be called more than once."""

ROUTE = "route/"
EPOCH = "epoch/"
RESUME = "resume/"


@dataclass(slots=True, frozen=True)
class ControlState:
    """`records` by route, which is its topic. `unreadable` tells what is wrong with a route's record: it is held."""

    records: Mapping[str, ControlRecord] = field(default_factory=dict)
    resumes: Mapping[Partition, Resume] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)


def messages_of(record: ControlRecord) -> dict[str, bytes]:
    """A control record as it is written: what holds from now on, and for the audit trail what was last said under its epoch."""
    value = encode(record)
    return {f"{ROUTE}{record.route}": value, f"{EPOCH}{record.route}/{record.epoch}": value}


def message_of(resume: Resume) -> dict[str, bytes]:
    """An operator's word as it is written: the last one for a partition counts."""
    return {f"{RESUME}{resume.partition.topic}/{resume.partition.number}": encode_resume(resume)}


def control_state(latest: Mapping[str, bytes]) -> ControlState:
    """Keys of other kinds are passed over."""
    records: dict[str, ControlRecord] = {}
    resumes: dict[Partition, Resume] = {}
    unreadable: dict[str, str] = {}
    for key, value in latest.items():
        if key.startswith(ROUTE):
            route = key.removeprefix(ROUTE)
            try:
                record = decode(value)
                if record.route != route:
                    raise ControlRecordError(f"the control record under the key {key} is of route {record.route}")
                records[route] = record
            except ControlRecordError as error:
                unreadable[route] = str(error)
        elif key.startswith(RESUME) and (resume := _resume_in(key, value)):
            resumes[resume.partition] = resume
    return ControlState(records, resumes, unreadable)


def _resume_in(key: str, value: bytes) -> Resume | None:
    """None where it cannot be read: then the partition stands still as before."""
    try:
        resume = decode_resume(value)
    except ControlRecordError:
        return None
    return resume if message_of(resume).keys() == {key} else None
