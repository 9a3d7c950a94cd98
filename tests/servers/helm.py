"""Helm, built from its Go module: it lints the chart and renders it. It needs no cluster and is no server."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.servers.process import ROOT

TOOLS = ROOT / ".tools" / "helm"
CHART = ROOT / "helm" / "bridge"
RELEASE = "orders"
SECONDS = 60.0


def missing_for_helm() -> str | None:
    """Why Helm cannot run here; None when it can."""
    return None if (TOOLS / ".ready").exists() else "Helm is not built: make .tools/helm/.ready"


class _Quoting(yaml.SafeDumper):
    """Puts every text into quotes: what YAML 1.1 makes of others is the business of who writes a file of values."""


_Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


class HelmError(Exception):
    """Helm refused; the message is what it said."""


class Helm:
    """Runs the program with a home of its own, so that nothing of the machine's settings or clusters reaches it."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._environment = {"PATH": os.defpath, "HOME": str(home)}

    def lint(self, values: Path) -> None:
        """Raises HelmError; a warning is enough."""
        self._run("lint", "--strict", "--quiet", str(CHART), "--values", str(values))

    def render(self, *values: Path | Mapping[str, Any], chart: Path = CHART, release: str = RELEASE) -> list[dict[str, Any]]:
        """The manifests, with these values, the last first. Raises HelmError."""
        arguments = [argument for value in values for argument in ("--values", str(self._file(value)))]
        text = self._run("template", release, str(chart), "--namespace", "bridges", *arguments)
        return [document for document in yaml.safe_load_all(text) if document]

    def _file(self, values: Path | Mapping[str, Any]) -> Path:
        if isinstance(values, Path):
            return values
        file = self._home / "values.yaml"
        file.write_text(yaml.dump(dict(values), Dumper=_Quoting))
        return file

    def _run(self, *arguments: str) -> str:
        command = [str(TOOLS / "helm"), *arguments]
        result = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL
        )
        if result.returncode != 0:
            raise HelmError(result.stdout + result.stderr)
        return result.stdout
