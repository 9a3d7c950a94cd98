"""Files that `kafka.security` names: secrets as they are read for a connection, and what is wrong with any of them."""

import ssl
from collections.abc import Iterator

from pydantic import SecretStr

from bridge.app.settings.examination import Draft, FaultyError
from bridge.app.settings.problems import Problem
from bridge.app.settings.security import SecuritySettings

_GROUP = "kafka.security"


class SecretFileError(Exception):
    """A file cannot be used; the text says what to do."""


def security_secrets(security: SecuritySettings) -> dict[str, str]:
    """The librdkafka properties that are secrets, in clear, as their files hold them now.

    For the client library only. Raises SecretFileError, which names the key and the file.
    """
    found = {
        "sasl.password": _secret(security.password, security.password_file, "password_file"),
        "ssl.key.password": _secret(security.key_password, security.key_password_file, "key_password_file"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _secret(wrapped: SecretStr | None, file: str | None, key: str) -> str | None:
    if wrapped is not None:
        return wrapped.get_secret_value()
    if file is None:
        return None
    try:
        return read_secret(file)
    except SecretFileError as error:
        raise SecretFileError(f"{_GROUP}.{key} {file}: {error}") from None


def read_secret(file: str) -> str:
    """The one line of a file, without its end. Raises SecretFileError; no error has a part of the secret in it."""
    text = _read(file)
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise SecretFileError("write the secret to this file: it is empty")
    if "\n" in secret or "\0" in secret:
        raise SecretFileError("leave nothing but the secret in this file: it has more than one line")
    return secret


def _read(file: str) -> str:
    try:
        with open(file, encoding="utf-8", newline="") as opened:
            return opened.read()
    except OSError as error:
        raise SecretFileError(_remedy(error)) from None
    except UnicodeDecodeError:
        raise SecretFileError("save it as UTF-8 text") from None


def _remedy(error: OSError) -> str:
    return f"name a file that this user can read: {(error.strerror or str(error)).lower()}"


def security_file_problems(draft: Draft) -> list[Problem]:
    """What is wrong with the files that the configuration names; reads files, and nothing over the network."""
    try:
        values = {key: draft.value(f"{_GROUP}.{key}") for key in SecuritySettings.file_keys()}
    except FaultyError:
        return []  # what is wrong with the keys themselves comes first
    values |= {key: draft.values.get(f"{_GROUP}.{key}") for key in SecuritySettings.environment_only}
    remedies = _file_remedies(SecuritySettings.model_construct(None, **values))
    return [draft.problem(f"{_GROUP}.{key}", remedy) for key, remedy in remedies]


def _file_remedies(security: SecuritySettings) -> Iterator[tuple[str, str]]:
    """(key, what to do)."""
    unusable = set()
    for key in ("password_file", "key_password_file", "ca_file", "certificate_file", "key_file"):
        if (file := getattr(security, key)) and (remedy := _secret_remedy(file) if "password" in key else _pem_remedy(key, file)):
            unusable.add(key)
            yield key, remedy
    if security.certificate_file and security.key_file and not unusable & {"certificate_file", "key_file", "key_password_file"}:
        yield from _pair_remedies(security.certificate_file, security.key_file, _key_password(security))


def _key_password(security: SecuritySettings) -> str | None:
    return _secret(security.key_password, security.key_password_file, "key_password_file")


def _secret_remedy(file: str) -> str | None:
    try:
        read_secret(file)
    except SecretFileError as error:
        return str(error)
    return None


def _pem_remedy(key: str, file: str) -> str | None:
    try:
        if key == "key_file":
            open(file, "rb").close()
        else:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        return "name a file with certificates in PEM form (-----BEGIN CERTIFICATE-----): this one has none that can be read"
    except OSError as error:
        return _remedy(error)
    return None


def _pair_remedies(certificate_file: str, key_file: str, password: str | None) -> Iterator[tuple[str, str]]:
    asked = False

    def key_password() -> str:  # without it OpenSSL would ask on the terminal
        nonlocal asked
        asked = True
        return password or ""

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate_file, key_file, key_password)
    except (ssl.SSLError, ValueError) as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            yield "key_file", f"name the private key of {certificate_file}: this is the key of another certificate"
        elif asked and password is None:
            yield "key_file", f"name the file with its password in {_GROUP}.key_password_file: the key is encrypted"
        elif asked:
            yield "key_password_file", f"write the password of {key_file}: the key does not open with this one"
        else:
            yield "key_file", "name a file with a private key in PEM form: this one has none that can be read"
