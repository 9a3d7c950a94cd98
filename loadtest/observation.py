"""Watches replicas and service while records flow: samples once a second, and moments between which figures are taken."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.core.quotas import SHARD_BYTES_PER_S, SHARD_RECORDS_PER_S
from loadtest.bridges import Sample, sample
from loadtest.errors import LoadTestError
from loadtest.series import BRIDGE, CO_WRITER, Series, add_series, series_of_samples, series_of_statistics
from loadtest.servers import CO_WRITER_KEY
from loadtest.stage import Stage
from tests.integration.daemon import Daemon
from tests.servers.kinesis import ACCESS_KEY

TICK_S = 1.0
SAY_S = 5.0
FIRST_RECORD_TIMEOUT_S = 60.0
CLIENTS = {ACCESS_KEY: BRIDGE, CO_WRITER_KEY: CO_WRITER}


@dataclass(frozen=True, slots=True)
class Moment:
    """Seconds since the epoch, and each replica's counters then."""

    wall_s: float
    samples: Mapping[int, Sample]


class Observer:
    """`series` goes up to the last `take_statistics`; a replica that was stopped is not sampled until it is watched again."""

    def __init__(self, stage: Stage, stream: str, replicas: Sequence[Daemon]) -> None:
        self._stage = stage
        self._stream = stream
        self._replicas = dict(enumerate(replicas))
        self._away: set[int] = set()
        self._lives: list[list[Sample]] = [[] for _ in replicas]
        self._current = {number: self._lives[number] for number in self._replicas}
        self._from_statistics: Series = {}
        self._requests_over_limit = 0
        self._said_s = 0.0

    def wait_first_record(self) -> None:
        """Raises LoadTestError when none is confirmed in time."""
        deadline = time.monotonic() + FIRST_RECORD_TIMEOUT_S
        while self.tick().records == 0:
            if time.monotonic() > deadline:
                raise LoadTestError(f"no record was confirmed within {FIRST_RECORD_TIMEOUT_S:g} s\n{self._log_tails()}")
            time.sleep(0.1)

    def watch(self, seconds: float, what: str) -> None:
        """Samples and tells progress for so long. Raises LoadTestError when a replica ends."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(TICK_S, left))
            self._tell(what, self.tick())

    def moment(self) -> Moment:
        """Now."""
        self.tick()
        return Moment(time.time(), {number: samples[-1] for number, samples in self._current.items() if samples})

    def tick(self) -> Sample:
        """One sample of each replica that is watched; returns the sum over all processes that there were."""
        for number, daemon in self._replicas.items():
            if number in self._away:
                continue
            if (status := daemon.process.exit_status()) is not None:
                raise LoadTestError(f"replica {number} ended with status {status}\n{daemon.process.log_tail()}")
            self._current[number].append(sample(daemon, self._stage.cores))
        latest = [samples[-1] for samples in self._lives if samples]
        return Sample(
            at_s=time.monotonic(),
            cpu_s=sum(one.cpu_s for one in latest),
            records=sum(one.records for one in latest),
            throttled=sum(one.throttled for one in latest),
        )

    def leave(self, number: int) -> None:
        """The replica is about to stop: it is not sampled any more."""
        self._away.add(number)

    def is_away(self, number: int) -> bool:
        """Whether it has left and did not come back."""
        return number in self._away

    def back(self, number: int) -> None:
        """A new process of the replica: its counters begin at nothing."""
        self._away.discard(number)
        self._current[number] = []
        self._lives.append(self._current[number])

    def take_statistics(self) -> None:
        """Takes what the service counted since the last time; its counts begin anew, those of a sliding second too."""
        if (document := self._stage.kinesis.statistics()) is not None:
            self._stage.kinesis.forget_statistics()
            add_series(self._from_statistics, series_of_statistics(document, self._stream, CLIENTS))
            self._requests_over_limit += int(self._of_stream(document).get("requests_over_limit", 0))

    def peak_share(self) -> float | None:
        """The most that was offered to one shard in any sliding second since `take_statistics`, as part of its limit; None where
        the service does not tell."""
        if (document := self._stage.kinesis.statistics()) is None:
            return None
        peaks = [shard["sliding_second_max"] for shard in self._of_stream(document).get("shards", {}).values()]
        shares = [max(peak["records_offered"] / SHARD_RECORDS_PER_S, peak["bytes_offered"] / SHARD_BYTES_PER_S) for peak in peaks]
        return max(shares, default=0.0)

    def series(self) -> Series:
        """The service's own where it has them, else those of the replicas' metrics."""
        if self._stage.kinesis.embedded:
            return self._from_statistics
        found: Series = {}
        for samples in self._lives:
            add_series(found, series_of_samples(BRIDGE, [one.of_shards() for one in samples]))
        return found

    @property
    def requests_over_limit(self) -> int | None:
        """Requests that broke a limit of requests; None where the service does not tell."""
        return self._requests_over_limit if self._stage.kinesis.embedded else None

    def _of_stream(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        found: Mapping[str, Any] = document["streams"].get(self._stream, {})
        return found

    def _tell(self, what: str, latest: Sample) -> None:
        now = time.monotonic()
        if now > self._said_s + SAY_S:
            self._said_s = now
            self._stage.say(f"{what}: {latest.records:,.0f} records confirmed, {latest.throttled:,.0f} throttled")

    def _log_tails(self) -> str:
        return "\n".join(daemon.process.log_tail() for daemon in self._replicas.values())
