"""Whether the figures are what the scenario asks for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from loadtest.figures import FIGURES, Figures, shown
from loadtest.scenario import Limit


@dataclass(frozen=True, slots=True)
class Verdict:
    """`holds` is None where the figure could not be measured, such as the service's own counts on AWS."""

    figure: str
    limit: Limit
    value: float | None
    holds: bool | None

    def text(self) -> str:
        """One line for people."""
        word = {True: "holds", False: "DOES NOT HOLD", None: "not measured"}[self.holds]
        relation = f">= {self.limit.min:g}" if self.limit.min is not None else f"<= {self.limit.max:g}"
        value = "" if self.value is None else f": {shown(self.figure, self.value)}"
        return f"{word}: {FIGURES[self.figure].text} {relation}{value}"


def judge(limits: Mapping[str, Limit], figures: Figures) -> list[Verdict]:
    """One verdict for each limit."""
    return [_judged(name, limit, figures.get(name)) for name, limit in limits.items()]


def passed(verdicts: list[Verdict]) -> bool:
    """No verdict fails; one that could not be measured does not."""
    return all(verdict.holds is not False for verdict in verdicts)


def _judged(name: str, limit: Limit, value: float | None) -> Verdict:
    holds = None
    if value is not None:
        # A value that is no number is outside every limit.
        holds = value >= limit.min if limit.min is not None else limit.max is not None and value <= limit.max
    return Verdict(name, limit, value, holds)
