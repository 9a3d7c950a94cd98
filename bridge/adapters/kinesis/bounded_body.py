"""The body of a request that is whole on the wire before its deadline, or never: a process may be frozen in between."""

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from bridge.ports import Clock


class BoundedBody(Payload):
    """Holds its last byte back until the rest was given to the system, and looks at the clock then. A server does nothing with a
    body that is shorter than it was told."""

    _value: bytes

    def __init__(self, value: bytes, content_type: str, deadline: float, clock: Clock) -> None:
        """`deadline` in seconds of the clock; without bytes there would be nothing to hold back."""
        super().__init__(value, content_type=content_type)
        self._size = len(value)
        self._deadline = deadline
        self._clock = clock
        self._transport: object = None
        self.is_late = False
        """The deadline passed first: the server has not got all of it, and will not."""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """As text."""
        return self._value.decode(encoding, errors)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The whole body."""
        del encoding, errors
        return self._value

    async def write(self, writer: AbstractStreamWriter) -> None:
        """See `write_with_length`."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Writes all of it. Raises ConnectionAbortedError after the deadline."""
        del content_length  # it is that of the body
        transport = getattr(writer, "transport", None)
        self._transport = transport
        if transport is not None:
            transport.set_write_buffer_limits(high=0)  # so that `drain` waits until nothing is left in the process
        whole = memoryview(self._value)
        await writer.write(whole[:-1])
        await writer.drain()
        if self._clock.monotonic() > self._deadline:
            self.is_late = True
            raise ConnectionAbortedError("the deadline passed before the request was sent")
        await writer.write(whole[-1:])

    def abort(self) -> None:
        """What the system has not sent yet is not sent any more: closing a connection would finish that."""
        if (abort := getattr(self._transport, "abort", None)) is not None:
            abort()
