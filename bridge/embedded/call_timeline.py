"""A call from its arrival to its end, with whatever the faults make of it.

The waiting and the connection are the caller's: sockets in the server, a simulation's own in virtual time.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import orjson

from bridge.embedded.call_faults import CallFate, Ending, fate_of, take_up
from bridge.embedded.kinesis_errors import KinesisError
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.request_fields import Call


class Reply(NamedTuple):
    """What goes back to the caller: HTTP status and body."""

    status: int
    content: bytes


class Connection(Protocol):
    """Where a call came from. Nothing here raises when the caller is gone: a call that came is carried out all the same."""

    async def pause(self, seconds: float) -> None:
        """Waits, also when the caller no longer does."""

    async def hang(self) -> None:
        """Waits until the caller gives up."""

    def close(self) -> None:
        """The caller gets no answer, and learns that at once."""


def error_reply(model: KinesisModel, error: KinesisError) -> Reply:
    """An error in the shape of the service; it is counted."""
    model.traffic.errors[error.code] += 1
    return Reply(error.status, orjson.dumps({"__type": error.code, "message": error.message}))


async def perform(model: KinesisModel, call: Call, clock: Callable[[], float], connection: Connection) -> Reply | None:
    """The reply to a call that came just now; None where none is to be given. Run it to its end whatever the caller does:
    cancelling it takes the call back."""
    model.traffic.calls[call.operation] += 1
    fate = fate_of(model, call, clock())
    waited = 0.0
    if fate.closed_after_s is not None and fate.closed_after_s < fate.wait_s:
        await _pause(connection, fate.closed_after_s)
        connection.close()
        waited = fate.closed_after_s
    await _pause(connection, fate.wait_s - waited)
    reply = _taken_up(model, call, fate, clock())
    await _pause(connection, fate.answer_wait_s)
    if fate.closed_after_s is not None or fate.ending is Ending.CLOSED:
        connection.close()
        return None
    if fate.ending is Ending.HUNG:
        await connection.hang()
        return None
    return reply


def _taken_up(model: KinesisModel, call: Call, fate: CallFate, now: float) -> Reply:
    try:
        return Reply(200, take_up(model, call, fate, now))
    except KinesisError as error:
        return error_reply(model, error)


async def _pause(connection: Connection, seconds: float) -> None:
    if seconds > 0:
        await connection.pause(seconds)
