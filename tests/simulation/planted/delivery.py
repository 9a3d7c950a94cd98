"""Bugs of delivery: commits, lanes, budgets, rebalances, halts."""

from tests.simulation.planted.mutant import Mutant

DELIVERY = (
    Mutant(
        "commit highest seen",
        "L1",
        "core/delivery/ack_tracker.py",
        "            row = batch.resolved.find(0)\n            if row >= 0:\n                self._committable",
        "            row = -1\n            if row >= 0:\n                self._committable",
        seed=1,
    ),
    Mutant(
        "commit what was read when partitions are revoked",
        "L1",
        "app/partition_line.py",
        "return CommitPoint(committable,",
        "return CommitPoint(self.tracker.read_to if self.draining else committable,",
        seed=14,
    ),
    Mutant(
        "ignore partial failures",
        "alive",
        "core/delivery/scheduler.py",
        "        if any(answer.outcomes):\n",
        "        if False:\n",
        seed=10,
    ),
    Mutant(
        "a lost answer counts as stored",
        "L5",
        "adapters/kinesis/sink.py",
        'return PutAnswer(Outcome.UNKNOWN, code="Timeout", message="no answer within the request timeout")',
        "n = len(request)\n            return PutAnswer(None, [Outcome.STORED] * n, [request.runs[0][0]] * n, ['1'] * n)",
        seed=1,
    ),
    Mutant(
        "answer matched by position after reordering",
        "L5",
        "core/delivery/scheduler.py",
        "row, outcome = request.rows[i],",
        "row, outcome = request.rows[first + end - 1 - i],",
        seed=10,
    ),
    Mutant(
        "failed record to the tail of its lane",
        "L2",
        "core/delivery/routed_rows.py",
        "            queue = self._queue_of(row)\n            queue.ready.insert(row)\n",
        "            behind = row[0].lanes_of.waiting.get(row[7])\n"
        "            if behind:\n"
        "                behind.append(row)\n"
        "                row = behind.popleft()\n"
        "            queue = self._queue_of(row)\n            queue.ready.insert(row)\n",
        seed=8,
    ),
    Mutant(
        "two records of a lane in one request",
        "L2",
        "core/delivery/mapping.py",
        '        if self.spec.ordering == "none":\n',
        "        if True:\n",
        seed=1,
    ),
    Mutant(
        "the next record of a lane goes before the answer to the one before",
        "alive",
        "core/delivery/scheduler.py",
        "        request.sent_at = now\n        self._under_way.add(request)\n",
        "        request.sent_at = now\n        self._under_way.add(request)\n"
        "        for row in request.rows:\n"
        "            behind = row[0].lanes_of.waiting.get(row[7])\n"
        "            if behind:\n"
        "                self._free([behind.popleft()])\n",
        seed=0,
    ),
    Mutant(
        "records that Kafka hands over twice in one go are sent twice",
        "L3",
        "adapters/kafka/columns.py",
        "    if any(map(ge, offsets, offsets[1:])):\n",
        "    if False:\n",
        seed=25,
    ),
    Mutant(
        "budget per stream instead of per shard",
        "L4",
        "core/delivery/routed_rows.py",
        "            queue.budget.set_share(share)\n",
        "            queue.budget.set_share(min(1.0, share * 4))\n",
        seed=33,
    ),
    Mutant(
        "half a second counts as a second",
        "L4",
        "core/delivery/budgets.py",
        "WINDOW_S = 1.0\n",
        "WINDOW_S = 0.5\n",
        seed=33,
    ),
    Mutant(
        "retry in two places",
        "L3",
        "adapters/kinesis/sink.py",
        "                answer = decode(response.status, await response.read(), len(request))\n",
        "                answer = decode(response.status, await response.read(), len(request))\n"
        "            for _ in range(5 if answer.whole is not None else 0):\n"
        "                again = BoundedBody(content, CONTENT_TYPE, deadline, self._clock)\n"
        "                async with self._http.post(self._url, data=again, headers=headers) as response:\n"
        "                    answer = decode(response.status, await response.read(), len(request))\n"
        "            if True:\n",
        seed=7,
    ),
    Mutant(
        "nothing is paused",
        "L6",
        "app/back_pressure.py",
        "        self._pause = pause\n",
        "        self._pause = lambda partitions: None\n",
        seed=39,
    ),
    Mutant(
        "requests without a bound",
        "L6",
        "app/sending.py",
        "                await self._in_flight.acquire()\n",
        "                self._in_flight._value += 1\n                await self._in_flight.acquire()\n",
        seed=13,
    ),
    Mutant(
        "a pause outlives its assignment",
        "L1",
        "app/forward.py",
        "        self._consumption.resume([assigned.partition for assigned in partitions])\n",
        "",
        seed=39,
    ),
    Mutant(
        "a consumer stays after a fatal error",
        "L1",
        "adapters/kafka/source.py",
        "        if self._fatal is not None:\n",
        "        if False:\n",
        seed=538,
    ),
    Mutant(
        "commit after losing the partition",
        "owner",
        "adapters/kafka/source.py",
        "        offsets = offsets_of({p: point for p, point in points.items() if (p.topic, p.number) in self._assigned})\n",
        "        self._kept = {**getattr(self, '_kept', {}), **points}\n        offsets = offsets_of(self._kept)\n",
        seed=15,
    ),
    Mutant(
        "a refused commit ends the daemon",
        "alive",
        "app/commit.py",
        '                self.on_trouble(SourceTrouble("commit", str(error)))\n                return False\n',
        "                raise\n",
        seed=1,
    ),
    Mutant(
        "topic ids are not compared",
        "L1",
        "app/recreated.py",
        "    if topic_id is None or topic_id == line.topic_id:\n",
        "    if True:\n",
        seed=17,
    ),
    Mutant(
        "a stream created anew is taken for the one before",
        "L1",
        "app/recreated.py",
        "    if created_ms is None or created_ms == line.stream_created_ms:\n",
        "    if True:\n",
        seed=37,
    ),
    Mutant(
        "a partition of a topic created anew sends on",
        "halted",
        "app/forward.py",
        "            self._streams[line.stream].abandon(line)\n",
        "            pass\n",
        seed=37,
    ),
    Mutant(
        "an offset out of range is passed by",
        "L1",
        "app/forward.py",
        "                self._halt(line, Halt(event.reason, line.read_to, event.detail))\n",
        "",
        seed=62,
    ),
)
