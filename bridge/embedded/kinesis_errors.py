"""Errors of the Kinesis API, one class per AWS error code.

Source of the codes: the error sections of the Kinesis Data Streams API reference and its page "Common errors".
"""

from typing import ClassVar, TypeVar


class KinesisError(Exception):
    """An answer that is an error: `code` is AWS's error code, `status` the HTTP status, `message` the text."""

    code: ClassVar[str] = "InternalFailure"
    status: ClassVar[int] = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.over_limit = False
        """True when a request was refused because it broke a limit of requests, not for another mistake in it."""


class _RequestError(KinesisError):
    status = 400


class ResourceNotFoundException(_RequestError):
    code = "ResourceNotFoundException"


class ResourceInUseException(_RequestError):
    code = "ResourceInUseException"


class InvalidArgumentException(_RequestError):
    code = "InvalidArgumentException"


class ValidationException(_RequestError):
    code = "ValidationException"


class LimitExceededException(_RequestError):
    code = "LimitExceededException"


class ProvisionedThroughputExceededException(_RequestError):
    code = "ProvisionedThroughputExceededException"


class ExpiredIteratorException(_RequestError):
    code = "ExpiredIteratorException"


class ExpiredNextTokenException(_RequestError):
    code = "ExpiredNextTokenException"


class DryRunOperationException(_RequestError):
    code = "DryRunOperationException"


class SerializationException(_RequestError):
    code = "SerializationException"


class UnknownOperationException(_RequestError):
    code = "UnknownOperationException"


class MissingAuthenticationTokenException(_RequestError):
    code = "MissingAuthenticationTokenException"


class RequestEntityTooLargeException(_RequestError):
    code = "RequestEntityTooLargeException"
    status = 413


def constraint_broken(value: object, member: str, must: str) -> ValidationException:
    """A ValidationException worded as the service words a broken constraint of its interface."""
    shown = "null" if value is None else f"'{value}'"
    return ValidationException(
        f"1 validation error detected: Value {shown} at '{member}' failed to satisfy constraint: Member must {must}"
    )


class ServiceUnavailable(KinesisError):
    code = "ServiceUnavailable"
    status = 503


Error = TypeVar("Error", bound=KinesisError)


def over_limit(error: Error) -> Error:
    """The error, marked as one for a broken limit of requests."""
    error.over_limit = True
    return error
