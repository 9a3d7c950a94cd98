"""What a Kafka client says about TLS and logins, as sentences that name the key of the configuration and what to do.

librdkafka tells these things in its errors' texts only; the patterns are those of librdkafka 2.16 with OpenSSL 3, and the
integration tests hold them against a real Apache Kafka.
"""

import re
import socket
import ssl
import time
from dataclasses import dataclass

from confluent_kafka import KafkaError

PROBE_TIMEOUT_S = 3.0
PROBE_PAUSE_S = 5.0
"""Between two looks at a certificate: a client that is refused connects many times a second."""

HANDSHAKES_LOST = ("mechanism handshake failed: Local: ", "Request not valid in current SASL state")
"""A connection that ended before the broker said anything about the login, or on which it awaited none, such as a renewal that
came too late. librdkafka calls both a refusal; it connects again."""

_PLACE = re.compile(r"(?:[a-z_]+://)?(?P<host>\[[0-9a-fA-F:]+\]|[^\s:/]+):(?P<port>\d+)/")
_STATE = re.compile(r" \(after \d+ms in state [A-Z_]+\)")
_CREATION = re.compile(r"(ssl\.[a-z.]+)(?: failed)?: (.*)")
_FILE_KEYS = {
    "ssl.ca.location": "ca_file",
    "ssl.certificate.location": "certificate_file",
    "ssl.key.location": "key_file",
}


@dataclass(frozen=True)
class Security:
    """How clients connect; the keys of `kafka.security` without the secrets."""

    protocol: str = "PLAINTEXT"
    mechanism: str | None = None
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    key_password_file: str | None = None
    region: str | None = None

    @property
    def connection_files(self) -> tuple[str, ...]:
        """Files that a client reads only when it is made."""
        files = (self.ca_file, self.certificate_file, self.key_file, self.key_password_file)
        return tuple(file for file in files if file is not None)


class Explanations:
    """Explains the errors of one client. Not thread-safe: belongs to the thread that serves the client's callbacks."""

    def __init__(self, security: Security) -> None:
        self._security = security
        self._probed_at = float("-inf")
        self._probed: str | None = None
        self._lost_at = float("-inf")

    def explain(self, error: KafkaError, token_problem: str | None = None) -> KafkaError:
        """The error in our words where it is about security, with `_SSL` or `_AUTHENTICATION` as its code; else as it is.

        May connect to the broker once, to find out what is wrong with its certificate, for up to `PROBE_TIMEOUT_S`.
        """
        text = error.str()
        if found := self._tls(text):
            return KafkaError(KafkaError._SSL, self._with_broker(found, text))
        if found := self._login(error, text, token_problem):
            return KafkaError(KafkaError._AUTHENTICATION, self._with_broker(found, text))
        if error.code() == KafkaError._TRANSPORT or _is_lost(text):
            self._lost_at = time.monotonic()
        if _is_lost(text):
            return KafkaError(KafkaError._TRANSPORT, text)
        if error.code() == KafkaError._ALL_BROKERS_DOWN and time.monotonic() - self._lost_at > PROBE_PAUSE_S:
            return KafkaError(error.code(), f"{text}: they hang up without a word; {self._other_protocol()}")
        return error

    def _tls(self, text: str) -> str | None:
        if "certificate verify failed" in text:
            return self._untrusted(text)
        if "SSL alert number" in text or "ssl/tls alert" in text:
            return self._client_certificate()
        if "PLAINTEXT broker listener" in text:
            protocol = self._security.protocol
            other = "SASL_PLAINTEXT" if protocol.startswith("SASL") else "PLAINTEXT"
            return (
                f"kafka.security.protocol {protocol}: the broker's listener has no TLS: write {other}, or the port that has TLS"
            )
        if "SSL handshake failed" in text:
            return f"kafka.security.protocol {self._security.protocol}: no TLS connection: {_words(text)}"
        return None

    def _untrusted(self, text: str) -> str:
        ca = f"kafka.security.ca_file {self._security.ca_file or '(the system authorities)'}"
        reason = self._probe(text)
        if reason is None:
            return (
                f"{ca}: the broker's certificate cannot be verified: name the authority that signed it, and check its host name"
            )
        if "expired" in reason or "not yet valid" in reason:
            return f"the broker's certificate is out of date ({reason}): renew it on the broker, and check both clocks"
        if "mismatch" in reason:
            return (
                f"kafka.bootstrap_servers: the broker's certificate is for another host ({reason}): write the name that the "
                "certificate has, or have it issued for this one"
            )
        return f"{ca}: the broker's certificate is not of a known authority ({reason}): name the file of the one that signed it"

    def _probe(self, text: str) -> str | None:
        place = _PLACE.search(text)
        if place and time.monotonic() - self._probed_at > PROBE_PAUSE_S:
            self._probed = certificate_problem(place["host"].strip("[]"), int(place["port"]), self._security.ca_file)
            self._probed_at = time.monotonic()
        return self._probed

    def _client_certificate(self) -> str:
        if self._security.certificate_file is None:
            return "kafka.security.certificate_file: the broker asks for a certificate of the bridge: name it, and its key_file"
        return (
            f"kafka.security.certificate_file {self._security.certificate_file}: the broker refuses this certificate: write one "
            "that is in date and that an authority known to the broker has signed"
        )

    def _login(self, error: KafkaError, text: str, token_problem: str | None) -> str | None:
        if error.code() not in (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED) or _is_lost(text):
            return None
        security = self._security
        if token_problem is not None:
            return token_problem
        if "Unsupported SASL mechanism" in text:
            supported = text.partition("supported mechanisms: ")[2].partition(" (")[0]
            return (
                f"kafka.security.mechanism {security.mechanism}: the broker's listener does not have it: write one of {supported}"
            )
        if security.mechanism == "AWS_MSK_IAM":
            return (
                f"kafka.security.mechanism AWS_MSK_IAM: the broker refused the AWS credentials: allow kafka-cluster:Connect to "
                f"them on this cluster, and check kafka.security.region {security.region}: {_words(text)}"
            )
        password = security.password_file or "the variable BRIDGE_KAFKA__SECURITY__PASSWORD, and start anew"
        return (
            f"kafka.security.username {security.username}: the broker refused the login: correct the name, or the password in "
            f"{password}: {_words(text)}"
        )

    def _other_protocol(self) -> str:
        protocol = self._security.protocol
        return f"where their listener asks for TLS or a login, write so in kafka.security.protocol (now {protocol})"

    @staticmethod
    def _with_broker(found: str, text: str) -> str:
        place = _PLACE.search(text)
        return f"{found} (broker {place['host']}:{place['port']})" if place else found


def creation_problem(text: str) -> str:
    """Why a client could not be made, with the key of the file that is to blame where one is."""
    match = _CREATION.search(text)
    if match and match[1] in _FILE_KEYS:
        return f"kafka.security.{_FILE_KEYS[match[1]]}: correct this file: {match[2]}"
    return f"kafka.properties: the Kafka client library refuses them: {text}"


def certificate_problem(host: str, port: int, ca_file: str | None) -> str | None:
    """What OpenSSL says against the certificate of a server; None where it says nothing, or no connection comes about."""
    context = ssl.create_default_context(cafile=ca_file)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # librdkafka is not strict either
    try:
        with socket.create_connection((host, port), PROBE_TIMEOUT_S) as connection:
            context.wrap_socket(connection, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except OSError:
        return None
    return None


def _words(text: str) -> str:
    """librdkafka's own words, without the place before and the state behind."""
    return _STATE.sub("", _PLACE.sub("", text, count=1).partition(": ")[2] or text)


def _is_lost(text: str) -> bool:
    return any(lost in text for lost in HANDSHAKES_LOST)
