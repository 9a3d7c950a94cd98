"""What is wrong with a configuration, told to the person who wrote it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

MISSING = "(missing)"

_SHOWN_CHARACTERS = 120


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to change: where it stands, what stands there (secrets masked), what to do."""

    path: str
    value: object
    remedy: str

    @property
    def value_text(self) -> str:
        """The value on one line, as it would stand in JSON; a text without its quotes."""
        if self.value == "":
            return "(empty)"
        text = self.value if isinstance(self.value, str) else json.dumps(self.value, ensure_ascii=False, default=str)
        return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."

    def __str__(self) -> str:
        return f"{self.path}: {self.value_text}: {self.remedy}"


class SettingsError(Exception):
    """The configuration cannot be used; `problems` has everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
