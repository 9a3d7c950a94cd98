"""Reading from the floors never misses an entry at or above the committed offset, whatever is written when."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge.core.proof.ledger_floors import LedgerFloors, ReadSlots
from bridge.core.proof.ledger_layout import LedgerMessage
from bridge.core.proof.noted_entries import SlotMessage
from bridge.core.records import Partition

SLOTS = 3
ORDERS, OTHERS = PARTITIONS = [Partition("orders", 0), Partition("orders", 1)]

PARTITION = st.sampled_from(PARTITIONS)
Message = tuple[Partition, int]
"""A message has entries of one partition here, up to a Kafka offset."""


class LogAndFloors(RuleBasedStateMachine):
    """Messages reach their slot when their writing begins, and are known to be there later, in any order."""

    @initialize()
    def begin_empty(self) -> None:
        self.log: dict[int, list[Message | None]] = {slot: [] for slot in range(SLOTS)}
        self.floors = LedgerFloors()
        self.floors.know_ends(dict.fromkeys(range(SLOTS), 0))
        self.next_offset, self.committed = dict.fromkeys(PARTITIONS, 0), dict.fromkeys(PARTITIONS, 0)
        self.under_way: list[tuple[int, SlotMessage, int]] = []

    @rule(partition=PARTITION, slots=st.lists(st.integers(0, SLOTS - 1), min_size=1, max_size=2, unique=True))
    def write(self, partition: Partition, slots: list[int]) -> None:
        highest = self.next_offset[partition] + 1
        self.next_offset[partition] += 2
        for slot in slots:
            message = SlotMessage(slot, b"", {partition: highest}, 1)
            self.under_way.append((self.floors.begin(message), message, len(self.log[slot])))
            self.log[slot].append((partition, highest))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def is_written(self, data: st.DataObject) -> None:
        self.floors.written(*self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1))))

    @rule()
    def know_ends(self) -> None:
        self.floors.know_ends({slot: len(messages) for slot, messages in self.log.items()})

    @rule(slot=st.integers(0, SLOTS - 1))
    def others_write(self, slot: int) -> None:
        self.log[slot].append(None)

    @rule(partition=PARTITION, rows=st.integers(0, 4))
    def commit(self, partition: Partition, rows: int) -> None:
        self.committed[partition] = min(self.next_offset[partition], self.committed[partition] + rows)

    @rule(partition=PARTITION)
    def take_over(self, partition: Partition) -> None:
        """What is under way ends before, or is not read."""
        before = self.floors.of(partition, self.committed[partition])
        self.floors.inherit(partition, before, self.next_offset[partition])
        self.under_way = [one for one in self.under_way if partition not in one[1].highest]

    @rule(partition=PARTITION, below=st.lists(st.integers(0, 60), min_size=SLOTS, max_size=SLOTS), fails_after=st.integers(0, 20))
    def write_again(self, partition: Partition, below: list[int], fails_after: int) -> None:
        """What slots have below is read and copied, message by message, as far as it goes."""
        begins = self.floors.of(partition, self.committed[partition])
        for slot in range(SLOTS):
            for at in range(begins[slot], min(below[slot], len(self.log[slot]))):
                if (fails_after := fails_after - 1) < 0:
                    return
                message = self.log[slot][at]
                if message and self._is_needed(partition, message):
                    copy = SlotMessage(slot, b"", {partition: message[1]}, 1)
                    number = self.floors.begin(copy)
                    self.log[slot].append(message)
                    self.floors.written(number, copy, len(self.log[slot]) - 1)
                self.floors.written_again(partition, {slot: at + 1})

    @invariant()
    def nothing_stands_below(self) -> None:
        for partition in PARTITIONS:
            begins = self.floors.of(partition, self.committed[partition])
            for slot, messages in self.log.items():
                last = {message: at for at, message in enumerate(messages) if message and self._is_needed(partition, message)}
                missed = {message: at for message, at in last.items() if at < begins[slot]}
                assert not missed, f"slot {slot} is read from {begins[slot]}, and misses {missed}"

    def _is_needed(self, partition: Partition, message: Message) -> bool:
        return message[0] == partition and message[1] >= self.committed[partition]


LogAndFloors.TestCase.settings = settings(max_examples=100, stateful_step_count=40)
TestFloorLaws = LogAndFloors.TestCase


def test_floors_rise_when_what_stands_below_is_committed():
    floors = LedgerFloors()
    floors.know_ends({0: 10, 1: 20})
    partition = ORDERS
    message = SlotMessage(0, b"", {partition: 4}, 1)
    number = floors.begin(message)
    assert floors.of(partition, 0) == {0: 10, 1: 20}
    floors.written(number, message, 12)
    assert floors.of(partition, 4) == {0: 12, 1: 20}
    floors.know_ends({0: 40, 1: 50})
    assert floors.of(partition, 4) == {0: 12, 1: 50}
    assert floors.of(partition, 5) == {0: 40, 1: 50}


def test_what_the_owner_before_has_written_counts_until_it_is_committed():
    floors, partition = LedgerFloors(), ORDERS
    floors.know_ends({0: 10, 1: 10})
    floors.inherit(partition, {0: 3}, to_offset=7)
    assert floors.of(partition, 7) == {0: 3, 1: 10}
    assert floors.of(partition, 8) == {0: 10, 1: 10}


def test_floors_rise_when_what_stands_below_is_written_again():
    floors = LedgerFloors()
    floors.know_ends({0: 10, 1: 20})
    floors.inherit(ORDERS, {0: 3, 1: 5}, to_offset=7)
    floors.written_again(ORDERS, {0: 6})
    assert floors.of(ORDERS, 0) == {0: 6, 1: 5}
    message = SlotMessage(0, b"", {ORDERS: 9}, 1)
    number = floors.begin(message)
    floors.written_again(ORDERS, {0: 11, 1: 20})
    assert floors.of(ORDERS, 0) == {0: 10, 1: 20}, "what is under way stands at or behind the end of then"
    floors.written(number, message, 12)
    assert floors.of(ORDERS, 8) == {0: 12, 1: 20}
    floors.know_ends({0: 40, 1: 40})
    floors.written_again(ORDERS, {0: 13})
    assert floors.of(ORDERS, 8) == {0: 40, 1: 40}


@given(
    begin=st.integers(0, 9), length=st.integers(0, 9), first=st.integers(0, 20), floor=st.integers(0, 25), split=st.integers(0, 9)
)
def test_what_retention_has_removed_of_a_slot_is_known_by_what_is_read(begin, length, first, floor, split):
    """`first` is the first offset that is there."""
    end = begin + length
    messages = [LedgerMessage(3, at, b"") for at in range(max(begin, first), end)]
    slots = ReadSlots({3: begin}, {3: end})
    slots.saw(messages[:split])
    slots.saw(messages[split:])
    floor = max(floor, begin)
    is_whole = floor == end or first <= floor < end
    assert slots.lacks({3: floor}) == (None if is_whole else 3)
    assert slots.lacks({4: floor}) is None, "a slot that was not read"
