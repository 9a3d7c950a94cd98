"""Authorities, certificates and keys for tests, as PEM texts and files."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

NOW = datetime.datetime.now(datetime.UTC)


@dataclass(frozen=True)
class Certificate:
    """A certificate with its chain, and its private key in PKCS#8, which is what Kafka reads."""

    chain: str
    key: str

    def encrypted_key(self, password: str) -> str:
        """The key under a password, in PKCS#8 too."""
        key = load_pem_private_key(self.key.encode(), None)
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode())).decode()


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self) -> None:
        self._ca = trustme.CA()
        self.certificate = self._ca.cert_pem.bytes().decode()

    def issue(self, *names: str, expired: bool = False) -> Certificate:
        """A certificate for these host names and addresses; with `expired` one that ended yesterday."""
        ends = NOW + datetime.timedelta(days=-1 if expired else 1)
        leaf = self._ca.issue_cert(*names, not_before=NOW - datetime.timedelta(days=2), not_after=ends)
        key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
        chain = "".join(blob.bytes().decode() for blob in leaf.cert_chain_pems)
        return Certificate(chain, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def write_files(folder: Path, contents: Mapping[str, str]) -> dict[str, str]:
    """Writes each text to the file of its name; returns name -> path."""
    for name, text in contents.items():
        (folder / name).write_text(text)
    return {name: str(folder / name) for name in contents}
