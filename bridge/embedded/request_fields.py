"""Reading the members of a JSON request with the errors that the service gives for wrong ones."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from bridge.core.quotas import HASH_KEY_MAX
from bridge.embedded.kinesis_errors import InvalidArgumentException, SerializationException, ValidationException


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

    def optional_integer(self, member: str, at_least: int | None = None) -> int | None:
        found = self._members.get(member)
        if found is None:
            return None
        if not isinstance(found, int) or isinstance(found, bool):
            raise SerializationException(f"{member} is not an integer.")
        if at_least is not None and found < at_least:
            raise ValidationException(f"Value '{found}' at '{member}' must be {at_least} or more.")
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


@lru_cache(maxsize=65_536)
def hash_key_number(text: str, member: str) -> int:
    """A hash key from its decimal text; raises InvalidArgumentException outside 0..2^128-1 or for anything else."""
    if text.isascii() and text.isdecimal() and (text == "0" or text[0] != "0") and len(text) <= 39 and int(text) <= HASH_KEY_MAX:
        return int(text)
    raise InvalidArgumentException(f"Invalid {member}. {member} must be in the range: [0, 2^128-1]. Specified value was {text}")


def _missing(member: str) -> ValidationException:
    camel = member[0].lower() + member[1:]
    return ValidationException(
        f"1 validation error detected: Value null at '{camel}' failed to satisfy constraint: Member must not be null"
    )
