"""Trials of recovery: moments at which the outcome of much is unknown at once, in a part of the runs.

Records with the same key and the same value stand in several partitions then, and in a row: without marks nothing but order and
time tells them apart. Nobody can, so the laws count them by what they hold (`Equal`).
"""

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

TRIALS_PART = 0.35
CONTESTS_PART = 0.15
"""Of the runs."""
CONTEST_RUN_S = 38.0
CONTEST_AT_S = (3.0, 9.0)
LATE_S = (0.5, 4.0)
KEYS = 2


class Equal(NamedTuple):
    """Records of one stream with one key, in the order in which they are produced; those of a kind hold the same."""

    at: float
    key: bytes
    places: tuple[tuple[str, int, int], ...]
    """Topic, partition and kind of each."""


class Trial(NamedTuple):
    """What is produced, and what goes wrong: moment, kind, particulars."""

    equals: tuple[Equal, ...]
    faults: tuple[tuple[float, str, Mapping[str, Any]], ...]


Wrong = Iterator[tuple[float, str, dict[str, Any]]]
Script = Callable[[random.Random, float, str, int], tuple[float, Wrong]]


def scripts_of(seed: int) -> Mapping[str, Script]:
    """What may go wrong in the trials of a run; none where it has no trials."""
    drawn = random.Random(f"{seed}/trials").random()
    if drawn < TRIALS_PART:
        return SCRIPTS
    return CONTESTS if drawn < TRIALS_PART + CONTESTS_PART else {}


def has_trials(seed: int) -> bool:
    """Whether this run has some."""
    return bool(scripts_of(seed))


def is_contest(seed: int) -> bool:
    """Whether its trial is a long one, for more than one replica."""
    return scripts_of(seed) is CONTESTS


def unmarked(chance: random.Random, route: Mapping[str, Any]) -> dict[str, Any]:
    """A route whose records are found again by what they hold alone."""
    ordering = "none" if route["ordering"] == "none" or chance.random() < 0.15 else "key"
    left = {key: value for key, value in route.items() if not key.startswith("aggregate") and key != "format"}
    return {**left, "partition_key": "key", "ordering": ordering, "carry_origin": False}


def trials_of(
    seed: int, chance: random.Random, stream: str, topics: Mapping[str, int], replicas: int, ends_at: float
) -> list[Trial]:
    """Of topics with unmarked routes into this stream, given with their numbers of partitions."""
    scripts = scripts_of(seed)
    count, moments = (1, CONTEST_AT_S) if is_contest(seed) else (chance.randint(1, 3), (3.0, ends_at - 4.0))
    found = []
    for _ in range(count):
        at = chance.uniform(*moments)
        script = chance.choice(list(scripts))
        seconds, wrong = scripts[script](chance, at, stream, replicas)
        found.append(Trial(tuple(_equals(chance, topics, at, seconds)), tuple(wrong)))
    return found


def _equals(chance: random.Random, topics: Mapping[str, int], at: float, seconds: float) -> Iterator[Equal]:
    """Waves of them, for so long."""
    every = [(topic, partition) for topic, partitions in topics.items() for partition in range(partitions)]
    chosen = chance.sample(every, min(len(every), chance.choice((1, 2, 2, 3))))
    kinds = chance.choice((1, 1, 2, 3))
    waves = max(1, int(seconds * chance.choice((1, 3, 8))))
    most = max(1, 160 // waves)
    for _ in range(waves):
        places = []
        for topic, partition in chosen:
            places += [(topic, partition, chance.randrange(kinds)) for _ in range(chance.randint(0, most))]
        if chance.random() < 0.5:
            chance.shuffle(places)
        yield Equal(at + chance.uniform(0, seconds), b"equal-%d" % chance.randrange(KEYS), tuple(places))


def _of_stream(stream: str, seconds: float, **what: Any) -> dict[str, Any]:
    return {"stream": stream, "seconds": seconds, **what}


def _lost(chance: random.Random, at: float, stream: str, replicas: int) -> tuple[float, Wrong]:
    """Answers are lost: some of what they tell was stored, some was not."""
    del replicas
    seconds = chance.uniform(0.5, 4.0)

    def wrong() -> Wrong:
        kinds = (
            "error_after_storing",
            "connection_closed_after_storing",
            "error_before_storing",
            "connection_closed_before_storing",
        )
        for kind in chance.sample(kinds, chance.randint(1, 3)):
            yield at - 0.1, kind, _of_stream(stream, seconds, probability=chance.uniform(0.1, 0.6))
        if chance.random() < 0.5:
            yield at, "stored_late", _of_stream(stream, seconds, probability=0.3, delay_s=chance.uniform(*LATE_S))

    return seconds, wrong()


def _crashes(chance: random.Random, at: float, replicas: int) -> Wrong:
    """Of one replica or all, while much is on its way."""
    some = range(replicas) if chance.random() < 0.5 else [chance.randrange(replicas)]
    for replica in some:
        when = at + chance.uniform(0.0, 0.6)
        again = chance.uniform(0.5, 4.0)
        yield when, "crash", {"replica": replica, "again_after": again, "turns": chance.randint(0, 12)}
        if chance.random() < 0.3:  # and again, while it recovers
            later = when + again + chance.uniform(0.1, 8.0)
            yield later, "crash", {"replica": replica, "again_after": 0.5, "turns": chance.randint(0, 12)}


def _crashed(chance: random.Random, at: float, stream: str, replicas: int) -> tuple[float, Wrong]:
    """Killed while much is on its way; some of it is stored late or not at all."""

    def wrong() -> Wrong:
        if chance.random() < 0.7:
            yield at - 0.1, "latency", _of_stream(stream, 1.0, probability=1.0, delay_s=chance.uniform(0.05, 0.6), jitter_s=0.3)
        if chance.random() < 0.6:
            kind = chance.choice(("stored_late", "error_before_storing", "record_throttled"))
            late = {"delay_s": chance.uniform(*LATE_S)} if kind == "stored_late" else {}
            yield at - 0.1, kind, _of_stream(stream, 1.5, probability=chance.uniform(0.2, 0.8), **late)
        yield from _crashes(chance, at, replicas)

    return 0.8, wrong()


def _resharded(chance: random.Random, at: float, stream: str, replicas: int) -> tuple[float, Wrong]:
    """Killed, and before anybody reads the shards they are others."""
    seconds, before = _crashed(chance, at, stream, replicas)

    def wrong() -> Wrong:
        yield from before
        for _ in range(chance.randint(1, 2)):
            when = at + chance.uniform(-0.2, 6.0)
            kind = chance.choice(("split", "merge", "update_shard_count"))
            target = {"target": chance.randint(1, 4)} if kind == "update_shard_count" else {}
            yield when, kind, _of_stream(stream, 5.0, after_calls=chance.randint(0, 2), **target)

    return seconds, wrong()


def _fenced(chance: random.Random, at: float, stream: str, replicas: int) -> tuple[float, Wrong]:
    """A replica is cut off from Kafka and sends for as long as it may; much of that is stored late."""

    def wrong() -> Wrong:
        replica = chance.randrange(replicas)
        if chance.random() < 0.5:
            yield at, "cut_from_kafka", {"replica": replica, "seconds": chance.uniform(7.0, 20.0)}
        else:
            yield at, "broker_down", {"seconds": chance.uniform(5.0, 12.0)}
        late = _of_stream(
            stream, chance.uniform(4.0, 8.0), probability=chance.uniform(0.3, 1.0), delay_s=chance.uniform(2.0, 4.5)
        )
        yield at + chance.uniform(0.0, 3.0), "stored_late", late
        if chance.random() < 0.4:
            yield at + chance.uniform(3.0, 6.0), "crash", {"replica": replica, "again_after": 0.5, "turns": 0}

    return 8.0, wrong()


def _frozen(chance: random.Random, at: float, stream: str, replicas: int) -> tuple[float, Wrong]:
    """A replica stands still for longer than its lease, with requests ready to go, and goes on."""

    def wrong() -> Wrong:
        when = at + chance.uniform(0.0, 1.5)
        what = {"seconds": chance.uniform(5.0, 20.0), "turns": chance.randint(0, 12)}
        yield when, "freeze", {"replica": chance.randrange(replicas), **what}
        if chance.random() < 0.5:
            yield at, "latency", _of_stream(stream, 2.0, probability=1.0, delay_s=chance.uniform(0.05, 0.6), jitter_s=0.3)

    return 3.0, wrong()


def _outlasted(chance: random.Random, at: float, stream: str, replicas: int) -> tuple[float, Wrong]:
    """All replicas but one are cut off from Kafka in the middle of long lanes, which they send for as long as they may."""

    def wrong() -> Wrong:
        yield at - 0.2, "latency", _of_stream(stream, 14.0, probability=1.0, delay_s=chance.uniform(0.1, 0.6), jitter_s=0.1)
        for replica in chance.sample(range(replicas), replicas - 1):
            when = at + chance.uniform(0.3, 2.0)
            yield when, "cut_from_kafka", {"replica": replica, "seconds": chance.uniform(9.0, 20.0)}
            if chance.random() < 0.3:
                yield when + chance.uniform(3.0, 7.0), "crash", {"replica": replica, "again_after": 0.5, "turns": 0}
        if chance.random() < 0.6:
            late = {"probability": chance.uniform(0.1, 0.6), "delay_s": chance.uniform(*LATE_S)}
            yield at + chance.uniform(2.0, 6.0), "stored_late", _of_stream(stream, 4.0, **late)

    return 0.3, wrong()


def _contested(chance: random.Random, at: float, stream: str, replicas: int) -> tuple[float, Wrong]:
    """One is killed, and while its partitions are recovered the others store the same records, and hear of it late or never."""
    seconds = chance.uniform(12.0, 24.0)

    def wrong() -> Wrong:
        killed = {"replica": chance.randrange(replicas), "again_after": chance.uniform(0.5, 12.0), "turns": chance.randint(0, 12)}
        if chance.random() < 0.7:
            kind = chance.choice(("error_before_storing", "record_throttled", "hung"))
            yield at - 0.1, kind, _of_stream(stream, 2.0, probability=chance.uniform(0.2, 0.7))
        yield at + chance.uniform(0.3, 1.5), "crash", killed
        delay_s = chance.uniform(0.2, 1.8)
        yield at + 0.2, "answer_delayed", _of_stream(stream, seconds, probability=chance.uniform(0.2, 1.0), delay_s=delay_s)
        if chance.random() < 0.5:
            kind = chance.choice(("error_after_storing", "connection_closed_after_storing", "error_before_storing"))
            yield at + 2.0, kind, _of_stream(stream, seconds, probability=chance.uniform(0.05, 0.3))

    return seconds, wrong()


SCRIPTS: Mapping[str, Script] = {
    "lost": _lost,
    "crashed": _crashed,
    "resharded": _resharded,
    "fenced": _fenced,
    "frozen": _frozen,
}
"""By name: for how many seconds records come, and what goes wrong meanwhile."""
CONTESTS: Mapping[str, Script] = {"outlasted": _outlasted, "contested": _contested}
"""Those that need time and more than one replica."""
