"""What is said where Kafka does not let a client in, and what happens to clients whose files change."""

import asyncio
import datetime
import os
import socket
import ssl
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from confluent_kafka import KafkaError, KafkaException

from bridge.adapters.kafka.clients import ClientWatch, KafkaClients
from bridge.adapters.kafka.opening import OpeningSource
from bridge.adapters.kafka.security import Explanations, Security, certificate_problem, creation_problem
from bridge.adapters.kafka.tokens import MskSigner, Token, Tokens
from bridge.app.settings import parse_settings
from bridge.bootstrap import check_client, kafka_clients
from bridge.core.delivery.commit_metadata import CommitPoint
from bridge.core.errors import UnavailableError
from bridge.core.records import Partition
from bridge.ports import Assigned, SourceTrouble
from tests.servers.certificates import Authority, Certificate, write_files

HOST = "127.0.0.1"
SECRET = "hunter2"
SCRAM = Security("SASL_SSL", "SCRAM-SHA-512", "bridge", password_file="/run/secrets/password")

VERIFY_FAILED = (
    "ssl://{place}/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate "
    "could not be verified, verify that ssl.ca.location is correctly configured or root CA certificates are installed (install "
    "ca-certificates package) (after 3ms in state SSL_HANDSHAKE)"
)


def explained(security: Security, code: int, text: str, token_problem: str | None = None) -> KafkaError:
    return Explanations(security).explain(KafkaError(code, text), token_problem)


# -- errors


@pytest.mark.parametrize(
    ("security", "code", "text", "said"),
    [
        (
            SCRAM,
            KafkaError._AUTHENTICATION,
            "sasl_ssl://b1:9096/bootstrap: SASL authentication error: Authentication failed during authentication due to invalid "
            "credentials with SASL mechanism SCRAM-SHA-512 (after 310ms in state AUTH_REQ)",
            "kafka.security.username bridge: the broker refused the login: correct the name, or the password in "
            "/run/secrets/password: SASL authentication error: Authentication failed during authentication due to invalid "
            "credentials with SASL mechanism SCRAM-SHA-512 (broker b1:9096)",
        ),
        (
            Security("SASL_SSL", "PLAIN", "bridge"),
            KafkaError._AUTHENTICATION,
            "sasl_ssl://b1:9096/1: SASL authentication error: Authentication failed: Invalid username or password (after 1ms in "
            "state AUTH_REQ)",
            "or the password in the variable BRIDGE_KAFKA__SECURITY__PASSWORD, and start anew",
        ),
        (
            SCRAM,
            KafkaError._AUTHENTICATION,
            "sasl_ssl://b1:9096/1: SASL SCRAM-SHA-512 mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's "
            "supported mechanisms: PLAIN,OAUTHBEARER (after 308ms in state AUTH_HANDSHAKE)",
            "kafka.security.mechanism SCRAM-SHA-512: the broker's listener does not have it: write one of PLAIN,OAUTHBEARER "
            "(broker b1:9096)",
        ),
        (
            Security("SASL_SSL", "AWS_MSK_IAM", region="eu-west-1"),
            KafkaError._AUTHENTICATION,
            "sasl_ssl://b1:9098/1: SASL authentication error: [x]: Access denied (after 308ms in state AUTH_REQ)",
            "allow kafka-cluster:Connect to them on this cluster, and check kafka.security.region eu-west-1",
        ),
        (
            Security("SSL"),
            KafkaError._TRANSPORT,
            "ssl://b1:9094/1: Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate: SSL alert number 42 "
            "(after 0ms in state APIVERSION_QUERY)",
            "kafka.security.certificate_file: the broker asks for a certificate of the bridge: name it, and its key_file "
            "(broker b1:9094)",
        ),
        (
            Security("SSL", certificate_file="bridge.pem", key_file="bridge.key"),
            KafkaError._TRANSPORT,
            "ssl://[::1]:9094/1: Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate: SSL alert number 42 "
            "(after 0ms in state APIVERSION_QUERY)",
            "kafka.security.certificate_file bridge.pem: the broker refuses this certificate",
        ),
        (
            Security("SASL_SSL", "PLAIN", "bridge"),
            KafkaError._TRANSPORT,
            "sasl_ssl://b1:9092/1: SSL handshake failed: Disconnected: SSL connection closed by peer: connecting to a PLAINTEXT "
            "broker listener? (after 102ms in state SSL_HANDSHAKE)",
            "kafka.security.protocol SASL_SSL: the broker's listener has no TLS: write SASL_PLAINTEXT",
        ),
        (
            Security("SSL"),
            KafkaError._SSL,
            "ssl://b1:9094/1: SSL handshake failed: error:0A00010B:SSL routines::wrong version number (after 1ms in state X)",
            "kafka.security.protocol SSL: no TLS connection: SSL handshake failed: error:0A00010B:SSL routines::wrong version",
        ),
        (
            Security(),
            KafkaError._ALL_BROKERS_DOWN,
            "1/1 brokers are down",
            "1/1 brokers are down: they hang up without a word; where their listener asks for TLS or a login, write so in "
            "kafka.security.protocol (now PLAINTEXT)",
        ),
    ],
)  # fmt: skip
def test_a_refusal_names_the_key_and_what_to_do(security: Security, code: int, text: str, said: str) -> None:
    assert said in explained(security, code, text).str()


def test_refusals_have_one_of_two_codes_whatever_the_client_library_calls_them() -> None:
    alert = "ssl://b1:9094/1: Receive failed: ssl/tls alert bad certificate: SSL alert number 42 (after 0ms in state X)"
    assert explained(Security("SSL"), KafkaError._TRANSPORT, alert).code() == KafkaError._SSL
    assert explained(SCRAM, KafkaError.SASL_AUTHENTICATION_FAILED, "refused").code() == KafkaError._AUTHENTICATION


def test_a_token_that_cannot_be_had_is_the_reason() -> None:
    text = "Failed to acquire SASL OAUTHBEARER token: OAuth callback raised exception"
    found = explained(Security("SASL_SSL", "AWS_MSK_IAM"), KafkaError._AUTHENTICATION, text, "no AWS credentials")
    assert (found.code(), found.str()) == (KafkaError._AUTHENTICATION, "no AWS credentials")


def test_other_errors_stay_as_they_are() -> None:
    for code, text in ((KafkaError._TRANSPORT, "b1:9092/1: Connection refused"), (KafkaError._RESOLVE, "b1: unknown host")):
        error = KafkaError(code, text)
        assert Explanations(Security()).explain(error) is error


@pytest.mark.parametrize("why", ["Local: Broker transport failure", "Broker: Request not valid in current SASL state"])
def test_a_connection_that_ends_before_the_login_is_no_refusal(why: str) -> None:
    text = (
        f"sasl_ssl://b1:9096/1: SASL SCRAM-SHA-512 mechanism handshake failed: {why}: broker's "
        "supported mechanisms: (n/a) (after 0ms in state DOWN)"
    )
    found = explained(SCRAM, KafkaError._AUTHENTICATION, text)
    assert (found.code(), found.str()) == (KafkaError._TRANSPORT, text)


def test_brokers_that_cannot_be_reached_do_not_ask_for_another_protocol() -> None:
    explanations = Explanations(Security())
    explanations.explain(KafkaError(KafkaError._TRANSPORT, "b1:9092/1: Connect to b1 failed: Connection refused"))
    assert explanations.explain(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")).str() == "1/1 brokers are down"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Failed to create consumer: ssl.ca.location failed: error:05880020:x509 certificate routines::BIO lib",
         "kafka.security.ca_file: correct this file: error:05880020:x509 certificate routines::BIO lib"),
        ("Failed to create admin client: ssl.key.location failed: error:05800074:x509 certificate routines::key values mismatch",
         "kafka.security.key_file: correct this file: error:05800074:x509 certificate routines::key values mismatch"),
        ('No such configuration property: "nonsense"',
         'kafka.properties: the Kafka client library refuses them: No such configuration property: "nonsense"'),
    ],
)  # fmt: skip
def test_a_client_that_cannot_be_made_names_the_key_of_the_file(text: str, said: str) -> None:
    assert creation_problem(text) == said


# -- the certificate of a broker


@contextmanager
def tls_server(certificate: Certificate, folder: Path) -> Iterator[int]:
    """The port of a server that shakes hands and hangs up."""
    files = write_files(folder, {"server.pem": certificate.chain, "server.key": certificate.key})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["server.pem"], files["server.key"])
    with socket.create_server((HOST, 0)) as listening:

        def answer() -> None:
            try:
                connection, _ = listening.accept()
                with connection:
                    connection.settimeout(5.0)
                    context.wrap_socket(connection, server_side=True).close()
            except OSError:
                return  # the client hangs up, as it should where the certificate is bad

        thread = threading.Thread(target=answer)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(5.0)


@pytest.mark.parametrize(
    ("names", "expired", "trusted", "said"),
    [
        ([HOST], True, True, "the broker's certificate is out of date (certificate has expired)"),
        (["elsewhere.example.net"], False, True, "kafka.bootstrap_servers: the broker's certificate is for another host (IP"),
        ([HOST], False, False, "the broker's certificate is not of a known authority (unable to get local issuer certificate)"),
        ([HOST], False, True, "the broker's certificate cannot be verified: name the authority that signed it"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_certificate_is_found_out(
    tmp_path: Path, names: list[str], expired: bool, trusted: bool, said: str
) -> None:
    """librdkafka says the same of all of them. The last one is not wrong at all."""
    authority = Authority()
    files = write_files(tmp_path, {"ca.pem": (authority if trusted else Authority()).certificate})
    with tls_server(authority.issue(*names, expired=expired), tmp_path) as port:
        text = VERIFY_FAILED.format(place=f"{HOST}:{port}")
        found = explained(Security("SSL", ca_file=files["ca.pem"]), KafkaError._SSL, text)
    assert found.code() == KafkaError._SSL
    assert said in found.str()
    assert f"(broker {HOST}:{port})" in found.str()


def test_a_broker_that_is_away_by_then_leaves_the_reason_open() -> None:
    with socket.create_server((HOST, 0)) as listening:
        port = listening.getsockname()[1]
    assert certificate_problem(HOST, port, None) is None


# -- clients whose files change


class Rotation:
    """A watch over files in a folder, and the credentials that it gave to the client."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_files(folder, {"password": "first", "ca.pem": "first"})
        self.security = Security("SASL_SSL", "PLAIN", "bridge", f"{folder}/password", f"{folder}/ca.pem")
        self.given: list[tuple[str, str]] = []
        self.watch = ClientWatch(KafkaClients({}, self.security, self.secrets))

    def secrets(self) -> dict[str, str]:
        text = (self.folder / "password").read_text()
        if not text:
            raise UnavailableError("the file is empty")
        return {"sasl.password": text}

    def write(self, name: str, text: str) -> None:
        """As a rotation does it: another file under the same name."""
        (self.folder / "new").write_text(text)
        (self.folder / "new").rename(self.folder / name)

    def refuse(self) -> None:
        alert = "ssl://b1:9094/1: Receive failed: SSL alert number 42 (after 0ms in state X)"
        self.watch.explaining(None)(KafkaError(KafkaError._TRANSPORT, alert))

    def look(self) -> str | None:
        return self.watch.look(lambda username, password: self.given.append((username, password)))


@pytest.fixture
def rotation(tmp_path: Path) -> Rotation:
    return Rotation(tmp_path)


def test_a_changed_password_is_given_to_the_client_once(rotation: Rotation) -> None:
    assert rotation.look() is None
    assert rotation.given == []
    rotation.write("password", "second")
    assert [rotation.look() for _ in range(3)] == [None] * 3
    assert rotation.given == [("bridge", "second")]


def test_a_password_that_is_half_written_is_awaited(rotation: Rotation) -> None:
    rotation.write("password", "")
    assert rotation.look() is None
    (rotation.folder / "password").unlink()
    (rotation.folder / "password").write_text("")
    assert rotation.look() is None
    rotation.write("password", "second")
    assert rotation.look() is None
    assert rotation.given == [("bridge", "second")]


def test_a_client_is_made_anew_where_it_was_refused_and_a_certificate_changed(rotation: Rotation) -> None:
    rotation.refuse()
    assert rotation.look() is None, "the same files would be refused again"
    rotation.write("ca.pem", "second")
    reason = rotation.look()
    assert reason is not None
    assert "certificates have changed since Kafka refused the connection: kafka.security.certificate_file" in reason


def test_a_certificate_that_changes_while_all_is_well_disturbs_nobody(rotation: Rotation) -> None:
    rotation.write("ca.pem", "second")
    assert rotation.look() is None
    rotation.refuse()
    assert rotation.look() is not None


def test_a_refusal_is_kept_and_handed_on(rotation: Rotation) -> None:
    handed: list[KafkaError] = []
    told = rotation.watch.explaining(handed.append)
    told(KafkaError(KafkaError._TRANSPORT, "b1:9092/1: Connection refused"))
    assert (rotation.watch.refusal, rotation.watch.complaint) == (None, "b1:9092/1: Connection refused")
    told(KafkaError(KafkaError._AUTHENTICATION, "b1:9092/1: refused"))
    assert "the broker refused the login" in str(rotation.watch.refusal)
    assert [error.code() for error in handed] == [KafkaError._TRANSPORT, KafkaError._AUTHENTICATION]


def test_secrets_are_read_for_every_client(rotation: Rotation) -> None:
    clients = KafkaClients({"bootstrap.servers": ""}, rotation.security, rotation.secrets)
    assert clients.properties()["sasl.password"] == "first"
    rotation.write("password", "second")
    assert clients.properties()["sasl.password"] == "second"
    rotation.write("password", "")
    with pytest.raises(UnavailableError, match="empty"):
        clients.consumer({"group.id": "x"})


def test_a_client_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    clients = KafkaClients({"bootstrap.servers": "", "security.protocol": "ssl", "ssl.ca.location": str(tmp_path / "none")})
    with pytest.raises(UnavailableError, match=r"kafka\.security\.ca_file: correct this file"):
        clients.admin()


def test_a_consumer_ends_where_it_has_to_be_made_anew(rotation: Rotation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.adapters.kafka.clients.LOOK_S", 0.0)
    ca = Authority().certificate
    rotation.write("ca.pem", ca)
    properties = {"bootstrap.servers": "", "security.protocol": "ssl", "ssl.ca.location": str(rotation.folder / "ca.pem")}
    consumer = KafkaClients(properties, rotation.security, rotation.secrets).consumer({"group.id": "x"})
    try:
        assert consumer.poll(0) is None
        alert = "ssl://b1:9094/1: Receive failed: SSL alert number 42 (after 0ms in state X)"
        consumer._watch.explaining(None)(KafkaError(KafkaError._TRANSPORT, alert))
        assert consumer.poll(0) is None
        rotation.write("ca.pem", ca)
        with pytest.raises(KafkaException, match="certificates have changed"):
            consumer.poll(0)
    finally:
        consumer.close()


def test_topics_are_listed_by_another_client() -> None:
    """The consumer's own call inside a rebalance callback would end the process at the next error or log line."""
    asked: list[Any] = []

    class Admin:
        def list_topics(self, topic: str, timeout: float) -> str:
            asked.append((topic, timeout))
            return "metadata"

    clients = KafkaClients({"bootstrap.servers": ""})
    consumer = clients.consumer({"group.id": "x"})
    try:
        clients.connection._client = cast(Any, SimpleNamespace(outdated=lambda: False, list_topics=Admin().list_topics))
        assert consumer.list_topics("orders", 3.0) == "metadata"
        assert asked == [("orders", 3.0)]
    finally:
        consumer.close()


def test_topics_that_cannot_be_listed_are_an_error_of_kafka(rotation: Rotation) -> None:
    clients = KafkaClients({"bootstrap.servers": ""}, rotation.security, rotation.secrets)
    consumer = clients.consumer({"group.id": "x"})
    try:
        rotation.write("password", "")
        with pytest.raises(KafkaException, match="the file is empty"):
            consumer.list_topics("orders", 3.0)
    finally:
        consumer.close()


# -- tokens


class Clock:
    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Signer:
    """Numbers its tokens; fails while `failure` says why."""

    def __init__(self, clock: Clock, lifetime_s: float = 900.0) -> None:
        self._clock = clock
        self._lifetime_s = lifetime_s
        self.calls = 0
        self.failure: str | None = None

    def __call__(self) -> Token:
        self.calls += 1
        if self.failure:
            raise UnavailableError(self.failure)
        return f"token-{self.calls}", self._clock.seconds + self._lifetime_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_token_is_shared_until_half_of_its_life_is_over(clock: Clock) -> None:
    signer = Signer(clock)
    tokens = Tokens(signer, clock)
    assert [tokens.token(), tokens("config"), tokens()] == [("token-1", 1900.0)] * 3
    clock.seconds += 449
    assert tokens() == ("token-1", 1900.0)
    clock.seconds += 1
    assert tokens() == ("token-2", 2350.0)
    assert signer.calls == 2


def test_librdkafkas_refresh_always_gets_a_new_token(clock: Clock) -> None:
    """It asks at four fifths of a token's life, however old the token was when it got it."""
    tokens = Tokens(Signer(clock), clock)
    for age in (0.0, 200.0, 449.0):
        token, expires = tokens()
        clock.seconds += age
        token, expires = tokens()
        clock.seconds += 0.8 * (expires - clock.seconds)
        assert tokens()[0] != token


def test_the_old_token_serves_while_it_is_valid_and_then_the_failure_is_told_until_it_passes(clock: Clock) -> None:
    signer = Signer(clock)
    tokens = Tokens(signer, clock)
    tokens()
    signer.failure = "no AWS credentials were found"
    clock.seconds += 720
    assert tokens() == ("token-1", 1900.0)
    assert tokens.problem == "no AWS credentials were found"
    clock.seconds += 180
    for _ in range(2):
        with pytest.raises(UnavailableError, match="no AWS credentials were found"):
            tokens()
    signer.failure = None
    assert tokens()[1] == clock.seconds + 900
    assert tokens.problem is None


def test_a_first_token_that_cannot_be_had_is_told_at_once(clock: Clock) -> None:
    signer = Signer(clock)
    signer.failure = "no AWS credentials were found"
    clients = KafkaClients({"bootstrap.servers": ""}, Security("SASL_SSL", "AWS_MSK_IAM"), tokens=Tokens(signer, clock))
    with pytest.raises(UnavailableError, match="no AWS credentials were found"):
        clients.consumer({"group.id": "x"})
    assert signer.calls == 1


def test_a_token_that_has_expired_already_blames_the_clock(clock: Clock) -> None:
    with pytest.raises(UnavailableError, match="clock"):
        Tokens(Signer(clock, lifetime_s=0.0), clock)()


async def test_a_signer_that_hangs_does_not_hold_up_the_event_loop() -> None:
    """The client library asks for the next token in a thread of its own."""
    asked, go_on = threading.Event(), threading.Event()
    threads: list[int] = []

    def sign() -> Token:
        threads.append(threading.get_ident())
        if len(threads) > 1:
            asked.set()
            assert go_on.wait(10)
        return "token", time.time() + 2.0

    security = {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER", "bootstrap.servers": ""}
    clients = KafkaClients(security, Security("SASL_SSL", "AWS_MSK_IAM"), tokens=Tokens(sign))
    client = await asyncio.to_thread(clients.admin)
    try:
        async with asyncio.timeout(10):
            assert await asyncio.to_thread(asked.wait, 10)
        assert threading.get_ident() not in threads
        assert client.complaint() is None
    finally:
        go_on.set()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No credentials of this machine."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    return monkeypatch


def test_the_token_for_msk_is_the_signed_address_of_connect(aws: pytest.MonkeyPatch) -> None:
    """Form: 'SASL/OAUTHBEARER mechanism' of the library aws-msk-iam-sasl-signer, as Amazon MSK reads it."""
    aws.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    aws.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    aws.setenv("AWS_SESSION_TOKEN", "session-token")
    before = datetime.datetime.now(datetime.UTC).timestamp()
    token, expires = MskSigner("eu-west-1")()
    assert "=" not in token
    address = urlsplit(urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode())
    query = {name: values[0] for name, values in parse_qs(address.query).items()}
    assert (address.scheme, address.netloc, address.path) == ("https", "kafka.eu-west-1.amazonaws.com", "/")
    assert query["Action"] == "kafka-cluster:Connect"
    assert query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert query["X-Amz-Credential"].split("/")[0] == "AKIATEST"
    assert query["X-Amz-Credential"].split("/")[2:] == ["eu-west-1", "kafka-cluster", "aws4_request"]
    assert query["X-Amz-Expires"] == "900"
    assert query["X-Amz-SignedHeaders"] == "host"
    assert query["X-Amz-Security-Token"] == "session-token"
    assert len(query["X-Amz-Signature"]) == 64
    assert query["User-Agent"].startswith("aws-msk-iam-sasl-signer-python")
    assert before + 895 < expires < before + 910
    assert SECRET not in address.query


def test_without_aws_credentials_the_signer_says_so_and_looks_again(aws: pytest.MonkeyPatch) -> None:
    signer = MskSigner("eu-west-1")
    with pytest.raises(UnavailableError, match=r"kafka\.security\.mechanism AWS_MSK_IAM: no AWS credentials were found"):
        signer()
    aws.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    with pytest.raises(UnavailableError, match="the AWS credentials cannot be used: Partial credentials"):
        signer()
    aws.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert signer()[0]


def settings(**security: Any) -> Any:
    kafka = {"bootstrap_servers": "b1:9092", "security": security}
    routes = [{"topic": "orders", "stream": "orders"}]
    return parse_settings({"name": "orders-move", "kafka": kafka, "kinesis": {"region": "eu-central-1"}, "routes": routes})


def test_the_region_of_the_brokers_is_that_of_the_streams_unless_it_is_given() -> None:
    iam = {"protocol": "SASL_SSL", "mechanism": "AWS_MSK_IAM"}
    assert kafka_clients(settings(**iam)).security.region == "eu-central-1"
    assert kafka_clients(settings(**iam, region="eu-west-1")).security.region == "eu-west-1"
    assert kafka_clients(settings()).tokens is None


def test_the_check_of_the_configuration_asks_for_no_token(aws: pytest.MonkeyPatch) -> None:
    """It would need the network. The client library is shown the properties all the same."""

    def sign(_self: MskSigner) -> Token:
        raise AssertionError("asked for a token")

    aws.setattr(MskSigner, "__call__", sign)
    assert check_client(settings(protocol="SASL_SSL", mechanism="AWS_MSK_IAM")) is None


# -- a source that cannot be opened yet


class OpenedSource:
    def __init__(self) -> None:
        self.closed = False
        self.committed: list[Any] = []
        self.paused: list[Any] = []

    async def events(self) -> list[Any]:
        return [] if self.closed else [Assigned([])]

    def pause(self, partitions: Any) -> None:
        self.paused.append(partitions)

    def resume(self, partitions: Any) -> None:
        self.paused.remove(partitions)

    async def commit(self, points: Any) -> dict[Partition, str]:
        self.committed.append(points)
        return {}

    async def close(self) -> None:
        self.closed = True


def opening(failures: list[str], source: OpenedSource) -> OpeningSource:
    async def open_source() -> Any:
        if failures:
            raise UnavailableError(failures.pop(0))
        return source

    return OpeningSource(open_source)


POINTS = {Partition("orders", 0): CommitPoint(1, "")}


@pytest.mark.looptime
async def test_a_source_that_cannot_be_opened_says_why_and_tries_again() -> None:
    inner = OpenedSource()
    source = opening(["no such file", "no such file either"], inner)
    assert await source.events() == [SourceTrouble("security", "no such file")]
    assert await source.commit(POINTS) == {}
    source.pause([])
    source.resume([])
    assert await source.events() == [SourceTrouble("security", "no such file either")]
    assert await source.events() == [Assigned([])]
    source.pause(["p"])  # type: ignore[list-item]
    await source.commit(POINTS)
    assert (inner.paused, inner.committed) == ([["p"]], [POINTS])
    await source.close()
    assert inner.closed
    assert await source.events() == []


@pytest.mark.looptime
async def test_closing_a_source_that_is_not_open_ends_it_at_once() -> None:
    source = opening(["no such file"] * 9, OpenedSource())
    await source.events()
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(source.events())
        started = loop.time()
        await asyncio.sleep(0)
        await source.close()
    assert waiting.result() == []
    assert loop.time() - started < 1


async def test_a_source_that_opens_while_it_is_closed_is_closed_too() -> None:
    inner, started, go_on = OpenedSource(), asyncio.Event(), asyncio.Event()

    async def open_source() -> Any:
        started.set()
        await go_on.wait()
        return inner

    source = OpeningSource(open_source)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(source.events())
        await started.wait()
        await source.close()
        go_on.set()
    assert waiting.result() == []
    assert inner.closed
