"""What in `kafka.security` cannot stand together; each rule is one function over the draft."""

from collections.abc import Callable, Iterator

from bridge.app.settings.examination import Draft
from bridge.app.settings.kafka import MECHANISM_PROPERTIES
from bridge.app.settings.problems import Problem
from bridge.app.settings.security import MSK_IAM, PASSWORD_MECHANISMS

_GROUP = "kafka.security"
_PROPERTIES = "kafka.properties"

_TLS_KEYS = ("ca_file", "certificate_file", "key_file", "key_password_file")
_OTHER_WAYS = {
    "ssl.ca.pem": "ca_file",
    "ssl.certificate.pem": "certificate_file",
    "ssl.key.pem": "key_file",
    "ssl.keystore.location": "certificate_file",
    "ssl.keystore.password": "certificate_file",
}
"""Properties that do what a key does in another way: either is good, both are not."""


def _mechanism_and_protocol(draft: Draft) -> Iterator[Problem]:
    protocol, mechanism = draft.value(f"{_GROUP}.protocol"), draft.value(f"{_GROUP}.mechanism")
    by_property = [name for name in MECHANISM_PROPERTIES if _has_property(draft, name)]
    if protocol.startswith("SASL"):
        if mechanism is None and not by_property:
            yield draft.problem(
                f"{_GROUP}.mechanism",
                f"write PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or AWS_MSK_IAM, as the brokers' listener has it: {protocol} needs "
                "a login",
            )
    elif mechanism is not None:
        yield draft.problem(f"{_GROUP}.mechanism", f"write protocol: SASL_SSL, or remove it: {protocol} has no login")
    if mechanism == MSK_IAM and protocol == "SASL_PLAINTEXT":
        yield draft.problem(f"{_GROUP}.protocol", "write SASL_SSL: AWS_MSK_IAM works over TLS only")
    if mechanism is not None:
        yield from _login_properties(draft, mechanism)


def _login_properties(draft: Draft, mechanism: str) -> Iterator[Problem]:
    for path in sorted(draft.values):
        if path.startswith(f"{_PROPERTIES}.sasl."):
            yield draft.problem(path, f"remove it, or kafka.security.mechanism: {mechanism} is all that the login needs")


def _password_and_mechanism(draft: Draft) -> Iterator[Problem]:
    mechanism = draft.value(f"{_GROUP}.mechanism")
    given = [key for key in ("username", "password_file", "password") if _is_given(draft, key)]
    if mechanism in PASSWORD_MECHANISMS:
        if "username" not in given:
            yield draft.problem(f"{_GROUP}.username", f"write the name to log in with: {mechanism} needs one")
        if not {"password_file", "password"} & set(given):
            yield draft.problem(
                f"{_GROUP}.password_file",
                f"name the file with the password, or set the variable BRIDGE_KAFKA__SECURITY__PASSWORD: {mechanism} needs one",
            )
        return
    if mechanism is None and draft.value(f"{_GROUP}.protocol").startswith("SASL"):
        return  # the mechanism that is missing is the problem
    why = "AWS_MSK_IAM logs in with AWS credentials" if mechanism else "without a mechanism there is no login"
    for key in given:
        yield draft.problem(f"{_GROUP}.{key}", f"write mechanism: SCRAM-SHA-512 or PLAIN, or remove it: {why}")


def _one_place_for_each_secret(draft: Draft) -> Iterator[Problem]:
    for key in ("password", "key_password"):
        if _is_given(draft, key) and _is_given(draft, f"{key}_file"):
            yield draft.problem(
                f"{_GROUP}.{key}_file",
                f"remove it, or unset the variable BRIDGE_KAFKA__SECURITY__{key.upper()}: both hold the same secret",
            )


def _files_and_encryption(draft: Draft) -> Iterator[Problem]:
    protocol = draft.value(f"{_GROUP}.protocol")
    if protocol in ("SSL", "SASL_SSL"):
        return
    encrypted = "SSL" if protocol == "PLAINTEXT" else "SASL_SSL"
    for key in (*_TLS_KEYS, "key_password"):
        if _is_given(draft, key):
            yield draft.problem(f"{_GROUP}.{key}", f"write protocol: {encrypted}, or remove it: {protocol} is not encrypted")


def _certificate_and_key(draft: Draft) -> Iterator[Problem]:
    certificate, key = _is_given(draft, "certificate_file"), _is_given(draft, "key_file")
    if certificate and not key:
        yield draft.problem(
            f"{_GROUP}.key_file", "name the file with the private key of certificate_file, which may be the same file"
        )
    if key and not certificate:
        yield draft.problem(f"{_GROUP}.certificate_file", "name the file with the certificate of key_file, or remove key_file")
    for secret in ("key_password_file", "key_password"):
        if _is_given(draft, secret) and not key:
            yield draft.problem(f"{_GROUP}.{secret}", "write key_file too, or remove it: it is the password of that file")


def _region_and_mechanism(draft: Draft) -> Iterator[Problem]:
    if draft.value(f"{_GROUP}.region") is not None and draft.value(f"{_GROUP}.mechanism") != MSK_IAM:
        yield draft.problem(f"{_GROUP}.region", "write mechanism: AWS_MSK_IAM, or remove it: no other login has a region")


def _one_way_for_each_file(draft: Draft) -> Iterator[Problem]:
    for name, key in _OTHER_WAYS.items():
        if _has_property(draft, name) and _is_given(draft, key):
            yield draft.problem(f"{_PROPERTIES}.{name}", f"remove it, or kafka.security.{key}: both say the same")


def _is_given(draft: Draft, key: str) -> bool:
    return draft.value(f"{_GROUP}.{key}") is not None


def _has_property(draft: Draft, name: str) -> bool:
    return f"{_PROPERTIES}.{name}" in draft.values


SECURITY_RULES: tuple[Callable[[Draft], Iterator[Problem]], ...] = (
    _mechanism_and_protocol,
    _password_and_mechanism,
    _one_place_for_each_secret,
    _files_and_encryption,
    _certificate_and_key,
    _region_and_mechanism,
    _one_way_for_each_file,
)
