"""ARCHITECTURE.md says what the embedded Kinesis does as an instrument, and where it differs from kinesalite.

`python -m tests.consistency.test_instrument_documents` writes the generated tables anew.
"""

import json
import re
from pathlib import Path

import pytest

from bridge.embedded.control_endpoint import FAULTS_PATH, STATISTICS_PATH
from bridge.embedded.fault_kinds import KINDS, CallFault, Fault, RecordFault
from tests.contract.kinesis_differences import ANSWERED, DIFFERENCES

ROOT = Path(__file__).parents[2]
ARCHITECTURE = ROOT / "ARCHITECTURE.md"
MADE_BY = "(made by `python -m tests.consistency.test_instrument_documents`)"


def marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin {MADE_BY} -->", f"<!-- {name}: end -->"


def own_members(model: type[Fault]) -> str:
    """Members that a kind has beside those of all its like, each with its default."""
    common = CallFault if issubclass(model, CallFault) else Fault
    shown = []
    for name, field in model.model_fields.items():
        if name == "kind" or name in common.model_fields:
            continue
        default = "" if field.is_required() or field.default is None else f" = {json.dumps(field.default)}"
        shown.append(f"`{name}`{default}" + (" (required)" if field.is_required() else ""))
    return ", ".join(shown)


def hits(model: type[Fault]) -> str:
    if issubclass(model, RecordFault):
        return "records"
    return "calls" if issubclass(model, CallFault) else "shards"


def fault_kinds_table() -> str:
    rows = [
        f"| `{kind}` | {hits(model)} | {own_members(model)} | {' '.join((model.__doc__ or '').split())} |"
        for kind, model in KINDS.items()
    ]
    return "\n".join(["| kind of fault | hits | members of its own | what happens |", "|---|---|---|---|", *rows])


def differences_table() -> str:
    rows = []
    for name, (kinesalite, reason) in DIFFERENCES.items():
        does = kinesalite
        if not name.startswith("test_"):
            does = "answers it" if kinesalite == ANSWERED else f"refuses it with `{kinesalite}`"
        rows.append(f"| `{name}` | {does} | {reason} |")
    return "\n".join(["| call or test | kinesalite | why the embedded Kinesis does not |", "|---|---|---|", *rows])


TABLES = {"fault kinds": fault_kinds_table, "kinesis differences": differences_table}


@pytest.mark.parametrize("name", TABLES)
def test_a_generated_table_is_what_the_code_says(name: str) -> None:
    text = ARCHITECTURE.read_text()
    begin, end = marks(name)
    assert text.count(begin) == text.count(end) == 1
    table = text.partition(begin)[2].partition(end)[0].strip()
    assert table == TABLES[name](), "run: python -m tests.consistency.test_instrument_documents"


def test_every_kind_says_what_happens() -> None:
    assert all(model.__doc__ and model.__doc__ != Fault.__doc__ for model in KINDS.values())


def test_the_control_endpoints_and_the_common_members_are_named() -> None:
    text = ARCHITECTURE.read_text()
    assert set(re.findall(r"/_control/\w+", text)) == {FAULTS_PATH, STATISTICS_PATH}
    for member in CallFault.model_fields:
        assert f"`{member}`" in text, member


if __name__ == "__main__":
    text = ARCHITECTURE.read_text()
    for name, table in TABLES.items():
        begin, end = marks(name)
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{table()}\n{end}{rest.partition(end)[2]}"
    ARCHITECTURE.write_text(text)
