"""What a planted bug is."""

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Mutant:
    """`old` stands once in the file `path` under `bridge/`, and `new` takes its place. `seed` catches it."""

    name: str
    law: str
    path: str
    old: str
    new: str
    seed: int = -1
