"""Reading the members of a JSON request with the errors that the service gives for wrong ones."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from bridge.core.quotas import HASH_KEY_MAX
from bridge.embedded.kinesis_errors import (
    InvalidArgumentException,
    SerializationException,
    ValidationException,
    constraint_broken,
)

_HASH_KEY = re.compile(r"0|([1-9]\d{0,38})", re.ASCII)


class Call(NamedTuple):
    """One call of the API: the operation's name, the members of its JSON, and whose call it is (access key id, if known)."""

    operation: str
    members: dict[str, Any]
    client: str = ""


class RequestFields:
    """A decoded request. Missing members raise ValidationException, members of a wrong type SerializationException."""

    __slots__ = ("_members",)

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._members = members

    def stream(self) -> str:
        """Name or ARN; raises InvalidArgumentException when there is none or the two disagree."""
        name, arn = self.optional_text("StreamName"), self.optional_text("StreamARN")
        if name is not None and arn is not None and arn.partition(":stream/")[2] != name:
            raise InvalidArgumentException(f"StreamARN {arn} and StreamName {name} do not name the same stream.")
        if arn is None and name is None:
            raise InvalidArgumentException("Either StreamName or StreamARN must be given.")
        return arn or name or ""

    def has(self, member: str) -> bool:
        return self._members.get(member) is not None

    def text(self, member: str) -> str:
        found = self.optional_text(member)
        if found is None:
            raise _missing(member)
        return found

    def optional_text(self, member: str) -> str | None:
        found = self._members.get(member)
        if found is None or isinstance(found, str):
            return found
        raise SerializationException(f"{member} is not a string.")

    def integer(self, member: str) -> int:
        found = self.optional_integer(member)
        if found is None:
            raise _missing(member)
        return found

    def optional_integer(self, member: str, bounds: tuple[int, int] | None = None) -> int | None:
        """`bounds` are the smallest and the largest value; outside them it raises ValidationException."""
        found = self._members.get(member)
        if found is None:
            return None
        if not isinstance(found, int) or isinstance(found, bool):
            raise SerializationException(f"{member} is not an integer.")
        if bounds is not None and not bounds[0] <= found <= bounds[1]:
            must = f"greater than or equal to {bounds[0]}" if found < bounds[0] else f"less than or equal to {bounds[1]}"
            raise constraint_broken(found, lower_camel(member), f"have value {must}")
        return found

    def timestamp(self, member: str) -> float | None:
        """Seconds since the epoch, the only form that the JSON protocol has."""
        found = self._members.get(member)
        if found is None or (isinstance(found, int | float) and not isinstance(found, bool)):
            return found
        raise SerializationException(f"{member} is not a number of seconds.")

    def flag(self, member: str) -> bool:
        found = self._members.get(member, False)
        if not isinstance(found, bool):
            raise SerializationException(f"{member} is not a boolean.")
        return found

    def structure(self, member: str) -> "RequestFields | None":
        found = self._members.get(member)
        if found is None:
            return None
        if not isinstance(found, dict):
            raise SerializationException(f"{member} is not a structure.")
        return RequestFields(found)

    def texts(self, member: str) -> dict[str, str]:
        """A map of strings; empty when missing."""
        found = self._members.get(member) or {}
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            raise SerializationException(f"{member} is not a map of strings.")
        return found

    def text_list(self, member: str) -> list[str]:
        """A list of strings; raises ValidationException when it is missing."""
        found = self._members.get(member)
        if found is None:
            raise _missing(member)
        if not isinstance(found, list) or not all(isinstance(value, str) for value in found):
            raise SerializationException(f"{member} is not a list of strings.")
        return found


@lru_cache(maxsize=65_536)
def hash_key_number(text: str, member: str) -> int:
    """A hash key from its decimal text.

    Raises ValidationException for what is no number without leading zeros, InvalidArgumentException beyond 2^128-1.
    """
    if not _HASH_KEY.fullmatch(text):
        raise constraint_broken(text, lower_camel(member), f"satisfy regular expression pattern: {_HASH_KEY.pattern}")
    if int(text) <= HASH_KEY_MAX:
        return int(text)
    raise InvalidArgumentException(f"Invalid {member}. {member} must be in the range: [0, 2^128-1]. Specified value was {text}")


def lower_camel(member: str) -> str:
    """A member as validation messages of the service write it."""
    return member[0].lower() + member[1:]


def _missing(member: str) -> ValidationException:
    return constraint_broken(None, lower_camel(member), "not be null")
