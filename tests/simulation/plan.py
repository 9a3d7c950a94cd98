"""What one seed asks for: replicas, topics, streams, records, faults. Data only, so that a list of faults can be cut down.

Each part is drawn from a chance of its own: leaving out a fault changes nothing else.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.simulation.laws import LEAD_TO_REPEATS
from tests.simulation.odd_records import Odd, odd_of, policies_of
from tests.simulation.trials import CONTEST_RUN_S, Equal, has_trials, is_contest, trials_of, unmarked

RUN_S = (15.0, 45.0)
"""So long records are produced and faults are on, in virtual seconds."""
CLOCK_MARGINS_S = (2.0, 2.0, 0.3)
"""Of `kinesis.clock_margin`: what is short makes little good that is forgotten elsewhere."""
THIN_RECORDS_MAX = 60
"""Of one burst, beside trials."""


@dataclass(slots=True, frozen=True)
class Fault:
    """One thing that goes wrong at a moment, seconds from the beginning; `what` is as its kind needs it."""

    at: float
    kind: str
    what: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.at:8.3f} s  {self.kind}  " + ", ".join(f"{key}={value}" for key, value in self.what.items())


class Topic(NamedTuple):
    """A topic and how it is carried."""

    name: str
    partitions: int
    stream: str
    route: Mapping[str, Any]


class Burst(NamedTuple):
    """Records produced at one moment: (partition, key, padding) of each."""

    at: float
    topic: str
    records: tuple[tuple[int, bytes | None, int], ...]


@dataclass(slots=True, frozen=True)
class Plan:
    """Everything that a run is made of."""

    seed: int
    replicas: int
    protocol: str
    static: bool
    buffer_bytes_max: int
    requests_in_flight_max: int
    request_records_max: int
    session_timeout_s: float
    distance_s: float
    streams: Mapping[str, int]
    topics: tuple[Topic, ...]
    bursts: tuple[Burst, ...]
    holes: tuple[tuple[float, str, int, int], ...]
    odd: tuple[Odd, ...]
    faults: tuple[Fault, ...]
    ends_at: float
    equals: tuple[Equal, ...] = ()
    clock_margin_s: float = 2.0
    date_ahead_s: float = 0.0
    """Of the service: by how much the time that its answers tell is before that at which records arrive."""
    ledger_retention_s: float = 8 * 86_400.0

    def share(self, stream: str) -> float:
        """Part of a stream's shards that is ours: the routes of a stream agree on it."""
        return float(next(topic.route["shard_share"] for topic in self.topics if topic.stream == stream))


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    chance = random.Random(f"{seed}/plan")
    ends_at = CONTEST_RUN_S if is_contest(seed) else chance.uniform(*RUN_S)
    streams = {f"stream-{i}": chance.randint(1, 4) for i in range(chance.choice((1, 1, 1, 2)))}
    topics = tuple(_with_format(seed, topic) for topic in _topics(chance, streams))
    replicas = chance.choice((2, 2, 3) if is_contest(seed) else (1, 2, 2, 3))
    topics, equals, wrong = _trials(seed, topics, replicas, ends_at)
    away = _away(random.Random(f"{seed}/away"), topics, ends_at)
    ordinary = _piled(random.Random(f"{seed}/piled"), topics, _bursts(random.Random(f"{seed}/records"), topics, ends_at))
    if equals:  # so that there is room for more of such runs
        ordinary = [burst for burst in ordinary[::3] if len(burst.records) <= THIN_RECORDS_MAX]
    bursts = (*ordinary, *(burst for burst, _ in away))
    odds = tuple(odd_of(random.Random(f"{seed}/odd"), {topic.name: topic.partitions for topic in topics}, ends_at))
    return Plan(
        seed=seed,
        replicas=replicas,
        protocol="consumer" if away else chance.choice(("classic", "classic", "consumer")),
        static=chance.random() < 0.2,
        buffer_bytes_max=chance.choice((1, 2, 8)) * 2**20,
        requests_in_flight_max=chance.choice((2, 8, 64)),
        request_records_max=chance.choice((20, 500, 500)),
        session_timeout_s=chance.choice((6.0, 10.0)),
        distance_s=_distance(random.Random(f"{seed}/distance")),
        streams=streams,
        topics=topics,
        bursts=bursts,
        holes=tuple(_holes(random.Random(f"{seed}/holes"), topics, ends_at)),
        odd=odds,
        equals=equals,
        faults=(*_faults(seed, topics, bursts, odds, replicas, ends_at), *(fault for _, fault in away), *wrong),
        ends_at=ends_at,
        **_clocks(random.Random(f"{seed}/date")),
    )


def _clocks(chance: random.Random) -> dict[str, float]:
    """The times that the service tells, within what the configuration allows."""
    margin_s = chance.choice(CLOCK_MARGINS_S)
    ahead_s = 0.9 * margin_s * chance.uniform(-1, 1) if chance.random() < 0.5 else 0.0
    return {"clock_margin_s": margin_s, "date_ahead_s": ahead_s}


def _trials(
    seed: int, topics: tuple[Topic, ...], replicas: int, ends_at: float
) -> tuple[tuple[Topic, ...], tuple[Equal, ...], list[Fault]]:
    """The trials of a run that has some, with routes that suit them."""
    if not has_trials(seed):
        return topics, (), []
    chance = random.Random(f"{seed}/trials/what")
    stream = topics[0].stream
    chosen = [topic for i, topic in enumerate(topics) if i == 0 or (topic.stream == stream and chance.random() < 0.7)]
    suited = {topic.name: topic._replace(route=unmarked(chance, topic.route)) for topic in chosen}
    partitions = {name: topic.partitions for name, topic in suited.items()}
    trials = trials_of(seed, chance, stream, partitions, replicas, ends_at)
    faults = [Fault(*wrong) for trial in trials for wrong in trial.faults]
    equals = sorted((equal for trial in trials for equal in trial.equals), key=lambda equal: equal.at)
    routed = (suited.get(topic.name, topic) for topic in topics)
    full = tuple(t if t.stream != stream else t._replace(route={**t.route, "shard_share": 1.0}) for t in routed)
    return full, tuple(equals), faults


def _distance(chance: random.Random) -> float:
    """To Kinesis, one way, in seconds. From far away more is on its way at any moment, and more waits behind it."""
    return chance.uniform(0.01, 0.04) if chance.random() < 0.4 else 0.0


def _topics(chance: random.Random, streams: Mapping[str, int]) -> tuple[Topic, ...]:
    share = {stream: chance.choice((1.0, 1.0, 0.2, 0.05)) for stream in streams}
    names = list(streams)
    topics = []
    for i in range(max(len(streams), chance.choice((1, 1, 2)))):
        stream = names[i % len(names)]
        route: dict[str, Any] = {"shard_share": share[stream], "linger": chance.choice(("0ms", "5ms", "20ms"))}
        route["partition_key"] = chance.choice(("key", "key", "key", "partition"))
        route["ordering"] = chance.choice(("key", "key", "key", "key", "none"))
        if route["partition_key"] == "partition":
            route["ordering"] = "partition"
        route["carry_origin"] = chance.random() < 0.2
        route["null_key"] = chance.choice(("spread", "partition"))
        topics.append(Topic(f"topic-{i}", chance.randint(1, 6), stream, route))
    return tuple(topics)


def _with_format(seed: int, topic: Topic) -> Topic:
    """Whether its records travel in aggregates, and what becomes of those that do not fit."""
    chance = random.Random(f"{seed}/format/{topic.name}")
    route = {**topic.route, **policies_of(chance)}
    if chance.random() < 0.4:
        route["format"] = "aggregated"
        route["aggregate_bytes_max"] = chance.choice(("1KiB", "4KiB", "16KiB", "50KiB"))
        route["aggregate_records_max"] = chance.choice((1, 3, 20, 50, 500))
    return topic._replace(route=route)


def _bursts(chance: random.Random, topics: tuple[Topic, ...], ends_at: float) -> list[Burst]:
    """A few hundred records to a few thousand; keys by a steep law, so that some are hot; often one partition is."""
    bursts: list[Burst] = []
    for topic in topics:
        keys = chance.choice((3, 30, 300))
        hot = chance.randrange(topic.partitions) if chance.random() < 0.3 else None
        skewed = chance.random() < 0.3
        room = max(1.0, 150 * topic.route["shard_share"] * (0.2 if topic.route["ordering"] == "partition" else 1.0))
        total = int(min(1500, chance.uniform(2, 12) * room * 4))
        while total > 0:
            count = min(total, chance.choice((1, 10, 60, 200)))
            total -= count
            records = []
            for _ in range(count):
                number = int(keys * chance.random() ** 3)
                key = None if chance.random() < 0.05 else b"key-%d" % number
                place = number % topic.partitions if hot is None or chance.random() < 0.3 else hot
                padding = int(chance.paretovariate(0.7) * 40) % 40_000 if skewed else chance.choice((0, 20, 300))
                records.append((place, key, padding))
            bursts.append(Burst(chance.uniform(0, ends_at * 0.9), topic.name, tuple(records)))
        if topic.route["shard_share"] == 1.0 and chance.random() < 0.15:
            bursts.append(_flood(chance, topic, ends_at))
    return sorted(bursts, key=lambda burst: burst.at)


def _piled(chance: random.Random, topics: tuple[Topic, ...], bursts: Iterable[Burst]) -> list[Burst]:
    """Of every other aggregated topic all records come at a few moments, mostly in one partition and large: aggregates take
    so many at once that else hardly any ever wait behind one that is on its way."""
    piled: list[Burst] = []
    for topic in topics:
        own = [burst for burst in bursts if burst.topic == topic.name]
        if not own or "format" not in topic.route or chance.random() < 0.5:
            piled += own
            continue
        seconds = chance.uniform(3, 12)
        records = sum(len(burst.records) for burst in own)
        padding = min(1000, int(topic.route["shard_share"] * 1e6 * seconds / records))
        hot = chance.randrange(topic.partitions)
        moments = [chance.choice(own).at for _ in range(3)]
        for burst in own:
            grown = tuple((p if chance.random() < 0.3 else hot, key, max(size, padding)) for p, key, size in burst.records)
            piled.append(burst._replace(at=chance.choice(moments), records=grown))
    return sorted(piled, key=lambda burst: burst.at)


def _flood(chance: random.Random, topic: Topic, ends_at: float) -> Burst:
    """Some megabytes at once, more than the smallest buffer holds."""
    count = chance.randint(200, 500)
    records = ((chance.randrange(topic.partitions), b"flood-%d" % n, chance.randint(5_000, 20_000)) for n in range(count))
    return Burst(chance.uniform(0, ends_at / 2), topic.name, tuple(records))


def _away(chance: random.Random, topics: tuple[Topic, ...], ends_at: float) -> list[tuple[Burst, Fault]]:
    """In some runs: while the last records are being carried, one by one, the broker goes away for longer than a commit is
    waited for. (Under the `consumer` protocol: else the client gives up by then what it has not sent, and repeats nothing.)"""
    if chance.random() >= AWAY_PART:
        return []
    topic = chance.choice(topics)
    burst = Burst(0.95 * ends_at, topic.name, ((chance.randrange(topic.partitions), b"last", 20),) * 200)
    return [(burst, Fault(burst.at + chance.uniform(0.1, 0.6), "broker_down", {"seconds": chance.uniform(10.2, 13.0)}))]


def _holes(chance: random.Random, topics: tuple[Topic, ...], ends_at: float) -> list[tuple[float, str, int, int]]:
    every = [(topic.name, number) for topic in topics for number in range(topic.partitions)]
    return [(chance.uniform(0, ends_at), *chance.choice(every), chance.randint(1, 5)) for _ in range(chance.randint(0, 6))]


def _faults(
    seed: int, topics: tuple[Topic, ...], bursts: tuple[Burst, ...], odds: tuple[Odd, ...], replicas: int, ends_at: float
) -> list[Fault]:
    chance = random.Random(f"{seed}/faults")
    count = chance.choice((0, 1, 1, 2, 4, 8, 12, 16))
    kinds = [chance.choice([kind for kind in KINDS if kind not in (*ANEW, *OF_DEAD_LETTERS)]) for _ in range(count)]
    seldom = random.Random(f"{seed}/anew")
    kinds += [seldom.choice(ANEW)] if seldom.random() < ANEW_PART else []
    calm = random.Random(f"{seed}/calm")
    if calm.random() < CALM_PART:
        kinds = [calm.choice(CALM) for _ in range(calm.randint(2, 8))]
    faults = []
    weights = [len(burst.records) for burst in bursts]
    for i, kind in enumerate(kinds):
        own = random.Random(f"{seed}/faults/{i}/{kind}")
        context = Context(own, topics, tuple(dict.fromkeys(topic.stream for topic in topics)), replicas)
        at = own.uniform(0.5, ends_at)
        if bursts and own.random() < 0.6:  # where much is going on; many need a moment until they show
            at = max(0.5, own.choices(bursts, weights)[0].at + own.uniform(-1.5, 1.0))
        if not (kind in NO_TRIAL and has_trials(seed)):
            faults.append(Fault(at, kind, KINDS[kind](context)))
    for i, odd in enumerate(odds):
        own = random.Random(f"{seed}/faults/odd/{i}")
        if own.random() < 0.3:
            kind = own.choice(OF_DEAD_LETTERS)
            faults.append(Fault(max(0.0, odd.at - 0.1), kind, KINDS[kind](Context(own, topics, (), replicas))))
    return sorted(faults, key=lambda fault: fault.at)


class Context(NamedTuple):
    """What a kind draws its particulars from."""

    chance: random.Random
    topics: tuple[Topic, ...]
    streams: tuple[str, ...]
    replicas: int


Draw = Callable[[Context], dict[str, Any]]


def _of_kinesis(seconds: tuple[float, float], **document: Any) -> Draw:
    """A fault of the embedded Kinesis for some seconds; numbers given as pairs are drawn."""

    def draw(context: Context) -> dict[str, Any]:
        chance = context.chance
        members = {key: chance.uniform(*value) if isinstance(value, tuple) else value for key, value in document.items()}
        return {"seconds": chance.uniform(*seconds), "stream": chance.choice(context.streams), **members}

    return draw


def _of_shards(**ranges: tuple[int, int]) -> Draw:
    """A reshard in the middle of what is being sent: some calls from now."""

    def draw(context: Context) -> dict[str, Any]:
        numbers = {key: context.chance.randint(*bounds) for key, bounds in ranges.items()}
        return {**_of_kinesis((2.0, 8.0))(context), "after_calls": context.chance.randint(0, 12), **numbers}

    return draw


def _of_replica(**ranges: tuple[float, float]) -> Draw:
    def draw(context: Context) -> dict[str, Any]:
        drawn = {key: context.chance.uniform(*bounds) for key, bounds in ranges.items()}
        return {"replica": context.chance.randrange(context.replicas), **drawn}

    return draw


def _of_kafka(**ranges: tuple[float, float]) -> Draw:
    return lambda context: {key: context.chance.uniform(*bounds) for key, bounds in ranges.items()}


def _of_topic(context: Context) -> dict[str, Any]:
    topic = context.chance.choice(context.topics)
    return {"topic": topic.name, "partition": context.chance.randrange(topic.partitions)}


_OFTEN = (0.05, 0.5)
_SOME_S = (0.5, 8.0)

OF_DEAD_LETTERS = ("refuse_produces", "unanswered_produces")
"""Those that come with a record that does not fit."""

OF_CLUSTER = (
    "refuse_commits",
    "unanswered_commits",
    "late_commits",
    "slow_commits",
    "redeliver",
    "short_batches",
    "slow_fetches",
    "small_fetches",
    *OF_DEAD_LETTERS,
)
"""Those that the cluster has a probability for, under the same name."""

CALM = (
    *("rebalance", "sigterm", "taken_and_given_back", "partitions_added", "slow_commits", "redeliver", "short_batches"),
    *("split", "merge", "update_shard_count", "record_throttled", "record_internal_failure"),
)
"""Nothing of this leads to a repeat: in runs with these alone every record is there once."""
CALM_PART = 0.3
AWAY_PART = 0.1
"""Of the runs."""

ANEW = ("topic_recreated", "stream_recreated")
"""Those after which whole partitions stand still: in few runs, or the others would find little to disturb."""
ANEW_PART = 0.26
NO_TRIAL = (*LEAD_TO_REPEATS, *ANEW, "records_deleted")
"""After these it cannot be told how often something may be there: not in runs with trials."""

KINDS: Mapping[str, Draw] = {
    "record_throttled": _of_kinesis(_SOME_S, probability=_OFTEN),
    "record_internal_failure": _of_kinesis(_SOME_S, probability=_OFTEN),
    "request_throttled": _of_kinesis(_SOME_S, probability=_OFTEN),
    "error_before_storing": _of_kinesis(_SOME_S, probability=_OFTEN),
    "error_after_storing": _of_kinesis(_SOME_S, probability=_OFTEN),
    "connection_closed_before_storing": _of_kinesis(_SOME_S, probability=_OFTEN),
    "connection_closed_after_storing": _of_kinesis(_SOME_S, probability=_OFTEN),
    "answer_delayed": _of_kinesis(_SOME_S, probability=_OFTEN, delay_s=(0.1, 4.0)),
    "stored_late": _of_kinesis(_SOME_S, probability=_OFTEN, delay_s=(0.1, 4.0)),
    "latency": _of_kinesis(_SOME_S, probability=_OFTEN, delay_s=(0.05, 1.0), jitter_s=(0.0, 0.5)),
    "hung": _of_kinesis(_SOME_S, probability=(0.02, 0.2)),
    "stream_not_active": _of_kinesis((0.5, 3.0), operation="*", status="UPDATING"),
    "acked_not_stored": _of_kinesis(_SOME_S, probability=(0.01, 0.1)),
    "byte_flipped": _of_kinesis(_SOME_S, probability=(0.01, 0.1)),
    "stored_twice": _of_kinesis(_SOME_S, probability=(0.01, 0.1)),
    "swapped": _of_kinesis(_SOME_S, probability=(0.01, 0.1)),
    "foreign_record": _of_kinesis(_SOME_S, probability=(0.01, 0.3)),
    "split": _of_shards(),
    "merge": _of_shards(),
    "update_shard_count": _of_shards(target=(1, 4)),
    "kinesis_slow": _of_kafka(seconds=(1.0, 8.0), latency_s=(0.05, 1.5)),
    "co_writer": lambda context: {**_of_kinesis((1.0, 8.0))(context), "records_per_s": context.chance.choice((200, 900))},
    "crash": _of_replica(again_after=(0.5, 10.0), turns=(0, 12)),
    "sigterm": _of_replica(again_after=(0.5, 10.0)),
    "freeze": _of_replica(seconds=(0.2, 20.0)),
    "clock_jump": _of_replica(seconds=(-600.0, 600.0)),
    "cut_from_kinesis": _of_replica(seconds=(0.2, 10.0)),
    "cut_from_kafka": _of_replica(seconds=(0.5, 20.0)),
    "broker_down": _of_kafka(seconds=(0.5, 12.0)),
    "rebalance": _of_kafka(),
    "lost": _of_replica(),
    "taken_and_given_back": _of_kafka(),
    **{kind: _of_kafka(seconds=_SOME_S, probability=(0.05, 1.0)) for kind in OF_CLUSTER},
    "unanswered_commits": lambda context: {
        **_of_kafka(seconds=_SOME_S, probability=(0.1, 1.0))(context),
        "applied": context.chance.random() < 0.5,
    },
    "partitions_added": _of_topic,
    "records_deleted": _of_topic,
    "topic_recreated": lambda context: {"topic": context.chance.choice(context.topics).name},
    "stream_recreated": _of_kinesis((0.5, 3.0)),
}
"""Every kind of fault with how its particulars are drawn."""
