"""Reads a Dockerfile and a .dockerignore as an image builder does, for the tests of the container image."""

import json
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any


@dataclass(frozen=True)
class Instruction:
    """One instruction, its lines joined; `stage` counts the FROM before it, 0 for what stands above the first."""

    name: str
    text: str
    stage: int

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)


def instructions(text: str) -> list[Instruction]:
    """In their order, without comments."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found: list[Instruction] = []
    stage = 0
    for joined in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        name, _, rest = joined.partition(" ")
        stage += name == "FROM"
        found.append(Instruction(name, rest.strip(), stage))
    return found


def copied(instruction: Instruction) -> tuple[list[str], str] | None:
    """Sources and target of a COPY out of the build context; None where it copies from another stage."""
    words = instruction.words
    if any(word.startswith("--from=") for word in words):
        return None
    paths = [word for word in words if not word.startswith("--")]
    return paths[:-1], paths[-1]


class Ignore:
    """A .dockerignore: the last pattern that matches a path, or a folder above it, decides."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        self._rules = [(line.startswith("!"), _compiled(line.removeprefix("!").strip("/"))) for line in lines]

    def excludes(self, path: str) -> bool:
        """`path` is relative to the build context."""
        parts = PurePosixPath(path).parts
        above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        excluded = False
        for readmits, pattern in self._rules:
            if any(pattern.fullmatch(name) for name in above):
                excluded = not readmits
        return excluded


def _compiled(pattern: str) -> re.Pattern[str]:
    """As Go's filepath.Match, and `**` for any number of folders."""
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(piece, re.escape(piece)) for piece in pieces))


def context(root: Path, ignore: Ignore) -> Iterator[str]:
    """Every file that a builder would be sent, relative to `root`. Folders that are left out at the top are not searched."""
    for folder, folders, files in os.walk(root):
        here = Path(folder).relative_to(root)
        if here == Path():
            folders[:] = [name for name in folders if not ignore.excludes(name)]
        for name in files:
            path = (here / name).as_posix()
            if not ignore.excludes(path):
                yield path


# -- this repository's


ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOCKERFILE = ROOT / "Dockerfile"
ALL = instructions(DOCKERFILE.read_text())
FINAL = [instruction for instruction in ALL if instruction.stage == ALL[-1].stage]
IGNORE = Ignore((ROOT / ".dockerignore").read_text())


def one(name: str) -> Instruction:
    """The only instruction of this name in the final stage."""
    found = [instruction for instruction in FINAL if instruction.name == name]
    assert len(found) == 1, f"{name}: {len(found)} times"
    return found[0]


def environment_of_the_image() -> dict[str, str]:
    return dict(word.split("=", 1) for word in one("ENV").words)


def exec_form(name: str) -> list[str]:
    """The list in an instruction that may have options and, as HEALTHCHECK does, a CMD before it."""
    found = json.loads(re.sub(r"^[^\[]*", "", one(name).text))
    assert isinstance(found, list), name
    return found


def run_commands() -> list[list[str]]:
    """The commands of each RUN."""
    return [[part.strip() for part in step.text.split("&&")] for step in ALL if step.name == "RUN"]
