"""Rules of the house that no linter has: sizes, calls with a better replacement, and what must not be in a tracked file."""

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 70
ARGUMENTS_MAX = 7

PACKAGE = sorted(ROOT.glob("bridge/**/*.py"))
SOURCES = [*PACKAGE, *sorted(ROOT.glob("loadtest/**/*.py"))]

READS_A_CLOCK = ("adapters", "embedded", "demo", "cli")
CLOCK = "take `now` as an argument, or ask the port Clock: a test must be able to move time"
BANNED_CALLS: dict[str, tuple[str, tuple[str, ...]]] = {
    "time.time": (CLOCK, READS_A_CLOCK),
    "time.time_ns": (CLOCK, READS_A_CLOCK),
    "time.monotonic": (CLOCK, READS_A_CLOCK),
    "time.monotonic_ns": (CLOCK, READS_A_CLOCK),
    "time.perf_counter": (CLOCK, READS_A_CLOCK),
    "datetime.now": (CLOCK, READS_A_CLOCK),
    "datetime.datetime.now": (CLOCK, READS_A_CLOCK),
    "datetime.utcnow": (CLOCK, ()),
    "asyncio.create_task": ("use create_task of an asyncio.TaskGroup: a task that fails must not fail unseen", ()),
    "asyncio.ensure_future": ("use create_task of an asyncio.TaskGroup: a task that fails must not fail unseen", ()),
    "asyncio.get_event_loop": ("use asyncio.get_running_loop()", ()),
    "print": ("log an event through Telemetry; commands print with typer.echo", ("cli",)),
}
"""Dotted name -> (what to do instead, folders of bridge/ where it is allowed)."""

Findings = Iterator[tuple[int, str]]


def folder_of(file: Path) -> str:
    """The layer: `core` of bridge/core/delivery/mapping.py."""
    return file.relative_to(ROOT / "bridge").parts[0]


def dotted(node: ast.expr) -> str:
    """`asyncio.Queue` of the expression; the empty text where it is no plain name."""
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return node.id if isinstance(node, ast.Name) else ""


def long_functions(tree: ast.AST) -> Findings:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield node.lineno, f"{node.name} has {lines} lines: split it by what it decides (at most {FUNCTION_LINES_MAX})"


def many_arguments(tree: ast.AST) -> Findings:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            count = len([argument for argument in every if argument.arg not in ("self", "cls")])
            if count > ARGUMENTS_MAX:
                yield node.lineno, f"{node.name} takes {count} arguments: pass one frozen value (at most {ARGUMENTS_MAX})"


def banned_names(tree: ast.AST, folder: str) -> Findings:
    """Also where a banned function is handed over without being called, or imported by its name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            yield from _banned(dotted(node), folder, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield from _banned(f"{node.module}.{alias.name}", folder, node.lineno)


def _banned(name: str, folder: str, line: int) -> Findings:
    remedy, allowed = BANNED_CALLS.get(name, ("", (folder,)))
    if folder not in allowed:
        yield line, f"{name}: {remedy}"


def unbounded_queues(tree: ast.AST) -> Findings:
    queues = ("Queue", "asyncio.Queue", "queue.Queue", "asyncio.LifoQueue", "asyncio.PriorityQueue", "queue.SimpleQueue")
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or node.args or node.keywords:
            continue
        name = dotted(node.func.value if isinstance(node.func, ast.Subscript) else node.func)
        if name in queues:
            yield node.lineno, f"{name}(): give it a size, or say that it needs none by collections.deque"


def swallowed_errors(tree: ast.AST) -> Findings:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and all(isinstance(line, ast.Pass) for line in node.body):
            yield node.lineno, "except: pass: handle the error, or write contextlib.suppress with a comment that says why"


def unfinished(tree: ast.AST) -> Findings:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "NotImplementedError":
            yield node.lineno, "NotImplementedError: finish it, leave it out, or make it a Protocol"


CHECKS: list[Callable[[ast.AST], Findings]] = [long_functions, many_arguments, unbounded_queues, swallowed_errors, unfinished]


def findings(source: str, folder: str) -> list[str]:
    tree = ast.parse(source)
    found = [*banned_names(tree, folder), *(finding for check in CHECKS for finding in check(tree))]
    return [f"line {line}: {text}" for line, text in sorted(set(found))]


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_are_short(file: Path) -> None:
    lines = len(file.read_text().splitlines())
    assert lines <= FILE_LINES_MAX, f"{lines} lines: split it by what a reader looks for (at most {FILE_LINES_MAX})"


@pytest.mark.parametrize("file", PACKAGE, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_package_keeps_the_rules(file: Path) -> None:
    assert findings(file.read_text(), folder_of(file)) == []


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_are_named_for_what_they_hold(file: Path) -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "manager"} & set(
        file.relative_to(ROOT).with_suffix("").parts
    )
    assert not vague, "name it after the thing or the action that it holds"


# What must not be in any tracked text: built of pieces, so that this file passes its own test.
FORBIDDEN_TEXT = {
    r"(?<![\w.$})~*/-])/(home|Users|root|work)"
    + r"/[\w.-]+": "an absolute path of one machine: write it relative to the repository",
    r"https?"
    + r"://[^\s\"'<>)]+\.(tgz|tar\.gz|tar\.xz|zip|whl|jar|rpm|deb)\b": "a download address: name the package and its version",
    r"(files\.python" + r"hosted|registry\.npm" + r"js|registry\.yarn" + r"pkg|repo1\.maven|repo\.maven\.apache)\.(org|com)": (
        "the host of a registry: name the package, the client knows its registry"
    ),
    r"--(extra-)?index" + r"-url|--find" + r"-links": "the address of a registry: the client's own configuration has it",
}


def tracked_texts() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        files = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:  # an unpacked archive: what begins with a dot, such as a virtual environment, is not of the repository
        files = [file for file in ROOT.rglob("*") if not any(part[0] == "." for part in file.relative_to(ROOT).parts)]
    return [file for file in files if file.is_file() and b"\0" not in file.read_bytes()[:8192]]


def forbidden(text: str) -> list[str]:
    found = [(match.start(), remedy) for pattern, remedy in FORBIDDEN_TEXT.items() for match in re.finditer(pattern, text)]
    return [f"line {text.count(chr(10), 0, position) + 1}: {remedy}" for position, remedy in sorted(found)]


def test_no_tracked_file_depends_on_one_machine_or_on_an_address() -> None:
    found = {str(file.relative_to(ROOT)): forbidden(file.read_text(errors="replace")) for file in tracked_texts()}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_npm_locks_name_no_download_addresses() -> None:
    locks = [file for file in tracked_texts() if file.name in ("package-lock.json", "npm-shrinkwrap.json")]
    assert [str(lock.relative_to(ROOT)) for lock in locks if '"resolved"' in lock.read_text()] == [], (
        "run npm with omit-lockfile-registry-resolved"
    )


# The checks themselves.


@pytest.mark.parametrize(
    ("source", "folder"),
    [
        ("import time\nnow = time.time()", "core"),
        ("import time\nclock = time.monotonic", "app"),
        ("from time import monotonic", "app"),
        ("from datetime import datetime\ndatetime.now()", "bootstrap.py"),
        ("import asyncio\nasyncio.create_task(work())", "adapters"),
        ("import asyncio\nasyncio.Queue()", "app"),
        ("import asyncio\nqueue = asyncio.Queue[int]()", "app"),
        ("print('x')", "app"),
        ("raise NotImplementedError", "core"),
        ("try:\n    work()\nexcept ValueError:\n    pass", "cli"),
        ("def f(a, b, c, d, e, f, *, g, h): ...", "core"),
        ("def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX, "core"),
    ],
)
def test_a_breach_is_noticed(source: str, folder: str) -> None:
    assert len(findings(source, folder)) == 1


@pytest.mark.parametrize(
    ("source", "folder"),
    [
        ("import time\nnow = time.time()", "adapters"),
        ("import asyncio\nasyncio.Queue(8)", "app"),
        ("import asyncio\nasyncio.Queue(maxsize=8)", "app"),
        ("group.create_task(work())", "app"),
        ("console.print('x')", "app"),
        ("class C:\n    def f(self, a, b, c, d, e, f, g): ...", "core"),
        ("def f():\n" + "    x = 1\n" * (FUNCTION_LINES_MAX - 1), "core"),
    ],
)
def test_what_is_allowed_passes(source: str, folder: str) -> None:
    assert findings(source, folder) == []


@pytest.mark.parametrize(
    "text",
    [
        "cd /" + "home/someone/bridge",
        "https" + "://example.net/a/b-1.0.tgz",
        "https" + "://files.python" + "hosted.org/x",
        "pip install --index" + "-url x",
    ],
)
def test_a_forbidden_text_is_noticed(text: str) -> None:
    assert len(forbidden(f"first line\n{text}\n")) == 1


@pytest.mark.parametrize(
    "text",
    ["/livez and /metrics", "bridge/app/settings", "https" + "://example.net/page", "~/wo" + "rk/x", "$(CURDIR)/wo" + "rk/x"],
)
def test_an_ordinary_text_passes(text: str) -> None:
    assert forbidden(text) == []
