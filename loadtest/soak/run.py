"""One soak: servers, daemons, producers and readers for as long as it lasts, then the verdicts."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from loadtest.errors import LoadTestError
from loadtest.figures import Figures
from loadtest.flow import settled
from loadtest.servers import unique
from loadtest.soak.judging import OFFSETS_SEGMENT_BYTES, LedgerKeeping, Sample, figures_of, limits_of
from loadtest.soak.reader import StreamReader
from loadtest.soak.watch import Watch, keep_ledger
from loadtest.verdict import Verdict, judge
from tests.integration.daemon import Daemon, running_daemon
from tests.integration.exactly_once import FAULTS, LONGEST_S, ROUTES, Killer, settings_for
from tests.integration.kafka_reader import read_topic
from tests.integration.places import places_in_ledger, places_in_streams, wrong_places
from tests.integration.scenario import settings_of, wait_committed
from tests.integration.steady import producing
from tests.servers.embedded_kinesis import RunningEmbeddedKinesis, running_embedded_kinesis
from tests.servers.kafka import RunningKafka, running_kafka
from tests.servers.kinesis import create_stream, kinesis_client
from tests.servers.process import wait_until
from tests.servers.topics import create_topic

PARTITIONS = 6
SHARDS = 4
SEED = 20131202
DRAIN_S = 180.0
SAMPLE_S, POLL_S, SAY_S = 5.0, 0.1, 30.0
CHECK_S = 5.0
RETENTION_SHARE, RETENTION_MAX_S = 0.15, 180.0
"""Of the run: what is written in the first third has to expire before the second ends."""
SEGMENTS = 3
"""In a retention."""
KEPT_S = 120.0
"""So long the embedded Kinesis keeps records: readers are seconds behind, what is in doubt is settled within half a minute."""
BROKER = {
    "log.retention.check.interval.ms": str(round(CHECK_S * 1000)),
    "log.cleaner.backoff.ms": "5000",
    "offsets.topic.segment.bytes": str(OFFSETS_SEGMENT_BYTES),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """`kills` of 0: one process each, whose memory is watched, and a ledger that expires. Else the flow goes on until that many
    daemons were killed, and everything is kept, to be compared with the ledger."""

    minutes: float
    kills: int
    daemons: int

    @property
    def name(self) -> str:
        return "1 daemon" if self.daemons == 1 else f"{self.daemons} daemons"

    @property
    def longest_s(self) -> float:
        """From one kill to the next: as in the test, or further apart, to fill the time."""
        shortest = LONGEST_S.get(self.daemons, min(LONGEST_S.values()))
        return max(shortest, 2 * self.minutes * 60 / self.kills - 1) if self.kills else 0.0

    @property
    def rate(self) -> float:
        """Of each route, records/s. Where one raw record in twenty is refused, the bridge takes its shards for shared
        ones and sends some 190 to each: half of that. With kills less, because what was missed is caught up."""
        return 150.0 if self.kills else 100.0 * SHARDS

    @property
    def keys(self) -> int:
        """No multiple of 7, see `SteadyRecords`. A key waits while a record of it is in doubt."""
        return 600 if self.kills else 5000

    @property
    def keeping(self) -> LedgerKeeping | None:
        if self.kills:
            return None
        retention_s = min(RETENTION_MAX_S, RETENTION_SHARE * self.minutes * 60)
        return LedgerKeeping(retention_s, retention_s / SEGMENTS, CHECK_S)


@dataclass(slots=True)
class Result:
    """What came out."""

    plan: Plan
    figures: Figures
    verdicts: list[Verdict]
    settings: dict[str, Any]
    samples: list[Sample]


@dataclass(slots=True)
class Soak:
    """Everything that runs."""

    plan: Plan
    kafka: RunningKafka
    kinesis: RunningEmbeddedKinesis
    name: str
    routes: list[dict[str, Any]]
    daemons: list[Daemon]
    settings: dict[str, Any]
    readers: list[StreamReader]
    reading: list[Future[None]]
    say: Callable[[str], None]
    samples: list[Sample] = field(default_factory=list)
    kills: int = 0

    @property
    def topics(self) -> list[str]:
        return [str(route["topic"]) for route in self.routes]

    def flow(self) -> float:
        """The flow for its time; how long it was, in seconds. Raises LoadTestError when something ends that must not."""
        plan, began_s = self.plan, time.monotonic()
        watch = Watch(self.kafka, self.kinesis.process, self.name, self.daemons, with_memory=not plan.kills)
        killer = Killer(self.daemons, plan.kills, plan.longest_s, random.Random(SEED))
        sampled_s = said_s = began_s
        try:
            while not killer.is_done() or time.monotonic() < began_s + (0 if plan.kills else plan.minutes * 60):
                time.sleep(POLL_S)
                self._check()
                if (now := time.monotonic()) > sampled_s + SAMPLE_S:
                    sampled_s = now
                    self.samples.append(watch.sample(now - began_s))
                if now > said_s + SAY_S:
                    said_s, self.kills = now, plan.kills - killer.left
                    self.say(self._progress())
        finally:
            watch.close()
        self.kills = plan.kills
        return time.monotonic() - began_s

    def drain(self) -> Figures:
        """When nothing is produced any more: until everything is committed, the daemons have left, and all is read."""
        began_s = time.monotonic()
        for topic in self.topics:
            wait_committed(self.kafka, self.name, topic, DRAIN_S)
        drain_s = time.monotonic() - began_s
        for daemon in self.daemons:
            daemon.wait_ready()  # the one that was killed last
        metrics = [daemon.metrics() for daemon in self.daemons]
        for daemon in self.daemons:
            daemon.terminate()
        unsettled = sum(not settled(daemon) for daemon in self.daemons)
        for reader in self.readers:
            reader.finish()
        for future in self.reading:
            future.result(DRAIN_S)
        return {
            "drain_s": drain_s,
            "unsettled_stops": unsettled,
            "unknown_attempts": sum(one.total("bridge_unknown_attempts_total") for one in metrics),
            "possible_duplicates": sum(one.total("bridge_possible_duplicates_total") for one in metrics),
        }

    def wrong_places(self) -> int:
        """Records that are not where the ledger says."""
        stored = places_in_streams(kinesis_client(self.kinesis.endpoint_url), [route["stream"] for route in self.routes])
        sent = [record for topic in self.topics for record in read_topic(self.kafka.bootstrap_servers, topic)]
        return len(wrong_places(sent, places_in_ledger(self.kafka.bootstrap_servers, self.name), stored))

    def _check(self) -> None:
        for future in self.reading:
            if future.done():
                future.result()
        for daemon in self.daemons:
            if (status := daemon.process.exit_status()) is not None:
                raise LoadTestError(f"a daemon ended with status {status}\n{daemon.process.log_tail()}")

    def _progress(self) -> str:
        latest, arrivals = self.samples[-1], [reader.arrivals for reader in self.readers]
        memory = f"memory {latest.memory / 1024**2:.0f} MiB, " if latest.memory else f"{self.kills} kills, "
        arrived = " + ".join(f"{one.arrived:,}" for one in arrivals)
        return (
            f"{latest.at_s / 60:.1f} min: {arrived} records arrived, "
            f"{sum(one.twice for one in arrivals)} twice, {sum(one.out_of_order for one in arrivals)} out of order; {memory}"
            f"ledger {latest.ledger_bytes / 1024**2:.1f} MiB, offsets {latest.ledger_low:,} to {latest.ledger_high:,}"
        )


def run_soak(plan: Plan, say: Callable[[str], None]) -> Result:
    """Raises LoadTestError when it cannot be carried through, TimeoutError when it does not drain."""
    with running_soak(plan, say) as soak:
        with ExitStack() as producers:
            produced = [producers.enter_context(producing(soak.kafka, topic, plan.rate, plan.keys)) for topic in soak.topics]
            duration_s = soak.flow()
        figures = figures_of(soak.samples, duration_s, plan.keeping) | soak.drain()
        counts = [sum(of_topic) for of_topic in produced]
        arrivals = [reader.arrivals for reader in soak.readers]
        figures |= {
            "sent_records": sum(counts),
            "records_per_s": sum(counts) / duration_s,
            "kills": soak.kills,
            "lost_records": sum(one.lost(count) for one, count in zip(arrivals, counts, strict=True)),
            "twice_records": sum(one.twice for one in arrivals),
            "out_of_order_records": sum(one.out_of_order for one in arrivals),
        }
        if plan.kills:
            say("every record is looked for where the ledger says")
            figures["wrong_places"] = soak.wrong_places()
    verdicts = judge(limits_of(figures, plan.keeping, with_places=bool(plan.kills)), figures)
    return Result(plan, figures, verdicts, soak.settings, soak.samples)


@contextmanager
def running_soak(plan: Plan, say: Callable[[str], None]) -> Iterator[Soak]:
    """Everything but the producers, started; gone at the end."""
    with ExitStack() as stack:
        kafka = stack.enter_context(running_kafka("soak-kafka", own=True, settings=BROKER))
        kept = [] if plan.kills else ["--keep", str(KEPT_S)]
        kinesis = stack.enter_context(running_embedded_kinesis("soak-kinesis", "--latency", "0.02", *kept))
        name = unique("soak")
        routes = [{"topic": f"{name}-{kind}", "stream": f"{name}-{kind}", **route} for kind, route in ROUTES.items()]
        client = kinesis_client(kinesis.endpoint_url)
        for route in routes:
            create_topic(kafka.bootstrap_servers, route["topic"], partitions=PARTITIONS)
            create_stream(client, route["stream"], shards=SHARDS)
        kinesis.inject(*FAULTS, seed=SEED)
        every = [_settings(plan, name, kafka, kinesis, routes, number) for number in range(plan.daemons)]
        daemons = [stack.enter_context(running_daemon(settings)) for settings in every]
        wait_until(lambda: all(daemon.status_of("/readyz") == 200 for daemon in daemons), "the daemons", 60.0)
        if plan.keeping is not None:
            keep_ledger(kafka, name, plan.keeping)
        readers = [StreamReader(client, route["stream"], plan.keys) for route in routes]
        threads = stack.enter_context(ThreadPoolExecutor(len(readers), "reader"))
        reading = [threads.submit(reader.run) for reader in readers]
        try:
            yield Soak(plan, kafka, kinesis, name, routes, daemons, every[0], readers, reading, say)
        finally:
            _end(readers)


def _end(readers: Sequence[StreamReader]) -> None:
    """Before their threads are waited for."""
    for reader in readers:
        reader.finish()


def _settings(
    plan: Plan, name: str, kafka: RunningKafka, kinesis: RunningEmbeddedKinesis, routes: list[dict[str, Any]], number: int
) -> dict[str, Any]:
    """Without kills those of production."""
    if not plan.kills:
        return settings_of(name, kafka, kinesis.endpoint_url, routes)
    of_test = [{**route, "linger": "5ms"} for route in routes]
    return settings_for(name, kafka, kinesis.endpoint_url, of_test, f"{name}-{number}" if plan.daemons == 1 else None)
