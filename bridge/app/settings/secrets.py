"""Which configured values are secrets, and how they are kept out of everything that is shown."""

import re
from collections.abc import Mapping

MASK = "***"

_SECRET_WORDS = ("password", "secret", "key", "token", "credential")
_SECRET_NAMES = frozenset({"sasl.oauthbearer.config"})
_USER_INFO = re.compile(r"([a-zA-Z_]+://)?\S+@")


def is_secret_name(name: str) -> bool:
    """Errs on the safe side: `ssl.key.location` is only a path, and is masked all the same."""
    lowered = name.lower()
    return lowered in _SECRET_NAMES or any(word in lowered for word in _SECRET_WORDS)


def masked(value: object, name: str = "", not_secret: frozenset[str] = frozenset()) -> object:
    """The value as it may be shown: whatever stands under a name that sounds like a secret is hidden, at any depth.

    `not_secret` are the bridge's own keys (`partition_key` and the like), so also a secret under a mistyped key stays hidden.
    """
    if name not in not_secret and is_secret_name(name):
        return MASK
    if isinstance(value, Mapping):
        return {str(key): masked(inner, str(key), not_secret) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [masked(inner, "", not_secret) for inner in value]
    return _USER_INFO.sub(rf"\g<1>{MASK}@", value) if isinstance(value, str) else value
