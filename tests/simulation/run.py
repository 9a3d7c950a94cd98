"""One run: a plan, the replicas, the faults at their moments, the laws; then the faults off, and everything must arrive."""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pybase64 import b64decode

from bridge.adapters.kafka.handover import PENDING_BYTES_MAX
from bridge.app.back_pressure import FULL_PART
from bridge.core.quotas import MIB
from bridge.core.topics import own_topics
from tests.simulation.anew import Anew
from tests.simulation.faults import APPLY
from tests.simulation.kafka.clients import SimKafkaClients
from tests.simulation.kafka.cluster import Cluster
from tests.simulation.kinesis import Kinesis
from tests.simulation.laws import EQUAL, LEAD_TO_REPEATS, Broken, Laws, Origin, equal_of, origin_of, records_in, value_of
from tests.simulation.ledgered import LedgerTopic
from tests.simulation.odd_records import Odd, content_of, fate_of, reason_of
from tests.simulation.parked import DeadLetterTopic
from tests.simulation.plan import OF_CLUSTER, Fault, Plan
from tests.simulation.process import Process
from tests.simulation.replica import GROUP, LINES_KEPT, Replica
from tests.simulation.trials import Equal
from tests.simulation.world import SpinningError, World

SETTLE_S = 240.0
"""After the faults everything must have arrived within this time: restarts, sessions, back-off and drains have theirs in it."""
LOOK_S = 0.25
BUFFER_SLACK = 2 * MIB
"""Back-pressure pauses a partition after a hand-over; what is on the way comes in addition."""
LARGE_SLACK = 2 * (PENDING_BYTES_MAX + MIB)
"""The same where there are records of a MiB: a hand-over that is full and ends with one, and the next that has begun by then."""


@dataclass(slots=True)
class Outcome:
    """What became of a run."""

    broken: list[Broken]
    injected: Counter[str]
    records: int
    duplicates: int
    ended_at: float
    lines: list[str] = field(default_factory=list)


class Run:
    """The world of one plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.world = World(plan.seed)
        self.kinesis = Kinesis(self.world)
        self.kinesis.distance_s = plan.distance_s
        self.kinesis.date_ahead_s = plan.date_ahead_s
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self.injected: Counter[str] = Counter()
        self.laws = Laws(self.kinesis)
        self.kinesis_faults: list[dict[str, Any]] = []
        self.cluster = Cluster(lambda: self.world.now, self.world.chance("kafka"), lambda: self.world.wall() * 1000)
        self.cluster.settings.consumer_session_timeout_s = plan.session_timeout_s
        self.cluster.settings.consumer_heartbeat_s = plan.session_timeout_s / 5
        self.cluster.settings.initial_rebalance_delay_s = 0.5
        self.cluster.timeline.on_earlier = self._advance_at
        self.anew = Anew(plan, self.cluster, self.kinesis)
        self.dead_letters = DeadLetterTopic(self.cluster, self.laws)
        self.ledger = LedgerTopic(self.cluster, self.laws)
        self._offsets: dict[tuple[str, int], list[int]] = {}
        self._checked: dict[tuple[str, int], int] = {}
        self._prepare()
        self.replicas = [
            Replica(number, plan, self.kinesis, self._clients, self.lines, self.ledger.assigned)
            for number in range(plan.replicas)
        ]

    def _prepare(self) -> None:
        for stream, shards in self.plan.streams.items():
            self.kinesis.model.streams.create(stream, shards, self.world.wall())
            self.laws.shares[stream] = self.plan.share(stream)
        self.kinesis.model.on_put = self.laws.look_at_streams
        self.kinesis.on_send = self._sent
        self.kinesis.on_answer = lambda process, members, reply: self.laws.answered(members, reply)
        for topic in self.plan.topics:
            self.cluster.create_topic(topic.name, topic.partitions)
            if topic.route["ordering"] == "none":
                self.laws.unordered.add(topic.name)
        self.cluster.on_commit_stored.append(self._committed)
        for burst in self.plan.bursts:
            self.world.call_at(burst.at, partial(self._produce, burst.topic, burst.records))
        for equal in self.plan.equals:
            self.world.call_at(equal.at, partial(self._produce_equal, equal))
        for odd in self.plan.odd:
            self.world.call_at(odd.at, partial(self._produce_odd, odd))
        for at, name, number, count in self.plan.holes:
            self.world.call_at(at, partial(self.cluster.append_hole, name, number, count))
        for fault in self.plan.faults:
            self.world.call_at(fault.at, partial(self._inject, fault))
        self._watch()

    def _clients(self, process: Process) -> SimKafkaClients:
        return SimKafkaClients({"bootstrap.servers": "kafka.invalid:9092", "client.id": process.name}, self.cluster, process)

    # -- what happens

    def _produce(self, name: str, records: Iterable[tuple[int, bytes | None, int]]) -> None:
        topic = next(topic for topic in self.plan.topics if topic.name == name)
        for partition, key, padding in records:
            offset = self.end_of((name, partition))
            lane = _lane(topic.route, key, offset)
            called = self.anew.name_of(name)
            value = value_of(Origin(called, partition, offset), lane, padding)
            self._append((name, partition), offset, key, value)

    def _produce_equal(self, equal: Equal) -> None:
        """Records that nothing tells apart: the laws count them."""
        for name, partition, kind in equal.places:
            called = equal_of(equal.key, kind)
            offset = self.end_of((name, partition))
            self.laws.equals[Origin(name, partition, offset)] = called
            self.laws.produced[called] += 1
            value = value_of(called, equal.key.decode(), 0)
            self._append((name, partition), offset, equal.key, value)

    def _produce_odd(self, odd: Odd) -> None:
        """A record that does not fit. What the configuration says becomes of it, the laws are told."""
        route = next(topic.route for topic in self.plan.topics if topic.name == odd.topic)
        called, offset = self.anew.name_of(odd.topic), self.end_of((odd.topic, odd.partition))
        origin = Origin(called, odd.partition, offset)
        lane = "partition" if route["ordering"] == "partition" else f"odd {odd.kind}"
        key, value = content_of(odd.kind, "/".join(map(str, origin)), value_of(origin, lane, 0))
        self._append((odd.topic, odd.partition), offset, key, value)
        self.injected[f"odd_{odd.kind}"] += 1
        fate = fate_of(odd.kind, route)
        by_key = route["partition_key"] == "key" and not route["carry_origin"]
        if odd.kind == "looks_aggregated":
            self.laws.nested.add(origin)
        if fate == "skip" or (fate == "arrive" and odd.kind == "tombstone" and not by_key):
            self.laws.left_out.add(origin)
        if fate == "stop":
            self.anew.stops.setdefault((odd.topic, odd.partition), {})[offset] = reason_of(odd.kind)
        if fate == "park":
            self.dead_letters.expect(Origin(odd.topic, odd.partition, offset), origin, (key, value))

    def _append(self, place: tuple[str, int], offset: int, key: bytes | None, value: bytes | None) -> None:
        """One record, which gets this offset."""
        self.cluster.produce(*place, [(key, value)], int(self.world.wall() * 1000))
        self._offsets.setdefault((self.anew.name_of(place[0]), place[1]), []).append(offset)

    def _inject(self, fault: Fault) -> None:
        if self.world.now < self.plan.ends_at:
            APPLY[fault.kind](self, fault)

    def _advance_at(self, when: float) -> None:
        """Kafka's own timers."""
        self.world.call_at(when, lambda: self.cluster.advance(self.world.now))

    def delete_records(self, place: tuple[str, int]) -> None:
        """All that a partition has. Where the group has no offset yet it begins behind them."""
        self.cluster.delete_records(*place, self.end_of(place))
        self.anew.delete_records(place)
        if place not in self.cluster.committed(GROUP):
            self._offsets.pop((self.anew.name_of(place[0]), place[1]), None)

    def recreate_topic(self, name: str) -> None:
        """Where a process read on in the new topic and ended before it could say so, another begins it: out of order."""
        self.laws.unordered.add(self.anew.recreate_topic(name))

    def recreate_stream(self, name: str, gone_s: float) -> None:
        """Its records are gone with it."""
        if self.anew.recreate_stream(name, gone_s):
            self.laws.forget_stream(name)
            self.ledger.forgotten.add(name)

    def end_of(self, place: tuple[str, int]) -> int:
        return self.cluster.logs[place].end

    # -- what is watched

    def _sent(self, process: Process, members: dict[str, Any]) -> None:
        replica = next(replica for replica in self.replicas if replica.process is process)
        self.laws.sent(process, replica.client.shards_seen_at, members)
        for record in members["Records"]:
            data = b64decode(record["Data"])
            for origin in filter(None, records_in(data, record["PartitionKey"])):
                if not origin.topic.startswith(EQUAL):
                    self.ledger.sent(process.name, origin, self.anew.happened)
            found = origin_of(data)
            if found and self.anew.sent_though_halted(process, found[0].topic, found[0].partition):
                self.laws.breaks("halted", f"{process.name} sends {found[0]}, and says that its partition stands still")

    def _committed(self, group: str, member: str, topic: str, partition: int, offset: int, metadata: str, _now: float) -> None:
        if group != GROUP:
            return
        self.ledger.committed(f"{topic}-{partition}", metadata)
        # Without a name: the session ended while the client was asking for positions, and it is told afterwards.
        knows = bool(member) and not self.cluster.counts["late_commits"]
        if knows and (topic, partition) not in self._has(member):
            self.laws.breaks("owner", f"{member} commits {offset} for {topic}-{partition}, which it does not have")
        called = self.anew.name_of(topic, metadata)
        if called != self.anew.name_of(
            topic
        ):  # nobody can carry any more what that topic had; at the end its partitions are halted
            return
        self.dead_letters.look()
        checked = self._checked.get((called, partition), 0)
        offsets = self._offsets.get((called, partition), [])
        below = offsets[bisect_left(offsets, checked) : bisect_left(offsets, offset)]
        self.ledger.look()
        self.laws.committed(called, partition, below, offset, self._was_found)
        if missing := [o for o in below if Origin(topic, partition, o) not in self.ledger.entries]:
            self.laws.breaks("L5", f"{topic}-{partition} is committed up to {offset}, and the ledger has nothing of {missing[0]}")
        self._checked[called, partition] = max(checked, offset)

    def _was_found(self, origin: Origin) -> bool:
        """Whether a record is there, and in the ledger. What the service itself alters or moves we may not see."""
        altered = any(self.kinesis.model.traffic.faults[kind] for kind in LEAD_TO_REPEATS)
        is_there = self.laws.stored[origin] > 0 or altered
        return is_there and Origin(origin.topic.partition("~")[0], *origin[1:]) in self.ledger.entries

    def _buffer_bytes_max(self) -> float:
        """More than is configured may be read where records are large against what each partition may hold."""
        if any(odd.kind == "oversize" for odd in self.plan.odd):
            return FULL_PART * self.plan.buffer_bytes_max + LARGE_SLACK
        return self.plan.buffer_bytes_max + BUFFER_SLACK

    def _has(self, member_id: str) -> set[tuple[str, int]]:
        """What a member was given, or has not given up yet."""
        member = self.cluster.group(GROUP).members.get(member_id)
        return set() if member is None else member.owned | getattr(member, "assignment", set())

    def _watch(self) -> None:
        self.cluster.expire()
        self.anew.watch(getattr(self, "replicas", ()))
        for replica in self.replicas if self.world.now else ():
            if replica.process.alive:
                self.laws.bounded(
                    replica.process,
                    replica.buffered_bytes(),
                    self._buffer_bytes_max(),
                    replica.http.in_flight_max,
                    self.plan.requests_in_flight_max,
                )
            for failure in replica.failures():
                self.laws.breaks("alive", failure)
        self.world.call_later(LOOK_S, self._watch)

    # -- to the end

    def run(self) -> Outcome:
        """Until a law is broken, or everything has arrived."""
        broken = self.laws.broken
        try:
            self.world.run_until(lambda: bool(broken), self.plan.ends_at)
            if not broken:
                self._faults_off()
                if not self.world.run_until(lambda: bool(broken) or self._arrived(), self.plan.ends_at + SETTLE_S):
                    self.laws.breaks("L1", f"not everything arrived within {SETTLE_S:g} s: {self._missing()}")
                self._judge_duplicates()
        except SpinningError as error:
            self.laws.breaks("L6", str(error))
        ended_at = self.world.now
        for replica in self.replicas:
            for process in (*replica.buried, replica.process):
                process.bury()
        twice = self.laws.too_many().total()
        stored = self.laws.stored.total() - twice
        return Outcome(broken, self._all_injected(), stored, twice, ended_at, list(self.lines))

    def _all_injected(self) -> Counter[str]:
        """Also what the embedded Kinesis and the cluster have counted themselves."""
        of_cluster = Counter({kind: self.cluster.counts[kind] for kind in OF_CLUSTER})
        return self.injected + self.kinesis.model.traffic.faults + of_cluster

    def _judge_duplicates(self) -> None:
        """Nothing is written twice, but what the service itself repeats or alters, and what a process has named and counted."""
        twice = self.laws.too_many()
        happened = self._all_injected()
        may = self.anew.happened or any(happened[kind] for kind in LEAD_TO_REPEATS)
        named = sum(replica.possible_duplicates for replica in self.replicas)
        if twice.total() > named and not may:
            self.laws.breaks(
                "L3", f"{twice.total()} records were written twice, {named} are named; the first is {next(iter(twice))}"
            )

    def _faults_off(self) -> None:
        self.kinesis_faults.clear()
        self.kinesis.inject([])
        self.kinesis.extra_latency_s = 0.0
        for kind in OF_CLUSTER:
            setattr(self.cluster.faults, kind, 0.0)
        for replica in self.replicas:
            process = replica.process
            process.cut_from_kafka_until = process.cut_from_kinesis_until = self.world.now

    def _arrived(self) -> bool:
        if self.world.now < self.plan.ends_at + 1:
            return False
        return not any(self._behind())

    def _behind(self) -> Iterable[tuple[str, int, int, int]]:
        committed = self.cluster.committed(GROUP)
        for place, log in self.cluster.logs.items():
            if place[0] not in own_topics(GROUP) and not self.anew.is_settled(place, self.replicas):
                yield *place, committed[place].offset if place in committed else 0, log.end

    def _missing(self) -> str:
        behind = [f"{topic}-{partition} is committed up to {at} of {end}" for topic, partition, at, end in self._behind()]
        halted = {str(p): h.reason for r in self.replicas if r.forward for p, h in r.forward.halts().items()}
        return "; ".join(behind[:5]) + (f"; halted: {halted}" if halted else "")


def _lane(route: Mapping[str, Any], key: bytes | None, offset: int) -> str:
    """In which order the configuration wants this record: with those of its key, of its partition, or with none."""
    if route["ordering"] == "partition":
        return "partition"
    if key is None:
        return f"offset {offset}" if route["null_key"] == "spread" else "no key"
    return key.decode()


def simulate(plan: Plan) -> Outcome:
    """Carries a plan out."""
    return Run(plan).run()
