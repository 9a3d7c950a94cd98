"""Settings of connections to Kafka that are encrypted, or that need a login."""

import re
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from bridge.app.settings.kinesis import Region
from bridge.app.settings.section import FilledText, Section
from bridge.app.settings.units import refuse

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "AWS_MSK_IAM")
PASSWORD_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
MSK_IAM = "AWS_MSK_IAM"

_VARIABLES = "BRIDGE_KAFKA__SECURITY__"


def _in_capitals(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _any_case(choices: tuple[str, ...]) -> WithJsonSchema:
    """A JSON Schema has no flag for it, so the pattern names both cases of every letter."""
    patterns = "|".join(re.sub(r"[A-Z]", lambda letter: f"[{letter[0]}{letter[0].lower()}]", choice) for choice in choices)
    return WithJsonSchema({"type": "string", "pattern": f"^({patterns})$", "x-choices": list(choices)})


Protocol = Annotated[
    Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], BeforeValidator(_in_capitals), _any_case(PROTOCOLS)
]
Mechanism = Annotated[
    Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "AWS_MSK_IAM"], BeforeValidator(_in_capitals), _any_case(MECHANISMS)
]


def _from_the_environment(file_key: str) -> Callable[[object], object]:
    """A secret that came from its variable is wrapped already; a plain text can only stand in the file."""

    def check(value: object) -> object:
        if value is not None and not isinstance(value, SecretStr):
            variable = _VARIABLES + file_key.removesuffix("_file").upper()
            raise refuse(
                f"remove it: a secret does not belong here; write it to a file of its own and name that in "
                f"kafka.security.{file_key}, or set the variable {variable}"
            )
        return value

    return check


def _check_filled(value: SecretStr | None) -> SecretStr | None:
    if value is not None and not value.get_secret_value():
        raise refuse("write the secret into the variable, or unset it: it is empty")
    return value


def _secret(file_key: str) -> tuple[BeforeValidator, AfterValidator]:
    return BeforeValidator(_from_the_environment(file_key)), AfterValidator(_check_filled)


class SecuritySettings(Section):
    """How connections to Kafka are encrypted, and how the bridge logs in there. Files are PEM."""

    environment_only = frozenset({"password", "key_password"})

    protocol: Protocol = Field(
        default="PLAINTEXT",
        description="What the brokers' listener speaks, in any case: with `SSL` in it the connection is encrypted and the "
        "broker's certificate verified, with `SASL` in it the bridge logs in. Kafka's own default.",
    )
    mechanism: Mechanism | None = Field(
        default=None,
        description="How the bridge logs in, with a SASL protocol only and required there. `AWS_MSK_IAM` logs in to Amazon MSK "
        "with AWS credentials from botocore's chain.",
    )
    username: FilledText | None = Field(
        default=None, description="Name to log in with, for `PLAIN` and `SCRAM`, which require it. None by default."
    )
    password_file: FilledText | None = Field(
        default=None,
        description="File with the password and nothing else; a line end after it does not count. Changed contents are used "
        "within seconds. None by default: the variable `BRIDGE_KAFKA__SECURITY__PASSWORD` may hold it instead.",
    )
    ca_file: FilledText | None = Field(
        default=None,
        description="Certificates of the authorities that the brokers' certificates are verified with. The system's "
        "authorities by default.",
    )
    certificate_file: FilledText | None = Field(
        default=None,
        description="The bridge's own certificate with its chain, where the brokers ask clients for one. None by default.",
    )
    key_file: FilledText | None = Field(
        default=None, description="Private key of `certificate_file`; may be the same file. None by default."
    )
    key_password_file: FilledText | None = Field(
        default=None,
        description="File with the password of an encrypted `key_file` and nothing else. None by default: the variable "
        "`BRIDGE_KAFKA__SECURITY__KEY_PASSWORD` may hold it instead.",
    )
    region: Region | None = Field(
        default=None,
        description="AWS region of the brokers, with `AWS_MSK_IAM` only. `kinesis.region` by default: most moves stay in one "
        "region.",
    )
    # Not keys of the file but the variables of these names; wrapped where the environment is read.
    password: SkipJsonSchema[Annotated[SecretStr | None, *_secret("password_file")]] = None
    key_password: SkipJsonSchema[Annotated[SecretStr | None, *_secret("key_password_file")]] = None

    @property
    def is_encrypted(self) -> bool:
        """Whether connections use TLS."""
        return self.protocol in ("SSL", "SASL_SSL")

    def librdkafka_properties(self) -> dict[str, str]:
        """The properties without the secrets; `AWS_MSK_IAM` is OAUTHBEARER with a token of our own making."""
        mechanism = "OAUTHBEARER" if self.mechanism == MSK_IAM else self.mechanism
        named = {
            "security.protocol": self.protocol,
            "sasl.mechanism": mechanism,
            "sasl.username": self.username,
            "ssl.ca.location": self.ca_file,
            "ssl.certificate.location": self.certificate_file,
            "ssl.key.location": self.key_file,
        }
        return {name: value for name, value in named.items() if value is not None}
