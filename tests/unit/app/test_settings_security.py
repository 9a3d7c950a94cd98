"""`kafka.security` and the role for Kinesis: what can stand together, where secrets may come from, and the files."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from bridge.app.settings import (
    Problem,
    SecretFileError,
    Settings,
    SettingsError,
    effective,
    load_settings,
    parse_settings,
    security_file_problems,
    security_secrets,
    summary_lines,
    warnings,
)
from bridge.app.settings.secret_files import read_secret
from bridge.app.settings.security import MECHANISMS, PROTOCOLS
from tests.servers.certificates import Authority, Certificate, write_files

MINIMAL = """
name: orders-move
kinesis: {region: eu-central-1}
routes: [{topic: orders, stream: orders}]
kafka: {bootstrap_servers: b1:9092, security: {}}
"""
LOGIN = {"protocol": "SASL_SSL", "mechanism": "SCRAM-SHA-512", "username": "bridge", "password_file": "password"}
SECRET = "hunter2"


def settings(security: Any, properties: Any = None, env: dict[str, str] | None = None, **kinesis: Any) -> Settings:
    kafka = {"bootstrap_servers": "b1:9092", "security": security, "properties": properties}
    routes = [{"topic": "orders", "stream": "orders"}]
    raw = {"name": "orders-move", "kafka": kafka, "kinesis": {"region": "eu-central-1", **kinesis}, "routes": routes}
    return parse_settings(raw, env)


def problems(security: Any, properties: Any = None, env: dict[str, str] | None = None, **kinesis: Any) -> list[Problem]:
    with pytest.raises(SettingsError) as raised:
        settings(security, properties, env, **kinesis)
    return raised.value.problems


def paths(found: list[Problem]) -> set[str]:
    return {problem.path.removeprefix("kafka.security.") for problem in found}


# -- what is accepted


@pytest.mark.parametrize("empty", [None, {}])
def test_without_keys_connections_are_open(empty: Any) -> None:
    assert settings(empty).kafka.librdkafka_properties() == {"security.protocol": "PLAINTEXT"}


@pytest.mark.parametrize("protocol", ["sasl_ssl", "Sasl_Ssl", "SASL_SSL"])
@pytest.mark.parametrize("mechanism", ["plain", "Scram-Sha-256", "SCRAM-SHA-512"])
def test_names_are_read_in_any_case(protocol: str, mechanism: str) -> None:
    read = settings({**LOGIN, "protocol": protocol, "mechanism": mechanism}).kafka.security
    assert (read.protocol, read.mechanism) == ("SASL_SSL", mechanism.upper())


def test_every_key_becomes_its_property() -> None:
    files = {"ca_file": "ca", "certificate_file": "certificate", "key_file": "key", "key_password_file": "key-password"}
    assert settings({**LOGIN, **files}).kafka.librdkafka_properties() == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "bridge",
        "ssl.ca.location": "ca",
        "ssl.certificate.location": "certificate",
        "ssl.key.location": "key",
    }


def test_msk_iam_is_a_login_with_tokens() -> None:
    read = settings({"protocol": "SASL_SSL", "mechanism": "AWS_MSK_IAM", "region": "eu-west-1"})
    assert read.kafka.librdkafka_properties() == {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}
    assert read.kafka.security.region == "eu-west-1"


def test_other_mechanisms_go_through_properties() -> None:
    properties = {"sasl.mechanism": "GSSAPI", "sasl.kerberos.service.name": "kafka", "ssl.cipher.suites": "x"}
    read = settings({"protocol": "SASL_SSL"}, properties).kafka.librdkafka_properties()
    assert read == {"security.protocol": "SASL_SSL", **properties}


# -- contradictions


def test_every_protocol_with_every_mechanism_and_every_login_is_right_or_says_what_to_change() -> None:
    logins: list[dict[str, str]] = [{}, {"username": "u"}, {"password_file": "f"}, {"username": "u", "password_file": "f"}]
    for protocol, mechanism, login in itertools.product(PROTOCOLS, (None, *MECHANISMS), logins):
        security = {"protocol": protocol, "mechanism": mechanism, **login}
        by_password = mechanism not in (None, "AWS_MSK_IAM")
        right = len(login) == (2 if by_password else 0) and (mechanism is not None) == protocol.startswith("SASL")
        right = right and (mechanism != "AWS_MSK_IAM" or protocol == "SASL_SSL")
        if right:
            assert settings(security).kafka.security.mechanism == mechanism
        else:
            assert all(problem.remedy for problem in problems(security))


@pytest.mark.parametrize(
    ("security", "expected"),
    [
        ({"mechanism": "PLAIN", "username": "u", "password_file": "f"}, {"mechanism"}),
        ({"protocol": "SASL_SSL"}, {"mechanism"}),
        ({"protocol": "SASL_SSL", "username": "u"}, {"mechanism"}),
        ({"protocol": "SASL_SSL", "mechanism": "SCRAM-SHA-512"}, {"username", "password_file"}),
        ({"protocol": "SASL_PLAINTEXT", "mechanism": "AWS_MSK_IAM"}, {"protocol"}),
        ({**LOGIN, "mechanism": "AWS_MSK_IAM"}, {"username", "password_file"}),
        ({"username": "u", "password_file": "f"}, {"username", "password_file"}),
        ({**LOGIN, "region": "eu-west-1"}, {"region"}),
        ({"protocol": "SSL", "certificate_file": "c"}, {"key_file"}),
        ({"protocol": "SSL", "key_file": "k"}, {"certificate_file"}),
        ({"protocol": "SSL", "key_password_file": "p"}, {"key_password_file"}),
        ({"ca_file": "c"}, {"ca_file"}),
        ({**LOGIN, "protocol": "SASL_PLAINTEXT", "ca_file": "c", "certificate_file": "c", "key_file": "k"},
         {"ca_file", "certificate_file", "key_file"}),
    ],
)  # fmt: skip
def test_contradictions_are_told_at_the_key_to_change(security: dict[str, str], expected: set[str]) -> None:
    assert paths(problems(security)) == expected


def test_all_contradictions_are_told_at_once() -> None:
    security = {"protocol": "PLAINTEXT", "mechanism": "PLAIN", "ca_file": "c", "certificate_file": "c", "region": "eu-west-1"}
    found = problems(security, {"group.id": "x"}, external_id="abc")
    assert paths(found) == {
        "mechanism", "username", "password_file", "ca_file", "certificate_file", "key_file", "region",
        "kafka.properties.group.id", "kinesis.external_id",
    }  # fmt: skip


def test_a_faulty_key_makes_no_false_contradictions() -> None:
    assert paths(problems({**LOGIN, "mechanism": "SCRAM"})) == {"mechanism"}
    assert paths(problems({"protocol": "SSL", "certificate_file": "", "key_file": "k"})) == {"certificate_file"}


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("security.protocol", "SASL_SSL", "kafka.security.protocol"),
        ("sasl.mechanism", "PLAIN", "kafka.security.mechanism"),
        ("sasl.mechanisms", "scram-sha-512", "kafka.security.mechanism"),
        ("sasl.username", "bridge", "kafka.security.username"),
        ("sasl.password", SECRET, "kafka.security.password_file"),
        ("ssl.ca.location", "ca.pem", "kafka.security.ca_file"),
        ("ssl.certificate.location", "c.pem", "kafka.security.certificate_file"),
        ("ssl.key.location", "k.pem", "kafka.security.key_file"),
        ("ssl.key.password", SECRET, "kafka.security.key_password_file"),
    ],
)
def test_a_property_that_is_a_key_is_refused_and_names_the_key(name: str, value: str, key: str) -> None:
    (found,) = problems({}, {name: value})
    assert found.path == f"kafka.properties.{name}"
    assert key in found.remedy
    assert SECRET not in str(found)


@pytest.mark.parametrize(
    ("security", "properties"),
    [
        (LOGIN, {"sasl.mechanism": "OAUTHBEARER"}),
        ({"protocol": "SASL_SSL", "mechanism": "AWS_MSK_IAM"}, {"sasl.oauthbearer.method": "oidc"}),
        ({"protocol": "SSL", "ca_file": "c"}, {"ssl.ca.pem": "x"}),
        ({"protocol": "SSL", "certificate_file": "c", "key_file": "k"}, {"ssl.keystore.location": "x"}),
        ({"protocol": "SSL", "certificate_file": "c", "key_file": "k"}, {"ssl.key.pem": "x"}),
    ],
)
def test_a_key_and_a_property_for_the_same_thing_contradict(security: dict[str, str], properties: dict[str, str]) -> None:
    (found,) = problems(security, properties)
    assert found.path == f"kafka.properties.{next(iter(properties))}"
    assert "kafka.security." in found.remedy


@pytest.mark.parametrize(
    "role", ["bridge", "arn:aws:iam::12:role/x", "arn:aws:iam::123456789012:user/x", "arn:aws:sts::123456789012:assumed-role/x"]
)
def test_what_is_no_role_is_refused(role: str) -> None:
    (found,) = problems({}, role_arn=role)
    assert (found.path, found.value) == ("kinesis.role_arn", role)
    assert "arn:aws:iam::123456789012:role/bridge" in found.remedy


@pytest.mark.parametrize(
    "role", ["arn:aws:iam::123456789012:role/bridge", "arn:aws-cn:iam::123456789012:role/path/to/bridge.v1+x"]
)
def test_roles(role: str) -> None:
    read = settings({}, role_arn=role, external_id="partner:7/a")
    assert (read.kinesis.role_arn, read.kinesis.external_id) == (role, "partner:7/a")


# -- secrets


def test_a_password_from_its_variable_is_the_text_that_it_is() -> None:
    security = {key: value for key, value in LOGIN.items() if key != "password_file"}
    for text in (SECRET, "{hunter2", "null", "[1]", " x "):
        read = settings(security, env={"BRIDGE_KAFKA__SECURITY__PASSWORD": text})
        assert security_secrets(read.kafka.security) == {"sasl.password": text}


@pytest.mark.parametrize("key", ["password", "key_password"])
def test_a_secret_in_the_file_is_refused_and_not_shown(key: str) -> None:
    for security in ({**LOGIN, "certificate_file": "c", "key_file": "k", key: SECRET}, {key: [SECRET]}, {key: {"a": SECRET}}):
        found = [problem for problem in problems(security) if problem.path == f"kafka.security.{key}"]
        assert len(found) == 1
        assert f"kafka.security.{key}_file" in found[0].remedy
        assert f"BRIDGE_KAFKA__SECURITY__{key.upper()}" in found[0].remedy
        assert SECRET not in str(problems(security))


def test_a_secret_in_a_variable_that_holds_the_whole_group_is_refused_too() -> None:
    found = problems({}, env={"BRIDGE_KAFKA__SECURITY": f"{{protocol: SSL, key_password: {SECRET}}}"})
    assert "kafka.security.key_password" in [problem.path for problem in found]
    assert SECRET not in str(found)


def test_an_empty_variable_is_a_problem() -> None:
    security = {key: value for key, value in LOGIN.items() if key != "password_file"}
    (found,) = problems(security, env={"BRIDGE_KAFKA__SECURITY__PASSWORD": ""})
    assert found.path == "kafka.security.password"
    assert "BRIDGE_KAFKA__SECURITY__PASSWORD" in found.remedy


def test_file_and_variable_for_one_secret_contradict() -> None:
    (found,) = problems(LOGIN, env={"BRIDGE_KAFKA__SECURITY__PASSWORD": SECRET})
    assert found.path == "kafka.security.password_file"
    assert "BRIDGE_KAFKA__SECURITY__PASSWORD" in found.remedy


def test_a_mistyped_secret_key_points_to_the_file_and_is_not_shown() -> None:
    (found,) = problems({"pasword": SECRET})
    assert "did you mean password_file?" in found.remedy
    assert SECRET not in str(found)


def test_secrets_are_in_nothing_that_is_shown() -> None:
    security = {key: value for key, value in LOGIN.items() if key != "password_file"}
    env = {"BRIDGE_KAFKA__SECURITY__PASSWORD": SECRET, "BRIDGE_KAFKA__SECURITY__KEY_PASSWORD": SECRET}
    read = settings({**security, "certificate_file": "c", "key_file": "k"}, env=env)
    shown = [
        repr(read),
        str(read),
        repr(read.kafka.security),
        read.model_dump_json(),
        str(read.model_dump()),
        str(effective(read)),
    ]
    assert not [text for text in (*shown, *summary_lines(read)) if SECRET in text]
    assert effective(read)["kafka"]["security"]["password"] == "***"
    assert "password" not in effective(settings(LOGIN))["kafka"]["security"]
    assert any("password_file: password" in line for line in summary_lines(settings(LOGIN)))


# -- files


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where relative paths lead."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("content", "secret"), [(b"x", "x"), (b"x\n", "x"), (b"x\r\n", "x"), (b" x \n", " x "), ("ü€\n".encode(), "ü€")]
)
def test_a_secret_is_the_one_line_of_its_file(folder: Path, content: bytes, secret: str) -> None:
    (folder / "password").write_bytes(content)
    assert read_secret("password") == secret
    assert security_secrets(settings(LOGIN).kafka.security) == {"sasl.password": secret}


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (b"", "it is empty"),
        (b"\n", "it is empty"),
        (b"hunter2\nhunter2\n", "more than one line"),
        (b"hunter2\n\n", "more than one line"),
        (b"hunter2\xff", "UTF-8"),
        (b"hunter2\0", "more than one line"),
        (None, "no such file"),
    ],
)
def test_a_file_without_a_secret_says_what_to_do(folder: Path, content: bytes | None, remedy: str) -> None:
    if content is not None:
        (folder / "password").write_bytes(content)
    with pytest.raises(SecretFileError) as raised:
        security_secrets(settings(LOGIN).kafka.security)
    said = str(raised.value)
    assert said.startswith("kafka.security.password_file password: ")
    assert remedy in said
    assert SECRET not in said


def file_problems(folder: Path, security: dict[str, str], **env: str) -> dict[str, str]:
    """Key -> remedy, as `bridge config check` finds them."""
    file = folder / "bridge.yaml"
    file.write_text(MINIMAL)
    variables = {f"BRIDGE_KAFKA__SECURITY__{key.upper()}": value for key, value in security.items()} | env
    try:
        load_settings(file, variables, security_file_problems)
    except SettingsError as error:
        return {problem.path.removeprefix("kafka.security."): problem.remedy for problem in error.problems}
    return {}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def own(authority: Authority) -> Certificate:
    return authority.issue("bridge")


MUTUAL = {"protocol": "SSL", "ca_file": "ca.pem", "certificate_file": "c.pem", "key_file": "k.pem"}


def test_files_that_are_right(folder: Path, authority: Authority, own: Certificate) -> None:
    contents = {"ca.pem": authority.certificate, "c.pem": own.chain, "k.pem": own.key, "password": SECRET}
    write_files(folder, contents)
    assert file_problems(folder, {**MUTUAL, **LOGIN}) == {}
    write_files(folder, {"k.pem": own.encrypted_key(SECRET), "key-password": f"{SECRET}\n", "both.pem": own.chain + own.key})
    assert file_problems(folder, {**MUTUAL, "key_password_file": "key-password"}) == {}
    assert file_problems(folder, MUTUAL, BRIDGE_KAFKA__SECURITY__KEY_PASSWORD=SECRET) == {}
    assert file_problems(folder, {**MUTUAL, "certificate_file": "both.pem", "key_file": "both.pem"}) == {}


def test_every_missing_file_is_told_at_once(folder: Path) -> None:
    found = file_problems(folder, {**MUTUAL, **LOGIN, "key_password_file": "key-password"})
    assert set(found) == {"ca_file", "certificate_file", "key_file", "password_file", "key_password_file"}
    assert all("a file that this user can read: no such file" in remedy for remedy in found.values())


def test_files_are_told_beside_other_mistakes(folder: Path) -> None:
    assert set(file_problems(folder, {**LOGIN, "region": "eu-west-1"})) == {"region", "password_file"}


@pytest.mark.parametrize(
    ("changes", "key", "remedy"),
    [
        ({"ca.pem": "nothing"}, "ca_file", "certificates in PEM form"),
        ({"c.pem": "nothing"}, "certificate_file", "certificates in PEM form"),
        ({"k.pem": "nothing"}, "key_file", "a private key in PEM form"),
        ({"k.pem": "another"}, "key_file", "name the private key of c.pem"),
        ({"k.pem": "encrypted"}, "key_file", "kafka.security.key_password_file"),
    ],
)
def test_a_file_with_something_else_says_what_to_do(
    folder: Path, authority: Authority, own: Certificate, changes: dict[str, str], key: str, remedy: str
) -> None:
    texts = {"nothing": "no PEM\n", "another": authority.issue("x").key, "encrypted": own.encrypted_key(SECRET)}
    right = {"ca.pem": authority.certificate, "c.pem": own.chain, "k.pem": own.key}
    write_files(folder, right | {name: texts[text] for name, text in changes.items()})
    found = file_problems(folder, MUTUAL)
    assert list(found) == [key]
    assert remedy in found[key]


def test_the_wrong_password_of_a_key_is_told_without_it(folder: Path, authority: Authority, own: Certificate) -> None:
    contents = {"ca.pem": authority.certificate, "c.pem": own.chain, "k.pem": own.encrypted_key("right"), "wrong": SECRET}
    write_files(folder, contents)
    found = file_problems(folder, {**MUTUAL, "key_password_file": "wrong"})
    assert list(found) == ["key_password_file"]
    assert found["key_password_file"].startswith("write the password of k.pem: the key does not open with this one")
    assert SECRET not in str(found)


# -- warnings


def test_a_password_that_crosses_the_network_is_pointed_out() -> None:
    (found,) = warnings(settings({**LOGIN, "protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN"}))
    assert (found.path, found.value) == ("kafka.security.protocol", "SASL_PLAINTEXT")
    assert warnings(settings({**LOGIN, "protocol": "SASL_PLAINTEXT"})) == []


@pytest.mark.parametrize(
    "properties", [{"enable.ssl.certificate.verification": False}, {"ssl.endpoint.identification.algorithm": "none"}]
)
def test_checks_that_are_turned_off_are_pointed_out(properties: dict[str, Any]) -> None:
    (found,) = warnings(settings({"protocol": "SSL"}, properties))
    assert found.path == f"kafka.properties.{next(iter(properties))}"
