"""What a cluster can be made to do wrong, and how often it really did."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from confluent_kafka import KafkaError


@dataclass(slots=True)
class Faults:
    """Probabilities from 0 to 1, all of them 0 at first; `counts` has one entry for each that happened, by its name."""

    chance: Random
    refuse_commits: float = 0.0
    """A commit is not stored, and answered with `refusal`."""
    refusal: int = KafkaError.NOT_COORDINATOR
    unanswered_commits: float = 0.0
    """The connection breaks in place of the answer; the client tries again, as librdkafka does."""
    unanswered_applied: bool = True
    """Whether such a commit was stored."""
    late_commits: float = 0.0
    """A commit arrives up to `commit_delay_s` late, so that a later one may overtake it."""
    commit_delay_s: float = 5.0
    slow_commits: float = 0.0
    """The answer to a commit takes up to `commit_answer_s` longer."""
    commit_answer_s: float = 1.5
    redeliver: float = 0.0
    """A fetch goes back by up to `redeliver_offsets`, not before the offset at which the assignment began."""
    redeliver_offsets: int = 50
    short_batches: float = 0.0
    """`consume` ends early, `poll` comes back with nothing although there is something."""
    slow_fetches: float = 0.0
    """The answer to a fetch takes up to `fetch_delay_s` longer."""
    fetch_delay_s: float = 2.0
    small_fetches: float = 0.0
    """A fetch gives a partition's first few records only."""
    stale_messages: float = 0.0
    """Messages of a partition that left, or came anew, during a call are handed over with that call all the same."""
    late_messages: float = 0.0
    """A few messages that were fetched before a pause come after it."""
    refuse_produces: float = 0.0
    """Records that are produced are refused for good, with `produce_refusal`."""
    produce_refusal: int = KafkaError.TOPIC_AUTHORIZATION_FAILED
    unanswered_produces: float = 0.0
    """The connection breaks in place of the answer; every other time what was produced is stored. The client tries again."""
    counts: Counter[str] = field(default_factory=Counter)

    def happens(self, name: str) -> bool:
        """Draws the fault of this name, and counts it."""
        probability: float = getattr(self, name)
        if probability <= 0.0 or self.chance.random() >= probability:
            return False
        self.counts[name] += 1
        return True
