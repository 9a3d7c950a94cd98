"""How far the producer may run ahead: the embedded Kafka forgets records, whether they were read or not."""

from array import array

from bridge.embedded.kafka import PARTITION_RECORDS_MAX

RECORD_OVERHEAD_BYTES = 20
"""Counted for each record beside its key and value: its own header takes some 11 bytes, its part of a batch's a few more."""


class Backlog:
    """Bytes of each partition that were produced and are not yet committed by the group. Pure.

    Offsets count from 0 without holes: one producer, no transactions.
    """

    def __init__(self, partitions: int, bytes_max: int, records_max: int = PARTITION_RECORDS_MAX // 2) -> None:
        self._bytes_max = bytes_max
        self._records_max = records_max
        self._bytes_below = [array("q", [0]) for _ in range(partitions)]
        """At index n the bytes of the partition's first n records."""
        self._committed = [0] * partitions

    def has_room(self, partition: int, size: int) -> bool:
        """Whether a record of `size` bytes (key and value) may be produced now; the first of an empty backlog always may."""
        waiting = self.records(partition)
        return waiting == 0 or (
            waiting < self._records_max and self.bytes(partition) + size + RECORD_OVERHEAD_BYTES <= self._bytes_max
        )

    def produced(self, partition: int, size: int) -> None:
        """A record of `size` bytes was handed to the producer."""
        below = self._bytes_below[partition]
        below.append(below[-1] + size + RECORD_OVERHEAD_BYTES)

    def committed(self, partition: int, offset: int) -> None:
        """The group's committed offset; one that went back or is not there yet (negative) changes nothing.

        Raises ValueError for an offset beyond what was produced.
        """
        if offset >= len(self._bytes_below[partition]):
            raise ValueError(f"partition {partition}: offset {offset} is committed, {self.end(partition)} were produced")
        self._committed[partition] = max(self._committed[partition], offset)

    def bytes(self, partition: int) -> int:
        """Bytes that are produced and not committed."""
        below = self._bytes_below[partition]
        return below[-1] - below[self._committed[partition]]

    def records(self, partition: int) -> int:
        """Records that are produced and not committed."""
        return self.end(partition) - self._committed[partition]

    def end(self, partition: int) -> int:
        """Records produced."""
        return len(self._bytes_below[partition]) - 1

    @property
    def waiting(self) -> int:
        """Records that are produced and not committed, in all partitions."""
        return sum(self.records(partition) for partition in range(len(self._committed)))
