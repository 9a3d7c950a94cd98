"""Settings of the Kafka side."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema

from bridge.app.settings.secrets import is_secret_name
from bridge.app.settings.section import FilledText, Section, written
from bridge.app.settings.security import PASSWORD_MECHANISMS, SecuritySettings
from bridge.app.settings.units import Duration, Within, refuse

OWNED_PROPERTIES = {
    "bootstrap.servers": "write it as kafka.bootstrap_servers",
    "metadata.broker.list": "write it as kafka.bootstrap_servers",
    "group.id": "write it as kafka.group",
    "group.protocol": "write it as kafka.group_protocol",
    "group.instance.id": "write it as kafka.group_instance_id",
    "session.timeout.ms": "write it as kafka.session_timeout",
    "enable.auto.commit": "the bridge commits an offset only after Kinesis has confirmed its record",
    "auto.commit.enable": "the bridge commits an offset only after Kinesis has confirmed its record",
    "enable.auto.offset.store": "the bridge commits an offset only after Kinesis has confirmed its record",
    "auto.offset.reset": "a silent reset would skip or repeat records; write routes[].start for the first run",
    "isolation.level": "the bridge reads committed records only, so that an aborted transaction never reaches Kinesis",
    "partition.assignment.strategy": "it follows from kafka.group_protocol, so that all replicas agree",
    "enable.partition.eof": "the bridge decides itself how it notices the end of a partition",
    "security.protocol": "write it as kafka.security.protocol",
    "sasl.username": "write it as kafka.security.username",
    "sasl.password": "write it to a file and name that in kafka.security.password_file",
    "ssl.ca.location": "write it as kafka.security.ca_file",
    "ssl.certificate.location": "write it as kafka.security.certificate_file",
    "ssl.key.location": "write it as kafka.security.key_file",
    "ssl.key.password": "write it to a file and name that in kafka.security.key_password_file",
}
"""Properties that the bridge must own -> why, or what to write instead."""

MECHANISM_PROPERTIES = ("sasl.mechanism", "sasl.mechanisms")
"""Allowed for the mechanisms that `kafka.security` does not have (GSSAPI, and OAUTHBEARER with a token service)."""

_CALLBACK = re.compile(r"(.*_cb|on_.*)")
_PROPERTY_NAME = re.compile(r"[a-z0-9._-]+")

# In this order a text stays a text, and only what is wrapped already is a secret.
PropertyValue = bool | int | str | SecretStr


def owned_reason(name: str) -> str | None:
    """Why this property cannot be set through `kafka.properties`, or None where it can."""
    if _CALLBACK.fullmatch(name):
        return "the bridge installs its own callbacks"
    return OWNED_PROPERTIES.get(name)


def check_property(name: str, value: object) -> PropertyValue:
    """One librdkafka property, wrapped where it is a secret."""
    if reason := owned_reason(name):
        raise refuse(f"the bridge must own {name}; remove it: {reason}")
    if not _PROPERTY_NAME.fullmatch(name):
        raise refuse("write the property's name as librdkafka does, in lower case with dots, such as socket.keepalive.enable")
    if isinstance(value, SecretStr):
        return value
    if name in MECHANISM_PROPERTIES and str(value).upper() in PASSWORD_MECHANISMS:
        raise refuse(f"the bridge must own {name} {value}; remove it: write it as kafka.security.mechanism")
    if not isinstance(value, str | int):
        raise refuse("write a text, a whole number, true or false (put any other value in quotes)")
    return SecretStr(_as_text(value)) if is_secret_name(name) else value


def _check_properties(value: object) -> dict[str, PropertyValue]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise refuse("write a mapping of librdkafka properties, such as {socket.keepalive.enable: true}")
    return {str(name): check_property(str(name), inner) for name, inner in value.items()}


def _as_text(value: str | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_SERVER = r"([A-Za-z_]+://)?(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?"
_SERVERS = re.compile(rf"{_SERVER}( *, *{_SERVER})*")


def _check_servers(value: str) -> str:
    if not _SERVERS.fullmatch(value):
        raise refuse("write the brokers as host:port, separated by commas, such as b1:9092,b2:9092")
    return value


BootstrapServers = Annotated[
    str, AfterValidator(_check_servers), WithJsonSchema({"type": "string", "pattern": f"^{_SERVERS.pattern}$"})
]
Properties = Annotated[
    dict[str, PropertyValue],
    BeforeValidator(_check_properties),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": f"^{_PROPERTY_NAME.pattern}$", "not": {"enum": sorted(OWNED_PROPERTIES)}},
            "additionalProperties": {"type": ["string", "integer", "boolean"]},
        }
    ),
]


def _security_or_default(value: object) -> object:
    """A group that the file leaves empty is null there."""
    return {} if value is None else value


class KafkaSettings(Section):
    """Where records are read, and as which consumer group."""

    bootstrap_servers: BootstrapServers = Field(
        description="Brokers to begin with, `host:port` separated by commas. No default: only you know them; two or three "
        "survive the loss of one."
    )
    group: FilledText = Field(
        default="<name>",
        description="Consumer group that reads and commits. The bridge's name by default, so that two bridges never share a "
        "group by accident.",
    )
    group_protocol: Literal["classic", "consumer"] = Field(
        default="classic",
        description="`classic` (cooperative-sticky) works with every broker; `consumer` (KIP-848) rebalances faster and needs "
        "Apache Kafka 4.0 or later.",
    )
    group_instance_id: FilledText | None = Field(
        default=None,
        description="Static membership: a restart within the session timeout moves no partitions. None by default, because every "
        "replica needs its own value.",
    )
    session_timeout: Annotated[Duration, Within("1s", "1h")] = Field(
        default=written("30s"),
        description="After this silence the group gives a replica's partitions to others (`classic` only; with `consumer` the "
        "broker's setting is read). Long enough to drain first: request_timeout and three commit intervals.",
    )
    security: Annotated[SecuritySettings, BeforeValidator(_security_or_default)] = Field(default_factory=SecuritySettings)
    properties: Properties = Field(
        default={},
        description="Any other librdkafka property, passed as it is. Empty by default; values of names with password, secret, "
        "key, token or credential in them are never shown. One that the bridge must own, or that is a key of "
        "`kafka.security`, is refused.",
    )

    def librdkafka_properties(self) -> dict[str, str | int]:
        """`properties` and those of `security`; without the secrets of `security`, but with those of `properties` in clear.

        For the client library only: never log or print it.
        """
        return self.security.librdkafka_properties() | {name: _plain(value) for name, value in self.properties.items()}


def _plain(value: PropertyValue) -> str | int:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    # librdkafka reads true and false in lower case in every version.
    return _as_text(value) if isinstance(value, bool) else value
