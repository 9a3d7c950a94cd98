"""The layers hold, and each contract of pyproject.toml would notice a breach of it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"

BREACHES = [
    ("core/quotas.py", "import bridge.ports", "Each layer knows only those below it"),
    ("ports.py", "import bridge.app.settings", "Each layer knows only those below it"),
    ("adapters/system_clock.py", "import bridge.app.settings", "Each layer knows only those below it"),
    ("app/settings/units.py", "import bridge.adapters.system_clock", "Each layer knows only those below it"),
    ("stray.py", "", "Each layer knows only those below it"),
    ("core/quotas.py", "import time", "The core and the ports take time, chance and the outside world as arguments"),
    ("ports.py", "import asyncio", "The core and the ports take time, chance and the outside world as arguments"),
    ("app/settings/units.py", "import confluent_kafka", "The application reaches outside systems through ports only"),
    ("adapters/system_clock.py", "import bridge.adapters.kafka.admin", "Adapters of different systems do not know each other"),
    ("cli/options.py", "import bridge.adapters.system_clock", "Only the composition root makes adapters"),
    ("cli/options.py", "import bridge.embedded.stream", "Only the composition root and the demo start embedded servers"),
    ("core/errors.py", "import bridge.core.delivery.mapping", "No cycles between neighbours"),
]


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own, so that `bridge` is the package below `root`."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-c", LINT], cwd=root, env=environment, capture_output=True, text=True, check=False)


def test_the_layers_hold() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("module", "line", "contract"), BREACHES)
def test_a_breach_is_noticed(tmp_path: Path, module: str, line: str, contract: str) -> None:
    shutil.copytree(ROOT / "bridge", tmp_path / "bridge", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "bridge" / module).open("a") as file:
        file.write(f"\n{line}\n")
    result = lint(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{contract} BROKEN" in result.stdout
