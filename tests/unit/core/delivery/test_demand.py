"""What replicas lend each other of a shard: together never more than it takes, and soon to those that need it."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delivery.demand import DEMAND_MIN, HOLD_S, KEPT_S, VALID_S, Demand, Feeder, wanted
from bridge.core.delivery.fair_parts import fair_parts
from tests.unit.core.delivery.columns import even_shard_map

ONE_SHARD = even_shard_map(1)
LIMIT = 1000.0
"""Records a second that the shard takes."""
READ_S = 10


@dataclass
class Replica:
    """Some partitions of one shard. `rates` is what producers write to each, `committed` what Kafka has of all."""

    partitions: list[int]
    committed: dict[int, float]
    rates: dict[int, float]
    reads_at: int = 0
    demands: dict[int, Demand] = field(default_factory=dict)
    read: dict[int, float] = field(default_factory=dict)
    read_at: float = -1000.0
    backlog: dict[int, float] = field(default_factory=dict)
    carried: dict[int, float] = field(default_factory=dict)
    part: float = 0.0

    def __post_init__(self) -> None:
        self.demands = {number: Demand(self.committed[number]) for number in self.partitions}

    def look(self, now: float) -> None:
        """Once a second: reads at times, and says its part."""
        if now % READ_S == self.reads_at:
            self.read, self.read_at = dict(self.committed), now
        self.part = self.share(now)

    def share(self, now: float) -> float:
        others = [number for number in self.committed if number not in self.partitions]
        known = self.read if now - self.read_at < VALID_S else {}
        own = [(None, demand.own(now)) for demand in self.demands.values()]
        return fair_parts(ONE_SHARD, own, [(None, known.get(number, 1.0)) for number in others])[0]

    def send(self, now: float) -> float:
        """A second of it, the partitions alike; returns what it sent."""
        for number in self.partitions:
            self.backlog[number] = self.backlog.get(number, 0.0) + self.rates[number]
        room = sent = LIMIT * self.part
        for number in sorted(self.partitions, key=lambda number: self.backlog[number]):
            left = len(self.partitions) - self.partitions.index(number)
            taken = min(self.backlog[number], room / max(1, left))
            room -= taken
            self.backlog[number] -= taken
            self.carried[number] = self.carried.get(number, 0.0) + taken
            self.demands[number].counted(int(self.carried[number]), now)
        return sent - room

    def want(self, now: float, sent: float) -> None:
        own = [Feeder(None, self.demands[n].records_per_s, int(self.backlog[n])) for n in self.partitions]
        others = [None] * (len(self.committed) - len(self.partitions))
        used = [sent / (LIMIT * self.part)]
        for number, part in zip(self.partitions, wanted(ONE_SHARD, used, [self.part], own, others), strict=True):
            self.demands[number].wants(part, now)

    def commit(self, now: float) -> None:
        for number, demand in self.demands.items():
            demand.said()
            self.committed[number] = demand.announced
            demand.confirmed()


def pair(rates_a: list[float], rates_b: list[float]) -> tuple[Replica, Replica]:
    count = len(rates_a) + len(rates_b)
    committed, rates = dict.fromkeys(range(count), 1.0), dict(enumerate([*rates_a, *rates_b]))
    ours, theirs = list(range(len(rates_a))), list(range(len(rates_a), count))
    return Replica(ours, committed, rates, 0), Replica(theirs, committed, rates, 7)


def run(replicas: tuple[Replica, Replica], begin: int, seconds: int) -> list[tuple[float, ...]]:
    """The parts in each second."""
    parts = []
    for now in range(begin, begin + seconds):
        for replica in replicas:
            replica.look(now)
        parts.append(tuple(replica.part for replica in replicas))
        assert sum(parts[-1]) <= 1 + 1e-9
        for replica in replicas:
            replica.want(now, replica.send(now))
            replica.look(now + 0.5)  # who gives way does so before it says it
        for replica in replicas:
            replica.commit(now)
    return parts


def test_what_an_idle_replica_leaves_goes_to_the_one_that_needs_it_and_stays_there():
    busy, idle = pair([600.0, 600.0], [0.0, 0.0])
    parts = run((busy, idle), 0, 120)
    assert parts[0] == (0.5, 0.5)
    assert parts[60:] == [(1 / (1 + DEMAND_MIN), DEMAND_MIN / (1 + DEMAND_MIN))] * 60


def test_a_replica_that_sends_steadily_is_not_held_back_by_what_it_lends():
    """It sends 30 % of its equal part, and keeps that with room."""
    busy, steady = pair([2000.0], [150.0])
    parts = run((busy, steady), 0, 200)
    assert len(set(parts[60:])) == 1, "it does not swing"
    assert parts[-1][0] == 1 / 1.5
    assert steady.backlog[1] == 0


def test_where_all_want_everything_the_parts_are_those_of_their_partitions():
    a, b = pair([900.0, 900.0, 900.0], [900.0])
    assert set(run((a, b), 0, 120)) == {(0.75, 0.25)}


def test_who_wants_more_again_has_a_part_at_once_and_its_equal_part_soon():
    busy, idle = pair([2000.0], [0.0])
    run((busy, idle), 0, 100)
    idle.rates[1] = 2000.0
    parts = run((busy, idle), 100, 60)
    assert parts[0][1] == DEMAND_MIN / (1 + DEMAND_MIN)
    assert parts[int(KEPT_S) + READ_S + 5 :] == [(0.5, 0.5)] * (60 - int(KEPT_S) - READ_S - 5)


def test_an_idle_partition_of_a_busy_replica_counts_less():
    some, all_of_it = pair([2000.0, 0.0, 0.0], [2000.0, 2000.0, 2000.0])
    parts = run((some, all_of_it), 0, 120)
    assert parts[-1] == (1.5 / 4.5, 3 / 4.5)


STEP = st.tuples(
    st.sampled_from(["say", "say and confirm", "confirm", "read"]),
    st.integers(0, 3),
    st.sampled_from([0.0, 0.4, 1.0]),
    st.booleans(),
    st.sampled_from([0.0, 1.0, 6.0, 11.0]),
)


@given(steps=st.lists(STEP, max_size=30), found=st.lists(st.sampled_from([0.25, 1.0]), min_size=4, max_size=4))
def test_replicas_that_read_and_commit_whenever_they_do_never_have_more_than_the_shard(steps, found):
    """A commit is in force from some moment between its sending and its confirmation. Two replicas, two partitions each."""
    now, demands, in_force = 0.0, [Demand(part) for part in found], dict(enumerate(found))
    sent: dict[int, float] = {}
    read = [(dict(in_force), now)] * 2
    for what, number, part, at_once, seconds in steps:
        demands[number].wants(part, now)
        if what.startswith("say") and number not in sent:
            demands[number].said()
            sent[number] = demands[number].announced
            if at_once:
                in_force[number] = sent[number]
        if what.endswith("confirm") and number in sent:
            in_force[number] = sent.pop(number)
            demands[number].confirmed()
        if what == "read":
            read[number // 2] = dict(in_force), now
        now += seconds
        parts = []
        for me, (known, at) in enumerate(read):
            others = [(None, known[n] if now - at < VALID_S else 1.0) for n in range(4) if n // 2 != me]
            parts.append(fair_parts(ONE_SHARD, [(None, demands[n].own(now)) for n in (2 * me, 2 * me + 1)], others)[0])
        assert sum(parts) <= 1 + 1e-9


@given(wants=st.lists(st.floats(0, 5), min_size=1, max_size=60))
def test_the_highest_of_the_last_seconds_is_announced(wants):
    demand = Demand()
    for now, part in enumerate(wants):
        demand.wants(part, now)
        lately = wants[max(0, now - int(HOLD_S) + 1) : now + 1]
        assert DEMAND_MIN <= demand.announced <= 1
        assert demand.announced >= min(1.0, max(lately))
        assert now < HOLD_S or demand.announced < max(DEMAND_MIN, max(lately)) + DEMAND_MIN
    assert demand.own(len(wants)) <= demand.announced


def test_the_rate_is_smoothed():
    demand = Demand()
    for now in range(60):
        demand.counted(200 * now, now)
    assert 199 < demand.records_per_s <= 200
    demand.counted(200 * 59, 60)
    assert 140 < demand.records_per_s < 160
