"""The whole configuration file as one frozen value."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bridge.app.settings.kafka import KafkaSettings
from bridge.app.settings.kinesis import KinesisSettings
from bridge.app.settings.ledger import LedgerSettings
from bridge.app.settings.route import Route, RouteDefaults
from bridge.app.settings.section import BridgeName, FilledText, Section, WholeNumber, written
from bridge.app.settings.switchover import SwitchoverSettings
from bridge.app.settings.units import Duration, Size, Within
from bridge.core.topics import TopicDefinition, control_definition, dead_letter_topic, ledger_definition, own_topics


class MetricsSettings(Section):
    """Where /livez, /readyz and /metrics are served: read only, without secrets, keys or values."""

    host: FilledText = Field(
        default="0.0.0.0",
        description="Address to listen on. All interfaces by default: probes and scrapers come from outside the container.",
    )
    port: WholeNumber = Field(
        default=9464,
        ge=0,
        le=65535,
        description="TCP port; 0 takes a free one. 9464 is the port that Prometheus exporters of OpenTelemetry use.",
    )


class LogSettings(Section):
    """The log on standard output."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="Least important level that is written. `info` has every change of state and nothing per record.",
    )
    format: Literal["json", "console"] = Field(
        default="json",
        description="`json` for log collectors, one object a line; `console` for people.",
    )


class Settings(Section):
    """Configuration of one bridge."""

    name: BridgeName = Field(
        description="Names the bridge and all that is its own: consumer group, internal topics, marks. No default: two bridges "
        "under one name would take each other's partitions. Never change it on a bridge that has run."
    )
    kafka: KafkaSettings
    kinesis: KinesisSettings
    defaults: RouteDefaults = Field(
        default_factory=RouteDefaults,
        description="Any key of a route except topic and stream; a route overrides it.",
    )
    routes: tuple[Route, ...] = Field(
        min_length=1,
        description="What is carried where; at least one. Beside these keys a route takes every key of `defaults`.",
    )
    buffer_bytes_max: Annotated[Size, Within("1MiB", "64GiB")] = Field(
        default=written("96MiB"),
        description="Bytes of records in memory, read and not yet confirmed: a partition is paused above its part of it, all are "
        "above one and a half of it. 96MiB are several seconds of work for one process, and leave room in a container of 512MiB.",
    )
    commit_interval: Annotated[Duration, Within("50ms", "10s")] = Field(
        default=written("1s"),
        description="How often offsets are committed. 1s costs the brokers next to nothing and bounds what is repeated "
        "after a crash.",
    )
    lease: Annotated[Duration, Within("1s", "10m")] = Field(
        default=written("12s"),
        description="How long a partition may still be written after the last commit that Kafka confirmed. Whoever takes it over "
        "from a replica that died waits for its end; longer than `kinesis.request_timeout` and three commit intervals.",
    )
    ledger: LedgerSettings = Field(default_factory=LedgerSettings)
    switchover: SwitchoverSettings = Field(default_factory=SwitchoverSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @property
    def dead_letter_topic(self) -> str:
        """Where parked records go."""
        return dead_letter_topic(self.name)

    @property
    def ledger_definition(self) -> TopicDefinition:
        """How the ledger's topic has to be."""
        ledger = self.ledger
        return ledger_definition(self.name, ledger.slots, ledger.retention, ledger.replication_factor)

    @property
    def control_definition(self) -> TopicDefinition:
        """How the control topic has to be; as many replicas as the ledger's."""
        return control_definition(self.name, self.ledger.replication_factor)

    @property
    def own_topics(self) -> frozenset[str]:
        """The bridge's own, which no route carries."""
        return own_topics(self.name)

    @property
    def may_park(self) -> bool:
        """Whether any route may: only then the dead-letter topic is needed."""
        return any(route.may_park for route in self.routes)

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, raw: object) -> object:
        """Fills what one key takes from another: a route's keys from `defaults`, the group from the name."""
        return inherited(raw) if isinstance(raw, dict) else raw


def inherited(raw: dict[str, Any]) -> dict[str, Any]:
    """The raw configuration with `defaults` under every route and the name as the group; wrong shapes stay as they are."""
    filled = dict(raw)
    if isinstance(raw.get("kafka"), dict) and "name" in raw:
        filled["kafka"] = {"group": raw["name"], **raw["kafka"]}
    if isinstance(raw.get("defaults"), dict) and isinstance(raw.get("routes"), list | tuple):
        filled["routes"] = [{**raw["defaults"], **route} if isinstance(route, dict) else route for route in raw["routes"]]
    return filled
