"""Tokens for logins with OAUTHBEARER, above all those of Amazon MSK's IAM authentication."""

import threading
import time
from collections.abc import Callable
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.credentials import CredentialProvider, ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError

from bridge.core.errors import UnavailableError

CREDENTIALS_CALLS: dict[str, Any] = {"connect_timeout": 5, "read_timeout": 5, "retries": {"total_max_attempts": 2}}
"""How long a call for credentials (to AWS STS and the like) may take, in seconds: a client waits for it."""

Token = tuple[str, float]
"""The token and when it expires, in seconds since the epoch."""


class Tokens:
    """`oauth_cb` of every client of one Kafka. Thread-safe: each client calls it from a background thread of its own.

    librdkafka asks at four fifths of a token's life. A token is shared until half of its life is over, then renewed; while
    that fails the old one serves as long as it is valid.
    """

    def __init__(self, sign: Callable[[], Token], wall: Callable[[], float] = time.time) -> None:
        """`sign` makes a token and raises UnavailableError; `wall` gives seconds since the epoch."""
        self._sign = sign
        self._wall = wall
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._renew_at = float("-inf")
        self.problem: str | None = None
        """Why the last attempt to make a token failed; None where it did not."""

    def token(self) -> Token:
        """A token that is valid. May wait for credentials. Raises UnavailableError."""
        with self._lock:
            now = self._wall()
            if self._token is None or now >= self._renew_at:
                self._renew(now)
            if self._token is None or now >= self._token[1]:
                raise UnavailableError(self.problem or "the new token has expired already: check this machine's clock")
            return self._token

    def __call__(self, _config: str | None = None) -> Token:
        """As the client library calls it; whatever is raised counts as a refusal, and it asks again after ten seconds."""
        return self.token()

    def _renew(self, now: float) -> None:
        try:
            self._token = self._sign()
        except UnavailableError as error:
            self.problem = str(error)
        else:
            self.problem = None
            self._renew_at = now + (self._token[1] - now) / 2


class MskSigner:
    """Signs a token for Amazon MSK with AWS credentials from botocore's own chain, which renews them.

    The token is the address of `kafka-cluster:Connect`, signed with Signature Version 4 and valid for 15 minutes: the
    library aws-msk-iam-sasl-signer-python.
    """

    def __init__(self, region: str) -> None:
        self._region = region
        self._session: Any = None

    def __call__(self) -> Token:
        """Raises UnavailableError, which says what is missing."""
        # Loads boto3, which takes a while and which no other login needs.
        from aws_msk_iam_sasl_signer.MSKAuthTokenProvider import generate_auth_token_from_credentials_provider

        if self._session is None:
            self._session = botocore.session.Session()
            self._session.set_default_client_config(Config(**CREDENTIALS_CALLS))
        try:
            credentials = self._session.get_credentials()
            if credentials is None:
                raise UnavailableError(
                    "kafka.security.mechanism AWS_MSK_IAM: no AWS credentials were found: give them as for Kinesis (variables, "
                    "profile, web identity, container or instance role)"
                )
            frozen = _Frozen(credentials.get_frozen_credentials())
            token, expires_ms = generate_auth_token_from_credentials_provider(self._region, frozen)
        except (BotoCoreError, ClientError, OSError, RuntimeError, ValueError) as error:
            self._session = None  # a new one reads its files again
            raise UnavailableError(
                f"kafka.security.mechanism AWS_MSK_IAM: the AWS credentials cannot be used: {error}"
            ) from error
        return token, expires_ms / 1000


class _Frozen(CredentialProvider):  # type: ignore[misc] # botocore is untyped
    """Credentials at one moment, as the signer takes them."""

    def __init__(self, credentials: ReadOnlyCredentials) -> None:
        super().__init__()
        self._credentials = credentials

    def load(self) -> ReadOnlyCredentials:
        return self._credentials
