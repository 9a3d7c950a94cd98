"""Who owns a partition, and what its commits say of that."""

from dataclasses import dataclass
from typing import NamedTuple

from bridge.core.delivery.demand import Demand
from bridge.core.delivery.lease import Lease
from bridge.core.delivery.ownership import Ownership
from bridge.core.proof.ledger_floors import LedgerFloors
from bridge.core.records import Partition


class Renewal(NamedTuple):
    """What a commit says of an open partition; see `ownership`. Times are Kinesis's, in milliseconds."""

    watermark_ms: int
    lease_end_ms: int
    attempts_to: int


class LeaseTerms(NamedTuple):
    """How long a lease is, and how long a request may be on the wire."""

    length_ms: float
    request_timeout_ms: float


@dataclass(slots=True, frozen=True)
class Owner:
    """One assignment of one partition: id of the process, number of the assignment there."""

    name: str
    counter: int
    floors: LedgerFloors
    terms: LeaseTerms
    fingerprint: str = ""
    """Of the partition's route."""

    def says(self, partition: Partition, committable: int, renewal: Renewal | None, epoch: int, demand: Demand) -> Ownership:
        """For the commit metadata; None: it is not open, and so has no entries at or above its offset."""
        if renewal is None:
            return Ownership(
                self.name, self.counter, False, 0, 0, epoch=epoch, fingerprint=self.fingerprint, demand=demand.announced
            )
        floors = self.floors.of(partition, committable)
        watermark_ms, lease_end_ms, attempts_to = renewal
        return Ownership(
            self.name,
            self.counter,
            True,
            watermark_ms,
            lease_end_ms,
            floors,
            epoch,
            fingerprint=self.fingerprint,
            attempts_to=attempts_to,
            records_per_s=demand.records_per_s,
            demand=demand.announced,
        )

    def lease(self) -> Lease:
        """One that begins with the next commit."""
        return Lease(*self.terms)


@dataclass(slots=True)
class Owners:
    """Counts the assignments of this process."""

    name: str
    floors: LedgerFloors
    terms: LeaseTerms
    counter: int = 0

    def next(self, fingerprint: str) -> Owner:
        """Of a partition that was just assigned; its route has this fingerprint."""
        self.counter += 1
        return Owner(self.name, self.counter, self.floors, self.terms, fingerprint)
