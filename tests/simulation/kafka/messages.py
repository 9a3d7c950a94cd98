"""A record, or what Kafka reports in its place, with the methods of `confluent_kafka.Message`."""

from typing import Any

from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_NOT_AVAILABLE, KafkaError

Place = tuple[str, int]
"""Topic and partition."""
RECORD_OVERHEAD = 70
"""Bytes that a record costs beside key and value."""


class SimMessage:
    """Made when it is written, and the same object for every reader."""

    __slots__ = ("_error", "_key", "_offset", "_place", "_timestamp_ms", "_value", "size")

    def __init__(self, place: Place, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None) -> None:
        self._place, self._offset, self._timestamp_ms, self._key, self._value = place, offset, timestamp_ms, key, value
        self._error: KafkaError | None = None
        self.size = RECORD_OVERHEAD + len(key or b"") + len(value or b"")

    @classmethod
    def report(cls, error: KafkaError, place: Place | None = None, offset: int | None = None) -> "SimMessage":
        """An error, or the end of a partition."""
        message: Any = cls(place or ("", -1), -1, 0, None, None)
        message._error, message._offset, message._place = error, offset, place or (None, None)
        return message  # type: ignore[no-any-return]

    def topic(self) -> str | None:
        return self._place[0]

    def partition(self) -> int | None:
        return self._place[1]

    def offset(self) -> int | None:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return (TIMESTAMP_NOT_AVAILABLE if self._error else TIMESTAMP_CREATE_TIME), self._timestamp_ms

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> None:
        """None has any."""
        return None

    def error(self) -> KafkaError | None:
        return self._error
