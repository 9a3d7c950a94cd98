"""Bugs of the ledger: what is written there, from where on it is read, and what is taken from it."""

from tests.simulation.planted.mutant import Mutant

LEDGER = (
    Mutant(
        "commit before ledger",
        "L5",
        "app/commit.py",
        "    await ledger.flush()  # also where nothing moved: whoever comes after us has to know what we have sent\n",
        "",
    ),
    Mutant(
        "a partition leaves before the ledger has it",
        "L5",
        "app/forward.py",
        "        if not await self._ledger.flushed():\n",
        "        if False:\n",
    ),
    Mutant(
        "what is parked is not in the ledger",
        "L5",
        "app/parking.py",
        "ResolvedAs.PARKED, leaving.letter.reason, [leaving.letter.offset])\n",
        "ResolvedAs.PARKED, leaving.letter.reason, [2**40])\n",
    ),
    Mutant(
        "what is skipped is not in the ledger",
        "L5",
        "app/parking.py",
        "            self._ledger.resolved(line.partition, ResolvedAs.SKIPPED, reason, offsets)\n",
        "",
    ),
    Mutant(
        "entries name each other's sequence numbers",
        "L5",
        "core/proof/noted_entries.py",
        "        numbers = [int(sequence_numbers[i]) for i in chosen]\n",
        "        numbers = [int(sequence_numbers[i]) for i in chosen[::-1]]\n",
    ),
    Mutant(
        "ledger not replayed",
        "L3",
        "app/take_over.py",
        "                line.done = frozenset(index.offsets_of(line.partition))\n",
        "                line.done = frozenset()\n",
    ),
    Mutant(
        "attempts before the partition is open",
        "L3",
        "app/stream_line.py",
        "        if line.wants_to_open():\n            self.on_opening()\n",
        "        line.phase = Phase.OPEN\n",
    ),
    Mutant(
        "clean, though something above is stored",
        "L3",
        "app/partition_line.py",
        "            return self.unsettled > 0 or self.tracker.first_unattempted() > self.committable()\n",
        "            return False\n",
    ),
    Mutant(
        "the floor forgets what is being written",
        "L3",
        "core/proof/ledger_floors.py",
        "        begins = [*found.under_way.values()]\n",
        "        begins = list[Mapping[int, int]]()\n",
    ),
    Mutant(
        "the floor forgets what is written",
        "L3",
        "core/proof/ledger_floors.py",
        "            if messages:\n                begins.append",
        "            if False:\n                begins.append",
    ),
    Mutant(
        "the floor forgets what the owner before has written",
        "L3",
        "core/proof/ledger_floors.py",
        "        if committable <= found.inherited_to:\n",
        "        if False:\n",
    ),
)
