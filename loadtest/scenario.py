"""What a scenario is: data, read from `scenarios.yaml`; a key that is not known is refused."""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from loadtest.errors import LoadTestError
from loadtest.figures import FIGURES

SCENARIOS = Path(__file__).with_name("scenarios.yaml")

Share = Annotated[float, Field(gt=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]
MEASURED_S_MIN = 3.0
"""Two whole seconds lie in it, wherever it begins: figures are counted by whole seconds."""

MeasuredSeconds = Annotated[float, Field(ge=MEASURED_S_MIN)]

Weight = Annotated[float, Field(gt=0)]
ValueBytes = Annotated[int, Field(ge=16, le=1024 * 1024 - 256)]
"""The first 16 bytes of a value say when it was produced, and which record it is."""


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Keys(_Data):
    """Kafka keys: `count` of them, drawn by Zipf's law with this exponent (0: uniformly)."""

    count: int = Field(ge=1)
    exponent: float = Field(default=0.0, ge=0)
    balanced_over: int | None = Field(default=None, ge=1)
    """Keys are chosen such that each of so many equal slices of the hash-key space has as many as the others."""


class Drain(_Data):
    """A backlog is preloaded and carried to its end, once in each round."""

    backlog_records: int = Field(ge=1000)
    rounds: int = Field(ge=1)
    warm_up_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """This part of the backlog is carried before the measurement begins."""
    baseline: bool = False
    """The same backlog also with the baseline, in turns."""


class CoWriter(_Data):
    """Another producer that writes to one shard after the measured window."""

    shard_share: Share
    """Part of the shard's limit of records or bytes, whichever binds, that it writes at."""
    value_bytes: ValueBytes
    duration_s: MeasuredSeconds
    recovery_s: MeasuredSeconds
    """How long the shard is watched after the co-writer has stopped."""


class Absence(_Data):
    """One replica leaves in the middle of the window and comes back."""

    after_s: MeasuredSeconds
    duration_s: MeasuredSeconds
    rebalance_s: Seconds
    """For so long after a replica left or came, seconds over a limit are counted as those of the rebalance."""


class Kill(_Data):
    """One replica is killed in the middle of the window (SIGKILL), and stays away."""

    after_s: MeasuredSeconds
    """The rate from before is that of these seconds."""


class Window(_Data):
    """Records are carried all the time; what happens between two moments is measured."""

    warm_up_s: Seconds
    duration_s: MeasuredSeconds
    rate: float | None = Field(default=None, gt=0)
    """Records a second, paced; null: more than the stream can take, preloaded."""
    co_writer: CoWriter | None = None
    absence: Absence | None = None
    kill: Kill | None = None

    @model_validator(mode="after")
    def _long_enough(self) -> "Window":
        if kill := self.kill:
            if self.rate is not None or self.absence or self.co_writer:
                raise ValueError("kill: remove rate, absence and co_writer: a backlog, and nothing else that happens to it")
            if self.duration_s < kill.after_s + MEASURED_S_MIN:
                raise ValueError(
                    f"duration_s: write more than kill.after_s and {MEASURED_S_MIN:g} s, or nothing is left to measure"
                )
        if away := self.absence:
            if away.duration_s < away.rebalance_s + MEASURED_S_MIN:
                raise ValueError(
                    f"absence.duration_s: write more than rebalance_s and {MEASURED_S_MIN:g} s, or nothing is left to measure"
                )
            if self.duration_s < away.after_s + away.duration_s + away.rebalance_s + MEASURED_S_MIN:
                raise ValueError(
                    f"duration_s: write more than absence.after_s, duration_s, rebalance_s and {MEASURED_S_MIN:g} s together"
                )
        return self

    @property
    def total_s(self) -> float:
        """From the beginning of the warm-up to the end of everything."""
        after = self.co_writer.duration_s + self.co_writer.recovery_s if self.co_writer else 0.0
        return self.warm_up_s + self.duration_s + after


class Limit(_Data):
    """What a figure has to be."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Limit":
        if (self.min is None) == (self.max is None):
            raise ValueError("write either min or max")
        return self


class Part(_Data):
    """One measurement of a scenario."""

    name: str
    partitions: int = Field(ge=1)
    keys: Keys
    value_bytes: ValueBytes | Annotated[dict[ValueBytes, Weight], Field(min_length=1)]
    """Of every value, or size -> weight."""
    shards: int = Field(ge=1)
    limits: bool = True
    """Whether the embedded Kinesis enforces the limits of shards."""
    latency_ms: float = Field(default=0.0, ge=0)
    """Round trip that the embedded Kinesis adds to a call."""
    tls: bool = False
    replicas: int = Field(default=1, ge=1)
    seed: int = 1
    bridge: dict[str, Any] = {}
    """Keys of the bridge's configuration beside addresses, topic and stream; `route` holds those of the route."""
    drain: Drain | None = None
    window: Window | None = None
    verdicts: dict[str, Limit] = {}
    """Figure -> what it has to be."""

    @model_validator(mode="after")
    def _consistent(self) -> "Part":
        if (self.drain is None) == (self.window is None):
            raise ValueError("write either drain or window")
        if self.window and (self.window.absence or self.window.kill) and self.replicas < 2:
            raise ValueError("window.absence and window.kill need replicas: 2 or more")
        if unknown := sorted(set(self.verdicts) - set(FIGURES)):
            raise ValueError(f"verdicts: no such figure: {', '.join(unknown)}; there are {', '.join(FIGURES)}")
        return self

    @property
    def aggregated(self) -> bool:
        """Whether the bridge packs many records in one."""
        return bool(self.bridge.get("route", {}).get("format") == "aggregated")

    @property
    def value_bytes_mean(self) -> float:
        """Bytes of a value on average."""
        if isinstance(self.value_bytes, int):
            return float(self.value_bytes)
        return sum(size * weight for size, weight in self.value_bytes.items()) / sum(self.value_bytes.values())


class Scenario(_Data):
    """Parts that are measured one after the other; each has the keys of `defaults` beside its own."""

    about: str
    by_default: bool = True
    """Whether a run without a scenario's name includes it."""
    parts: list[Part] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, data: object) -> object:
        if not isinstance(data, dict) or "defaults" not in data:
            return data
        rest = {key: value for key, value in data.items() if key != "defaults"}
        return rest | {"parts": [{**data["defaults"], **part} for part in data.get("parts", [])]}


def load_scenarios(file: Path = SCENARIOS) -> dict[str, Scenario]:
    """All scenarios by name. Raises LoadTestError that names every wrong key with its path."""
    try:
        document = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise LoadTestError(f"{file.name} is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise LoadTestError(f"{file.name}: write a mapping of scenarios by name")
    found, problems = {}, []
    for name, data in document.items():
        try:
            found[str(name)] = Scenario.model_validate(data)
        except ValidationError as error:
            problems += [f"{name}.{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors()]
    if problems:
        raise LoadTestError("\n".join([f"{file.name}:", *problems]))
    return found
