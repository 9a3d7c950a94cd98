"""librdkafka's properties of a login as the bridge's own keys: it refuses them in `kafka.properties`."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
"""Those that `kafka.security` has; others stay properties."""

_KEYS = {
    "security.protocol": "protocol",
    "sasl.mechanism": "mechanism",
    "sasl.mechanisms": "mechanism",
    "sasl.username": "username",
}
_FILES = {"ssl.ca.location": "ca_file", "ssl.certificate.location": "certificate_file", "ssl.key.location": "key_file"}
_SECRETS = {
    "sasl.password": "BRIDGE_KAFKA__SECURITY__PASSWORD",
    "ssl.key.password": "BRIDGE_KAFKA__SECURITY__KEY_PASSWORD",
}


class BridgeKafka(NamedTuple):
    """`security` and `properties` of the bridge's `kafka` section, and the variables that hold its secrets."""

    security: dict[str, str]
    properties: dict[str, str]
    environment: dict[str, str]


def for_the_bridge(properties: Mapping[str, str]) -> BridgeKafka:
    """The same connection in the bridge's words. Secrets become variables, so that no file has them."""
    found = BridgeKafka({}, {}, {})
    for name, value in properties.items():
        if name in _SECRETS:
            found.environment[_SECRETS[name]] = value
        elif name in _FILES:
            # The bridge runs in another folder.
            found.security[_FILES[name]] = str(Path(value).resolve())
        elif name in _KEYS and (_KEYS[name] != "mechanism" or value.upper() in _MECHANISMS):
            found.security[_KEYS[name]] = value
        else:
            found.properties[name] = value
    return found
