"""What every group of settings shares, and the plain value types of their fields."""

import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from bridge.app.settings.units import refuse


class Section(BaseModel):
    """A group of keys: frozen, and an unknown key is an error."""

    # Defaults stand in the models as a user would write them (`20ms`), so they are parsed like any other value.
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False, hide_input_in_errors=True)

    environment_only: ClassVar[frozenset[str]] = frozenset()
    """Secrets that only an environment variable may set: they are no keys of the file."""

    @classmethod
    def file_keys(cls) -> list[str]:
        """The keys that the file may have."""
        return [name for name in cls.model_fields if name not in cls.environment_only]


def written(text: str) -> Any:  # noqa: ANN401 - what type it becomes is the field's business
    """A default as a user would write it; `validate_default` parses it, and the JSON Schema shows it so."""
    return text


def _refuse_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise refuse("write a number")
    return value


def matching(pattern: str, remedy: str) -> Callable[[str], str]:
    """A validator for texts; the remedy says what the pattern means."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise refuse(remedy)
        return value

    return check


# YAML's true would otherwise count as 1.
WholeNumber = Annotated[int, BeforeValidator(_refuse_boolean)]
Share = Annotated[float, BeforeValidator(_refuse_boolean)]

_NAME = r"[a-z0-9-]{1,200}"
# 200 leaves room for the longest suffix of an internal topic within Kafka's 249 characters.
BridgeName = Annotated[
    str,
    AfterValidator(matching(_NAME, "write 1 to 200 characters out of a-z, 0-9 and -")),
    WithJsonSchema({"type": "string", "pattern": f"^{_NAME}$"}),
]

_FILLED = r"\S(.*\S)?"
FilledText = Annotated[
    str,
    AfterValidator(matching(_FILLED, "write a text that is not empty and has no blanks around it")),
    WithJsonSchema({"type": "string", "pattern": f"^{_FILLED}$"}),
]
