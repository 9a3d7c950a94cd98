"""Listeners of a Kafka that encrypt, or ask who is there: one broker for every way in that the bridge has."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.servers.certificates import Authority, Certificate

HOST = "127.0.0.1"
USER = "bridge"
PASSWORD = "only-the-broker-and-the-bridge-know"
REAUTHENTICATION_MS = 1500
"""After this the broker drops a connection that has not logged in again (with SCRAM-SHA-512 and OAUTHBEARER)."""
_MODULES = "org.apache.kafka.common.security"

LISTENERS = {
    "TLS": "SSL",
    "MUTUAL": "SSL",
    "LOGIN": "SASL_PLAINTEXT",
    "BOTH": "SASL_SSL",
    "TOKEN": "SASL_SSL",
    "EXPIRED": "SSL",
    "OTHERHOST": "SSL",
}
"""Listener -> protocol. MUTUAL asks for the client's certificate, TOKEN for OAUTHBEARER; the last two have bad certificates."""


@dataclass(frozen=True)
class KafkaSecurity:
    """Who is who: the authority of the brokers, and the clients' own."""

    authority: Authority = field(default_factory=Authority)
    client_authority: Authority = field(default_factory=Authority)
    password: str = PASSWORD

    def certificate_of(self, listener: str) -> Certificate:
        """What the listener shows at first."""
        if listener == "EXPIRED":
            return self.authority.issue(HOST, expired=True)
        return self.authority.issue("elsewhere.example.net" if listener == "OTHERHOST" else HOST)

    def settings(self) -> dict[str, str]:
        """Settings of the broker for `LISTENERS`."""
        # Without these a listener's certificate may only be replaced by one of the same names.
        found = {"ssl.allow.dn.changes": "true", "ssl.allow.san.changes": "true"}
        for listener, protocol in LISTENERS.items():
            place = f"listener.name.{listener.lower()}"
            if protocol.endswith("SSL"):
                found |= keystore(place, self.certificate_of(listener))
            if protocol.startswith("SASL"):
                found |= _mechanisms(place, listener)
        mutual = "listener.name.mutual.ssl"
        return found | {
            f"{mutual}.client.auth": "required",
            f"{mutual}.truststore.type": "PEM",
            f"{mutual}.truststore.certificates": self.client_authority.certificate,
        }


def keystore(place: str, certificate: Certificate) -> dict[str, str]:
    """Settings that make a listener show this certificate, at the start or while it runs."""
    return {
        f"{place}.ssl.keystore.type": "PEM",
        f"{place}.ssl.keystore.certificate.chain": certificate.chain,
        f"{place}.ssl.keystore.key": certificate.key,
    }


def _mechanisms(place: str, listener: str) -> dict[str, str]:
    if listener == "TOKEN":
        module = f'{_MODULES}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
        return {
            f"{place}.sasl.enabled.mechanisms": "OAUTHBEARER",
            f"{place}.oauthbearer.sasl.jaas.config": module,
            f"{place}.oauthbearer.connections.max.reauth.ms": str(REAUTHENTICATION_MS),
        }
    scram = f"{_MODULES}.scram.ScramLoginModule required;"
    return {
        f"{place}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        f"{place}.plain.sasl.jaas.config": f'{_MODULES}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";',
        f"{place}.scram-sha-256.sasl.jaas.config": scram,
        f"{place}.scram-sha-512.sasl.jaas.config": scram,
        f"{place}.scram-sha-512.connections.max.reauth.ms": str(REAUTHENTICATION_MS),
    }


def scram_users(users: Mapping[str, str]) -> list[str]:
    """Arguments of the storage tool that make these users with both SCRAM mechanisms."""
    found = []
    for name, password in users.items():
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
            found += ["--add-scram", f"{mechanism}=[name={name},password={password}]"]
    return found
