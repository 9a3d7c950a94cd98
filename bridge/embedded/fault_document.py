"""The JSON document that asks for faults.

    {"seed": 7, "faults": [{"kind": "record_throttled", "stream": "orders", "probability": 0.05},
                           {"kind": "split", "stream": "orders", "after_calls": 100}]}

`fault_kinds` has the kinds and their members. A document is taken as a whole or refused as a whole.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from bridge.embedded.fault_kinds import KINDS, AnyFault

FAULTS_MAX = 100
"""Faults in one document."""

_SHOWN_MAX = 60


class FaultDocumentError(ValueError):
    """What was given is no such document; `problems` are all that is wrong, each with where it stands."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class FaultDocument(BaseModel):
    """`seed`: with it the same calls meet the same faults. What a fault hits follows from the seed and from what it is for (kind,
    stream, shard, operation), not from the others."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    seed: int = 0
    faults: list[Annotated[AnyFault, Field(discriminator="kind")]] = Field(default=[], max_length=FAULTS_MAX)


def read_document(document: Mapping[str, Any] | bytes) -> FaultDocument:
    """The document from JSON or from what JSON decodes to; raises FaultDocumentError."""
    try:
        if isinstance(document, bytes):
            return FaultDocument.model_validate_json(document)
        return FaultDocument.model_validate(document)
    except ValidationError as error:
        raise FaultDocumentError([_problem(details) for details in error.errors(include_url=False)]) from None


def _problem(details: ErrorDetails) -> str:
    place = [str(part) for part in details["loc"]]
    known = list(FaultDocument.model_fields)
    if place[:1] == ["faults"] and len(place) > 2:
        known = list(KINDS[place[2]].model_fields)
        del place[2]
    where = ".".join(place) or "document"
    shown = repr(details["input"])
    value = shown if len(shown) <= _SHOWN_MAX else f"{shown[:_SHOWN_MAX]}..."
    match details["type"]:
        case "extra_forbidden":
            return f"{where}: {value}: this member is not known; known are {', '.join(known)}"
        case "missing":
            return f"{where}: is missing; give it"
        case "union_tag_not_found":
            return f"{where}.kind: is missing; give one of {', '.join(KINDS)}"
        case "union_tag_invalid":
            return f"{where}.kind: {details['ctx']['tag']!r}: no such kind; give one of {', '.join(KINDS)}"
        case "value_error":
            return f"{where}: {details['ctx']['error']}" if len(place) == 2 else f"{where}: {value}: {details['ctx']['error']}"
        case _:
            return f"{where}: {value}: {details['msg'][:1].lower()}{details['msg'][1:]}"
