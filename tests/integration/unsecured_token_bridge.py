"""The bridge with tokens that an Apache Kafka takes in place of those that Amazon MSK takes; all else is as it is shipped.

An unsecured JSON Web Signature (RFC 7515, appendix A.5): what Kafka's own validator for tests asks for.
"""

import os
import time
from base64 import urlsafe_b64encode
from pathlib import Path

import orjson

from bridge import bootstrap
from bridge.__main__ import main
from bridge.adapters.kafka.tokens import Token
from bridge.core.errors import UnavailableError

MODULE = "tests.integration.unsecured_token_bridge"
LIFETIME_VARIABLE = "TOKEN_LIFETIME_SECONDS"
REFUSAL_VARIABLE = "TOKEN_REFUSAL_FILE"
SIGNED_VARIABLE = "TOKEN_SIGNED_FILE"


def _part(claims: dict[str, object]) -> str:
    return urlsafe_b64encode(orjson.dumps(claims)).decode().rstrip("=")


class UnsecuredSigner:
    """In the place of `MskSigner`. While the file of REFUSAL_VARIABLE exists there is no token, and its text says why.

    Each token is a line in the file of SIGNED_VARIABLE, after its time.
    """

    def __init__(self, region: str) -> None:
        self._subject = f"bridge-{region}"

    def __call__(self) -> Token:
        refusal = Path(os.environ[REFUSAL_VARIABLE])
        if refusal.exists():
            raise UnavailableError(refusal.read_text())
        now = time.time()
        expires = now + float(os.environ[LIFETIME_VARIABLE])
        token = f"{_part({'alg': 'none'})}.{_part({'sub': self._subject, 'iat': now, 'exp': expires})}."
        with open(os.environ[SIGNED_VARIABLE], "a") as signed:
            signed.write(f"{now} {token}\n")
        return token, expires


if __name__ == "__main__":
    bootstrap.MskSigner = UnsecuredSigner  # type: ignore[assignment,attr-defined]
    main()
