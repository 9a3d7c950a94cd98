"""Calls of the API without HTTP: from a request's body to the body of its answer, the same for the server and in process."""

from typing import Any

import orjson

from bridge.embedded.control_operations import CONTROL_OPERATIONS
from bridge.embedded.kinesis_errors import SerializationException, UnknownOperationException
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.record_operations import RECORD_OPERATIONS
from bridge.embedded.request_fields import Call, RequestFields


def answer(model: KinesisModel, operation: str, body: bytes, now: float, client: str = "") -> bytes:
    """The body of one call's answer; raises KinesisError. Faults hit its records, not the call: see `call_timeline`."""
    return carry_out(model, read_call(operation, body, client), now)


def read_call(operation: str, body: bytes, client: str = "") -> Call:
    """Raises UnknownOperationException, SerializationException."""
    if operation not in RECORD_OPERATIONS and operation not in CONTROL_OPERATIONS:
        raise UnknownOperationException(f"{operation!r} is not an operation of this service.")
    return Call(operation, _members(body), client)


def carry_out(model: KinesisModel, call: Call, now: float) -> bytes:
    """The body of the answer; raises KinesisError."""
    if (on_records := RECORD_OPERATIONS.get(call.operation)) is not None:
        return on_records(model, call, now)
    return orjson.dumps(CONTROL_OPERATIONS[call.operation](model, RequestFields(call.members), now))


def _members(body: bytes) -> dict[str, Any]:
    try:
        members = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise SerializationException(str(error)) from None
    if not isinstance(members, dict):
        raise SerializationException("The request is not a JSON object.")
    return members
