"""README.md, ARCHITECTURE.md and CHANGELOG.md say what the code says.

`python -m tests.consistency.test_documents` writes the generated part of README.md anew: the table of metrics.
"""

import ast
import importlib
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

from bridge import __version__
from bridge.app.jobs.translate import Finding
from bridge.app.settings import load_settings
from bridge.app.telemetry import CATALOGUE, Event
from bridge.cli import app
from bridge.cli.options import ExitStatus
from bridge.core.delivery.aggregate_tags import Origin, TagColumns, decode_tag, encode_tag
from bridge.core.delivery.aggregation import encode_aggregate
from bridge.core.delivery.dead_letters import origin_of, parked_message, replayed_message
from bridge.core.delivery.deaggregation import decode_aggregate
from bridge.core.delivery.halts import HALTS
from bridge.core.delivery.partition_keys import (
    BASE64_MARKER,
    HASH_MARKER,
    KeyTooLongError,
    decode_key,
    encode_key,
    hash_key,
    hashed_key,
)
from bridge.core.quotas import PARTITION_KEY_CHARACTERS_MAX
from bridge.core.records import DeadLetter, Outcome, Partition

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
ARCHITECTURE = ROOT / "ARCHITECTURE.md"
CHANGELOG = ROOT / "CHANGELOG.md"
DOCUMENTS = [README, ARCHITECTURE, CHANGELOG]
PACKAGE = sorted(ROOT.glob("bridge/**/*.py"))
TELEMETRY = ROOT / "bridge" / "app" / "telemetry.py"

METRICS = ("<!-- metrics: begin (made by `python -m tests.consistency.test_documents`) -->", "<!-- metrics: end -->")
HALT_MARKS = ("<!-- halts: begin (made by the same command) -->", "<!-- halts: end -->")
AGGREGATE = ("<!-- aggregate vector: begin -->", "<!-- aggregate vector: end -->")
VECTORS = ("<!-- codec vectors: begin -->", "<!-- codec vectors: end -->")
IMPORTS = ("<!-- imports: begin -->", "<!-- imports: end -->")

NO_FILES = {"topic/partition/offset", "1/replicas"}
"""Texts with a slash that name no file."""

Row = tuple[str, ...]


# -- reading the documents


def between(document: Path, marks: tuple[str, str]) -> str:
    text = document.read_text()
    assert text.count(marks[0]) == text.count(marks[1]) == 1, marks
    return text.partition(marks[0])[2].partition(marks[1])[0].strip()


def tables(text: str) -> Iterator[list[Row]]:
    """Every table with its head as the first row, without the line below it."""
    table: list[Row] = []
    for line in [*text.splitlines(), ""]:
        if line.strip().startswith("|"):
            cells = tuple(cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1])
            if not re.fullmatch(r"[-: ]+", "".join(cells)):
                table.append(cells)
        elif table:
            yield table
            table = []


def table(document: Path, head: str) -> list[Row]:
    """The rows of the one table whose first column has this head."""
    found = [rows[1:] for rows in tables(document.read_text()) if rows[0][0] == head]
    assert len(found) == 1, f"{document.name} has {len(found)} tables that begin with {head!r}"
    return found[0]


def column(document: Path, head: str) -> list[str]:
    """The first column of that table, without backticks."""
    return [row[0].strip("`") for row in table(document, head)]


def fenced(document: Path, language: str) -> list[str]:
    """Blocks of code in one language, without their indentation."""
    blocks = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in blocks]


def prose(document: Path) -> str:
    """The text without blocks of code."""
    return re.sub(r"^ *```.*?^ *```$", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)


# -- reading the code


def calls(name: str, files: list[Path] | None = None) -> Iterator[ast.Call]:
    """Calls of a function or method of this name."""
    for file in files or PACKAGE:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and name in (getattr(node.func, "attr", None), getattr(node.func, "id", None)):
                yield node


def text_of(node: ast.AST) -> str:
    """The constant text that a node is; empty for anything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def texts(node: ast.AST) -> set[str]:
    """The constant texts below a node."""
    return {text_of(inner) for inner in ast.walk(node)}


def emitted_events() -> set[str]:
    """Second arguments of `log(level, event, ...)`; an event that is no constant would be one that nothing can check."""
    found = set()
    for call in calls("log"):
        if len(call.args) == 2:
            assert text_of(call.args[1]), ast.unparse(call)
            found.add(text_of(call.args[1]))
    return found


def metric_names_used() -> set[str]:
    """Names in the package that look like metrics and are no events, outside the catalogue."""
    constants = set().union(*(texts(ast.parse(file.read_text())) for file in PACKAGE if file != TELEMETRY))
    names = {name for text in constants for name in re.findall(r"\bbridge_[a-z0-9_]+", text)}
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names} - set(get_args(Event))


def halt_reasons() -> set[str]:
    """Constants that the code gives as a reason for a halt."""
    places = {"Fault": 1, "_FaultyRow": 0, "Halt": 0, "PartitionFailed": 1}
    reasons = [call.args[place] for name, place in places.items() for call in calls(name) if len(call.args) > place]
    return {text_of(reason) for reason in reasons} - {""}


def command_names(group: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from command_names(command, (*path, name))
        else:
            yield " ".join(("bridge", *path, name))


def make_targets() -> list[str]:
    return re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


# -- metrics and events


def metrics_table() -> str:
    rows = [
        f"| `{spec.name}` | {spec.kind} | {', '.join(f'`{label}`' for label in spec.labels)} | {spec.help} |"
        for spec in CATALOGUE
    ]
    return "\n".join(["| metric | kind | labels | meaning |", "|---|---|---|---|", *rows])


def test_the_table_of_metrics_is_the_catalogue() -> None:
    assert between(README, METRICS) == metrics_table(), "run: python -m tests.consistency.test_documents"


def test_every_metric_is_in_the_catalogue_and_fed_somewhere() -> None:
    assert metric_names_used() == {spec.name for spec in CATALOGUE}


def test_metrics_in_the_documents_exist() -> None:
    known = {spec.name for spec in CATALOGUE} | set(get_args(Event))
    for document in DOCUMENTS:
        assert set(re.findall(r"\bbridge_[a-z0-9_]+", document.read_text())) <= known, document.name


def test_every_event_is_emitted_and_every_emitted_one_is_known() -> None:
    assert emitted_events() == set(get_args(Event))


def test_the_table_of_events_is_complete() -> None:
    assert sorted(column(README, "event")) == sorted(get_args(Event))


def test_the_fields_of_events_are_those_that_are_logged() -> None:
    logged: dict[str, set[str]] = {event: set() for event in get_args(Event)}
    for call in calls("log"):
        if len(call.args) == 2:
            logged[text_of(call.args[1])] |= {keyword.arg for keyword in call.keywords if keyword.arg}
    documented = {row[0].strip("`"): set(re.findall(r"`([a-z_]+)`", row[2])) for row in table(README, "event")}
    assert documented == logged


# -- commands, targets, endpoints


def test_every_command_is_in_the_table_and_the_reverse() -> None:
    assert sorted(row[0].strip("`") for row in table_of_commands()) == sorted(command_names(typer.main.get_command(app)))


def test_options_in_the_table_of_commands_exist() -> None:
    root: Any = typer.main.get_command(app)
    for row in table_of_commands():
        command = root
        for part in row[0].strip("`").split()[1:]:
            command = command.commands[part]
        options = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", row[1])) <= options, row[0]


def table_of_commands() -> list[Row]:
    return next(rows[1:] for rows in tables(README.read_text()) if rows[0] == ("command", "does", "exit statuses"))


def test_exit_statuses_are_those_of_the_code() -> None:
    assert [int(status) for status in column(README, "exit status")] == sorted(ExitStatus)
    for row in table_of_commands():
        assert {int(status) for status in row[2].split(",")} <= set(ExitStatus), row[0]


def test_every_make_target_is_in_the_table_and_the_reverse() -> None:
    assert sorted(column(README, "target")) == sorted(f"make {target}" for target in make_targets())


def test_make_targets_in_the_documents_exist() -> None:
    for document in DOCUMENTS:
        named = set(re.findall(r"`make ([a-z-]+)`", document.read_text()))
        assert named <= set(make_targets()), document.name


def test_every_endpoint_is_in_the_table_and_the_reverse() -> None:
    served = {f"GET {path}" for call in calls("get") if (path := text_of(call.args[0])).startswith("/")}
    assert set(column(README, "endpoint")) == served


# -- configuration


@pytest.mark.parametrize("block", fenced(README, "yaml"))
def test_yaml_in_the_readme_loads(block: str, tmp_path: Path) -> None:
    file = tmp_path / "bridge.yaml"
    file.write_text(block)
    assert load_settings(file, {}).name == "orders-move"


def test_there_is_yaml_in_the_readme() -> None:
    assert len(fenced(README, "yaml")) >= 2
    assert "```yaml" not in ARCHITECTURE.read_text()


def halts_table() -> str:
    rows = [f"| `{reason}` | {about.what} | {about.remedy} |" for reason, about in HALTS.items()]
    return "\n".join(["| reason | what happened | what to do |", "|---|---|---|", *rows])


def test_the_table_of_halts_is_the_catalogue() -> None:
    assert between(README, HALT_MARKS) == halts_table(), "run: python -m tests.consistency.test_documents"


def test_reasons_for_a_halt_are_in_the_catalogue() -> None:
    assert halt_reasons() <= set(HALTS)


# -- architecture


def key_of(cell: str) -> bytes:
    """`61` x 256, `c3a9`, or (empty)."""
    match = re.fullmatch(r"`([0-9a-f]+)`(?: x (\d+))?", cell)
    return bytes.fromhex(match[1]) * int(match[2] or 1) if match else {"(empty)": b""}[cell]


def vectors() -> list[Row]:
    return next(tables(between(ARCHITECTURE, VECTORS)))[1:]


@pytest.mark.parametrize("row", vectors(), ids=lambda row: row[0])
def test_the_codec_vectors_hold(row: Row) -> None:
    key, shown, place = key_of(row[0]), row[1], row[2].strip("`")
    if shown == "too long":
        with pytest.raises(KeyTooLongError):
            encode_key(key)
        return
    if shown.startswith(f"`{HASH_MARKER}"):
        with pytest.raises(KeyTooLongError):
            encode_key(key)
        assert shown == f"`{hashed_key(key)}`"
        assert place == f"{hash_key(hashed_key(key)):032x}"
        return
    partition_key = encode_key(key)
    if shown == "base64url":
        assert partition_key.startswith(BASE64_MARKER)
        assert len(partition_key) == PARTITION_KEY_CHARACTERS_MAX
    else:
        match = re.fullmatch(r"`([^`]+)`(?: x (\d+))?", shown)
        assert match
        assert partition_key == match[1] * int(match[2] or 1)
        assert place == f"{hash_key(partition_key):032x}" == md5(partition_key.encode()).hexdigest()
    assert decode_key(partition_key) == key


def test_the_aggregate_vector_holds() -> None:
    shown = {what: value.strip("`") for what, value in next(tables(between(ARCHITECTURE, AGGREGATE)))[1:]}
    keys, datas, offsets, times, nulls, headers = (
        json.loads(shown[what]) for what in ("partition keys", "data", "offsets", "timestamps", "rows of nulls", "headers")
    )
    of_rows = [tuple((name, text.encode()) for name, text in row) for row in headers]
    columns = TagColumns(offsets, times, nulls, of_rows)
    origin = Origin("orders-move", Partition("orders", 7))
    assert encode_tag(origin, columns) == shown["tag"]
    assert decode_tag(shown["tag"]) == (origin, columns)
    data = bytes.fromhex(shown["bytes"])
    assert encode_aggregate(keys, None, [text.encode() for text in datas], shown["tag"]) == data
    aggregate = decode_aggregate(data)
    assert aggregate is not None
    assert (aggregate.partition_keys, [text.decode() for text in aggregate.datas], aggregate.first_tag) == (
        keys,
        datas,
        shown["tag"],
    )


def test_headers_of_dead_letters_are_those_that_are_written() -> None:
    letter = DeadLetter(Partition("orders", 3), 17, 1, b"k", None, (), "tombstone", "null")
    written = [*parked_message(letter, "orders-move", 2).headers, *replayed_message(origin_of(letter), "orders-move", 3).headers]
    documented = re.findall(r"`(bridge-dlq-[a-z-]+)`", " ".join(row[0] for row in table(ARCHITECTURE, "header")))
    assert documented == list(dict(written))


def test_there_are_enough_codec_vectors() -> None:
    assert len(vectors()) >= 6


@pytest.mark.parametrize("row", table(ARCHITECTURE, "constant"), ids=lambda row: row[0].strip("`"))
def test_numbers_are_those_of_the_code(row: Row) -> None:
    module, _, name = row[0].strip("`").rpartition(".")
    assert getattr(importlib.import_module(module), name) == ast.literal_eval(row[1])


def test_outcome_classes_are_those_of_the_code() -> None:
    assert column(ARCHITECTURE, "class") == [outcome.name for outcome in Outcome]


def test_import_contracts_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = [contract["name"] for contract in project["tool"]["importlinter"]["contracts"]]
    assert column(ARCHITECTURE, "contract") == contracts


def test_libraries_are_those_that_the_package_imports() -> None:
    imported = set()
    for file in PACKAGE:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            imported |= {name.partition(".")[0] for name in names}
    rows = next(tables(between(ARCHITECTURE, IMPORTS)))[1:]
    assert {row[0].strip("`") for row in rows} == imported - set(sys.stdlib_module_names) - {"bridge"}


def test_the_example_of_commit_metadata_is_what_is_written() -> None:
    metadata = importlib.import_module("bridge.core.delivery.commit_metadata")
    example = re.search(r"`(\{\"v\".*?\})`", ARCHITECTURE.read_text())
    assert example
    assert metadata.encode(metadata.decode(example[1])) == example[1]
    assert [name.strip("`") for name in column(ARCHITECTURE, "field")] == list(json.loads(example[1]))


def test_every_tier_has_its_row() -> None:
    tiers = {folder.name for folder in (ROOT / "tests").iterdir() if any(folder.glob("**/test_*.py"))}
    assert set(column(ARCHITECTURE, "tier")) == tiers


def test_findings_are_those_of_the_code() -> None:
    assert column(README, "`finding`") == list(Finding)


# -- what the documents point to


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_files_that_are_named_exist(document: Path) -> None:
    named = set(re.findall(r"`([\w.][\w.-]*(?:/[\w.-]+)+/?|[\w.-]+/)`", prose(document))) - NO_FILES
    made = {name for name in named if name.startswith((".venv/", ".tools/"))}
    assert sorted(name for name in named - made if not (ROOT / name).exists()) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_somewhere(document: Path) -> None:
    headings = re.findall(r"^#+ (.*)$", prose(document), flags=re.MULTILINE)
    anchors = {"#" + re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)]+)\)", prose(document)):
        assert target in anchors if target.startswith("#") else (ROOT / target).exists(), target


def test_the_changelog_names_the_version() -> None:
    assert __version__ in CHANGELOG.read_text()
    assert __version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


# -- the checks themselves


def test_tables_are_found() -> None:
    text = "x\n\n| a | b |\n|---|---|\n| 1 | `x\\|y` |\n\n  | c |\n  |---|\n"
    assert list(tables(text)) == [[("a", "b"), ("1", "`x|y`")], [("c",)]]


def test_the_readers_of_the_code_find_what_is_there() -> None:
    assert {"tombstone", "rejected", "missing_field", "offset_out_of_range"} <= halt_reasons()
    assert {"bridge_started", "partition_halted"} <= emitted_events()
    assert "test" in make_targets()
    assert "bridge config check" in set(command_names(typer.main.get_command(app)))


if __name__ == "__main__":
    for (begin, end), made in ((METRICS, metrics_table()), (HALT_MARKS, halts_table())):
        before, _, rest = README.read_text().partition(begin)
        README.write_text(f"{before}{begin}\n{made}\n{end}{rest.partition(end)[2]}")
