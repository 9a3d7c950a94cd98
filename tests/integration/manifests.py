"""What the tests of the chart read in rendered manifests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from bridge.app.settings import Settings, load_settings
from tests.consistency.chart import CHART, read
from tests.servers.helm import Helm

MINIMAL = CHART / "ci" / "minimal-values.yaml"
FULL = CHART / "ci" / "full-values.yaml"

Manifest = dict[str, Any]


def one(manifests: list[Manifest], kind: str) -> Manifest:
    found = [manifest for manifest in manifests if manifest["kind"] == kind]
    assert len(found) == 1, f"{kind}: {len(found)}"
    return found[0]


def kinds(manifests: list[Manifest]) -> list[str]:
    return sorted(manifest["kind"] for manifest in manifests)


def pod(manifests: list[Manifest]) -> Manifest:
    spec: Manifest = one(manifests, "Deployment")["spec"]["template"]["spec"]
    return spec


def container(manifests: list[Manifest]) -> Manifest:
    (found,) = pod(manifests)["containers"]
    return cast(Manifest, found)


def bridge_yaml(manifests: list[Manifest], folder: Path) -> Path:
    file = folder / "bridge.yaml"
    file.write_text(one(manifests, "ConfigMap")["data"]["bridge.yaml"])
    return file


def variables(manifests: list[Manifest]) -> dict[str, str]:
    """Of the container; a text stands for what Kubernetes puts in."""
    return {variable["name"]: variable.get("value", "out of a secret") for variable in container(manifests).get("env", [])}


def loaded(text: str, folder: Path, environment: Mapping[str, str] | None = None) -> Settings:
    file = folder / "written.yaml"
    file.write_text(text)
    return load_settings(file, environment or {})


def with_config(helm: Helm, change: Mapping[str, Any], **others: Any) -> list[Manifest]:
    """The minimal example; `change` has paths in `config`, such as `kafka.session_timeout`."""
    content = read(MINIMAL.read_text())
    for path, value in change.items():
        *groups, key = path.split(".")
        inner = content["config"]
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[key] = value
    return helm.render({**content, **others})
