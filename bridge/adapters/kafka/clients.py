"""Makes the clients of one Kafka: with secrets as their files hold them now, and with errors that say what to do.

A changed password reaches clients that are open. Certificates do not, librdkafka reads them only when a client is made: a
client that Kafka refuses, and whose files have changed since, is made anew.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from bridge.adapters.kafka.security import Explanations, Security, creation_problem
from bridge.adapters.kafka.tokens import Tokens
from bridge.core.errors import UnavailableError

LOOK_S = 1.0
"""How often an open client's files are looked at."""
METADATA_PARTS = (0.05, 0.25, 0.7)
"""Of the time for metadata: after each we look whether Kafka refuses us."""
FRESH_S = 30.0
"""An error may explain for so long what does not work: as long as the longest question to Kafka may wait for its answer."""

REFUSALS = (KafkaError._SSL, KafkaError._AUTHENTICATION)

Complaint = tuple[float, str]
"""When an error came (seconds of the monotonic clock), and what it says."""
OnError = Callable[[KafkaError], None]
_Client = TypeVar("_Client", bound="WatchedConsumer | WatchedProducer | WatchedAdmin")


class KafkaClients:
    """The way in. Making a client may wait for files and credentials, so it is not for the event loop."""

    def __init__(
        self,
        properties: Mapping[str, Any],
        security: Security | None = None,
        secrets: Callable[[], Mapping[str, str]] = dict,
        tokens: Tokens | None = None,
        on_log: Callable[[str], None] | None = None,
    ) -> None:
        """`properties` are those of every client; `secrets` reads further ones, raising UnavailableError.

        `tokens` answers where the mechanism is OAUTHBEARER. `on_log` gets the client library's own log lines.
        """
        self._properties = {**properties, "logger": _logger(on_log)}
        self._secrets = secrets
        self.security = security or Security()
        self.tokens = tokens
        self.connection = AdminConnection(self)
        """The admin client that all share."""

    def consumer(self, properties: Mapping[str, Any], tuning: Mapping[str, Any] | None = None) -> "WatchedConsumer":
        """A consumer with further properties; those of `tuning` only where there are no others. Raises UnavailableError."""
        return self._made(WatchedConsumer, properties, tuning or {})

    def producer(self, properties: Mapping[str, Any], tuning: Mapping[str, Any] | None = None) -> "WatchedProducer":
        """A producer, as `consumer` makes consumers."""
        return self._made(WatchedProducer, properties, tuning or {})

    def admin(self) -> "WatchedAdmin":
        """An admin client. Raises UnavailableError."""
        return self._made(WatchedAdmin, {}, {})

    def _made(self, make: type[_Client], properties: Mapping[str, Any], tuning: Mapping[str, Any]) -> _Client:
        watch = ClientWatch(self)
        complete = {**tuning, **self.properties(), **properties}
        complete["error_cb"] = watch.explaining(properties.get("error_cb"))
        if self.tokens is not None:
            self.tokens.token()  # now: the constructor would wait ten seconds for one that cannot be had
            complete["oauth_cb"] = self.tokens
        try:
            return make(complete, watch, self)
        except KafkaException as error:
            raise UnavailableError(creation_problem(error.args[0].str())) from error

    def properties(self) -> dict[str, Any]:
        """The properties of every client, with secrets in clear: never log or print them. Raises UnavailableError."""
        return {**self._properties, **self._secrets()}

    def password(self) -> str | None:
        """The password as it is now. Raises UnavailableError."""
        return self._secrets().get("sasl.password")


class ClientWatch:
    """One open client: what its errors mean, and whether its files have changed. Thread-safe."""

    def __init__(self, clients: KafkaClients) -> None:
        self._clients = clients
        self._explanations = Explanations(clients.security)
        self._seen = _stamps(clients.security.connection_files)
        self._seen_password = _stamps([clients.security.password_file or ""])
        self._complaint: Complaint = (float("-inf"), "")
        self._refusal: Complaint = (float("-inf"), "")
        self._lock = threading.Lock()

    def explaining(self, then: OnError | None) -> OnError:
        """An `error_cb` that explains, remembers refusals, and hands on."""

        def explain(error: KafkaError) -> None:
            tokens = self._clients.tokens
            explained = self._explanations.explain(error, tokens.problem if tokens else None)
            self._complaint = time.monotonic(), explained.str()
            if explained.code() in REFUSALS:
                self._refusal = self._complaint
            if then is not None:
                then(explained)

        return explain

    @property
    def complaint(self) -> str | None:
        """The client's last error; None where there was none lately."""
        return _fresh(self._complaint)

    @property
    def refusal(self) -> str | None:
        """Why Kafka does not let this client in; None where it was not refused lately."""
        return _fresh(self._refusal)

    def look(self, set_credentials: Callable[[str, str], None]) -> str | None:
        """Gives a changed password to the client. Returns why it has to be made anew, None where it need not."""
        with self._lock:
            security = self._clients.security
            password_stamps = _stamps([security.password_file or ""])
            if password_stamps != self._seen_password and security.username:
                try:
                    set_credentials(security.username, self._clients.password() or "")
                    self._seen_password = password_stamps
                except UnavailableError:
                    self._seen_password = {}  # half written perhaps: looked at again
            if self.refusal is None or _stamps(security.connection_files) == self._seen:
                return None
            return f"certificates have changed since Kafka refused the connection: {self.refusal}"


class WatchedConsumer(Consumer):
    """A consumer that ends with a KafkaException where it has to be made anew."""

    def __init__(self, properties: dict[str, Any], watch: ClientWatch, clients: KafkaClients) -> None:
        super().__init__(properties)
        self._watch = watch
        self._clients = clients
        self._look_at = time.monotonic() + LOOK_S

    def poll(self, timeout: float = -1.0) -> Any:  # noqa: ANN401 - as the client's
        """As the client's. Raises KafkaException where the client has to be made anew."""
        if time.monotonic() >= self._look_at and (reason := self._look()):
            raise KafkaException(KafkaError(KafkaError._SSL, reason))
        return super().poll(timeout)

    def list_topics(self, topic: str | None = None, timeout: float = -1.0) -> Any:  # noqa: ANN401 - as the client's
        """As the client's, but asked by the admin client, so that it may be called inside a rebalance callback.

        confluent-kafka (2.16) keeps for each client which call a thread is in, and this one wipes it out: the next callback, of
        an error or a log line, would end the process. Of the calls that our callbacks make no other does that.
        """
        try:
            return self._clients.connection.client().list_topics(topic, timeout=timeout)
        except UnavailableError as error:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT, str(error))) from error

    def _look(self) -> str | None:
        self._look_at = time.monotonic() + LOOK_S
        return self._watch.look(self.set_sasl_credentials)


class WatchedProducer(Producer):
    """A producer that knows what is wrong. Its callbacks are served by whoever polls it."""

    def __init__(self, properties: dict[str, Any], watch: ClientWatch, _clients: KafkaClients) -> None:
        super().__init__(properties)
        self._watch = watch

    def complaint(self) -> str | None:
        """The client's last error, if it is fresh."""
        return self._watch.refusal or self._watch.complaint

    def outdated(self) -> bool:
        """Whether it has to be made anew; gives it a changed password."""
        return self._watch.look(self.set_sasl_credentials) is not None


class WatchedAdmin(AdminClient):
    """An admin client that knows why Kafka refuses it."""

    def __init__(self, properties: dict[str, Any], watch: ClientWatch, _clients: KafkaClients) -> None:
        super().__init__(properties)
        self._watch = watch

    def refusal(self) -> str | None:
        """Why Kafka does not let us in, as far as the client knows; serves its callbacks."""
        self.poll(0)
        return self._watch.refusal

    def complaint(self) -> str | None:
        """The client's last error, if it is fresh; serves its callbacks."""
        self.poll(0)
        return self._watch.complaint

    def outdated(self) -> bool:
        """Whether it has to be made anew; serves its callbacks, gives it a changed password."""
        self.poll(0)
        return self._watch.look(self.set_sasl_credentials) is not None


class AdminConnection:
    """The admin client at any time: made when it is first asked for, and anew where it is outdated. Thread-safe, blocking."""

    def __init__(self, clients: KafkaClients) -> None:
        self._clients = clients
        self._client: WatchedAdmin | None = None
        self._lock = threading.Lock()

    def client(self) -> WatchedAdmin:
        """Raises UnavailableError where it cannot be made."""
        with self._lock:
            if self._client is not None and self._client.outdated():
                self._client = None
            if self._client is None:
                self._client = self._clients.admin()
            return self._client

    def refusal(self) -> str | None:
        """Why Kafka does not let us in; None where it does, or does not answer."""
        return self._client.refusal() if self._client else None

    def metadata(self, timeout_s: float) -> Any:  # noqa: ANN401 - as the client's
        """The cluster's topics. Raises UnavailableError: after the timeout, or as soon as Kafka refuses us."""
        client = self.client()
        for part in METADATA_PARTS:
            try:
                return client.list_topics(timeout=timeout_s * part)
            except KafkaException as error:
                problem = error.args[0].str()
            if refusal := client.refusal():
                raise UnavailableError(refusal)
        raise UnavailableError(": ".join(text for text in (problem, client.complaint()) if text))


def _fresh(complaint: Complaint) -> str | None:
    return complaint[1] if time.monotonic() - complaint[0] < FRESH_S else None


def _stamps(files: Iterable[str]) -> dict[str, tuple[int, int, int] | None]:
    """What tells one content of a file from the next without reading it; through symbolic links, as Kubernetes mounts secrets."""
    return {file: _stamp(file) for file in files}


def _stamp(file: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _logger(on_log: Callable[[str], None] | None) -> logging.Logger:
    logger = logging.Logger("librdkafka")  # outside the hierarchy: nothing else writes these lines
    logger.addHandler(logging.NullHandler() if on_log is None else _Lines(on_log))
    return logger


class _Lines(logging.Handler):
    def __init__(self, on_log: Callable[[str], None]) -> None:
        super().__init__()
        self._on_log = on_log

    def emit(self, record: logging.LogRecord) -> None:
        self._on_log(record.getMessage())
