"""From where on the ledger has to be read, so that nothing of a partition at or above its committed offset is missed.

As an offset of each slot. What is not written yet will stand at or behind the slot's end, as it was known when the writing began;
what nobody has begun to write stands at or behind every end that is known by now.
"""

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from bridge.core.proof.noted_entries import SlotMessage
from bridge.core.records import Partition


class _Written(NamedTuple):
    at: int
    highest: int
    """The highest Kafka offset of the partition in the message."""


@dataclass(slots=True)
class _OfPartition:
    written: dict[int, deque[_Written]] = field(default_factory=dict)
    """By slot, in the order of their places."""
    under_way: dict[int, Mapping[int, int]] = field(default_factory=dict)
    """Ends of slots as they were known when a writing began, by its number."""
    inherited: Mapping[int, int] = field(default_factory=dict)
    inherited_to: int = -1
    """What the owner before has written, up to this Kafka offset, begins there."""


class LedgerFloors:
    """Of all partitions of one process."""

    def __init__(self) -> None:
        self._ends: dict[int, int] = {}
        self._partitions: dict[Partition, _OfPartition] = {}
        self._writings = 0
        self.generation = 0
        """Rises when the ends of all slots became known anew."""

    def know_ends(self, ends: Mapping[int, int]) -> None:
        """The ends that the slots have by now: what is written from now on stands there or behind."""
        self.generation += 1
        self._rise(ends)

    def _rise(self, ends: Mapping[int, int]) -> None:
        for slot, end in ends.items():
            self._ends[slot] = max(end, self._ends.get(slot, 0))

    def inherit(self, partition: Partition, floors: Mapping[int, int], to_offset: int) -> None:
        """A new owner: entries of the one before, for Kafka offsets up to this one, stand at or above these floors."""
        self._partitions[partition] = _OfPartition(inherited=floors, inherited_to=to_offset)

    def forget(self, partition: Partition) -> None:
        """It is not ours any more."""
        self._partitions.pop(partition, None)

    def begin(self, messages: Collection[SlotMessage]) -> int:
        """These are being written from now on. Returns a number for `written`."""
        self._writings += 1
        begins: dict[Partition, dict[int, int]] = {}
        for message in messages:
            for partition in message.highest:
                begins.setdefault(partition, {})[message.slot] = self._ends.get(message.slot, 0)
        for partition, of_slots in begins.items():
            self._partitions.setdefault(partition, _OfPartition()).under_way[self._writings] = of_slots
        return self._writings

    def written(self, number: int, messages: Collection[SlotMessage], offsets: Collection[int]) -> None:
        """They are written, each at this offset of its slot."""
        for message, at in zip(messages, offsets, strict=True):
            self._rise({message.slot: at + 1})
            for partition, highest in message.highest.items():
                if found := self._partitions.get(partition):
                    found.under_way.pop(number, None)
                    found.written.setdefault(message.slot, deque()).append(_Written(at, highest))

    def of(self, partition: Partition, committable: int) -> dict[int, int]:
        """Where entries of this partition at or above this Kafka offset begin."""
        floors = dict(self._ends)
        if (found := self._partitions.get(partition)) is None:
            return floors
        begins = [*found.under_way.values()]
        if committable <= found.inherited_to:
            begins.append(found.inherited)
        for slot, messages in found.written.items():
            while messages and messages[0].highest < committable:
                messages.popleft()
            if messages:
                begins.append({slot: min(message.at for message in messages)})
        for of_slots in begins:
            for slot, at in of_slots.items():
                floors[slot] = min(at, floors.get(slot, at))
        return floors
