"""Bugs of records that do not fit, and of aggregates."""

from tests.simulation.planted.mutant import Mutant

RECORDS = (
    Mutant(
        "an aggregate that landed on another shard counts as stored",
        "L1",
        "core/delivery/aggregate_lanes.py",
        "            self._undecided.append((row, shard_id, sequence_number))\n"
        "            return None\n"
        "        return self._holds(shard_id, row)\n",
        "            return True\n        return True\n",
        seed=77,
    ),
    Mutant(
        "records move to a child shard while some of its parent are on their way",
        "L2",
        "core/delivery/aggregate_queues.py",
        "        if not self.gone or any(queue.busy for queue in self.gone):\n",
        "        if not self.gone:\n",
        seed=77,
    ),
    Mutant(
        "an aggregate goes to a child shard as it was made for the parent",
        "alive",
        "core/delivery/aggregate_lanes.py",
        "            if not is_aggregate(row) or aggregate_of(row).queue.shard_id in self._open:\n",
        "            if True:\n",
        seed=77,
    ),
    Mutant(
        "records of an aggregate that is taken apart go behind the others",
        "L2",
        "core/delivery/aggregates.py",
        "            part.datas = list(islice(datas, len(part)))\n        aggregate.queue.put_first(aggregate.parts)\n",
        "            part.datas = list(islice(datas, len(part)))\n"
        "        for part in aggregate.parts:\n"
        "            aggregate.queue.add(part)\n",
        seed=77,
    ),
    Mutant(
        "the offset of a record passes before its dead letter is confirmed",
        "L5",
        "app/parking.py",
        "                self._waiting.append(leaving)\n",
        "                self._waiting.append(leaving)\n                batch.resolved[diverted.row] = 1\n",
        seed=21,
    ),
    Mutant(
        "a dead letter that Kafka refuses is dropped",
        "L1",
        "app/parking.py",
        "        (leaving,) = letters\n        _out(leaving)\n",
        "        (leaving,) = letters\n"
        "        _out(leaving)\n"
        "        leaving.batch.resolved[leaving.row] = 1\n"
        "        return ()\n",
        seed=2,
    ),
    Mutant(
        "a value that KCL would open goes as it is",
        "L1",
        "core/delivery/mapping.py",
        "v[:4] == MAGIC and kcl_opens(v)",
        "False",
        seed=1,
    ),
    Mutant(
        "records that cannot be carried are skipped whatever the policy",
        "L1",
        "core/delivery/policies.py",
        '    return action if action in ("stop", "skip") else "park"',
        '    return "skip"',
        seed=2,
    ),
    Mutant(
        "a dead letter is parked without its key",
        "L1",
        "core/delivery/dead_letters.py",
        "    return TopicMessage(origin, letter.key, letter.value,",
        "    return TopicMessage(origin, None, letter.value,",
        seed=2,
    ),
)
