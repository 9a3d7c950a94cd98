"""The chart as Helm renders it: valid Kubernetes, restricted pods, and no value without an effect."""

import copy
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.app.settings import load_settings
from tests.consistency.chart import CHART, EXAMPLES, at, read, values
from tests.integration.manifests import FULL, MINIMAL, Manifest, bridge_yaml, container, kinds, one, pod, with_config
from tests.servers.helm import Helm

kubernetes_validate: Any = importlib.import_module("kubernetes_validate")  # it has no types


# -- every example


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_lint_has_nothing_to_say(helm: Helm, file: Path):
    helm.lint(file)


def versions() -> list[str]:
    """The oldest Kubernetes that the chart takes, and the newest whose schemas are installed."""
    oldest = yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"].removeprefix(">=").removesuffix(".0-0")
    return [oldest, kubernetes_validate.latest_version()]


def kubernetes_problems(manifests: list[Manifest], version: str, folder: Path) -> str:
    """What Kubernetes's own schemas say; a kind that they do not have is a problem too."""
    file = folder / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(manifests))
    command = [sys.executable, "-m", "kubernetes_validate", "--strict", "--quiet", "-k", version, str(file)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return f"{result.stdout}{result.stderr}" or (f"exit status {result.returncode}" if result.returncode else "")


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_manifests_are_valid_kubernetes(helm: Helm, file: Path, version: str, tmp_path: Path):
    known = [manifest for manifest in helm.render(file) if manifest["kind"] != "PodMonitor"]
    assert "Deployment" in kinds(known)
    assert kubernetes_problems(known, version, tmp_path) == ""


def test_an_invalid_manifest_is_noticed(helm: Helm, tmp_path: Path):
    manifests = helm.render(MINIMAL)
    pod(manifests)["restartPolicies"] = "Always"
    assert "restartPolicies" in kubernetes_problems(manifests, versions()[-1], tmp_path)
    unknown = {"apiVersion": "v1", "kind": "Pods", "metadata": {"name": "a"}}
    assert "Pods" in kubernetes_problems([unknown], versions()[-1], tmp_path)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_pods_are_as_restricted_as_kubernetes_can_ask(helm: Helm, file: Path):
    """The rules of the Pod Security Standard `restricted`, and a root file system that cannot be written."""
    manifests = helm.render(file)
    spec, context = pod(manifests), container(manifests)["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert {next(key for key in volume if key != "name") for volume in spec["volumes"]} <= {"configMap", "secret", "emptyDir"}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_no_secret_is_rendered(helm: Helm, file: Path):
    manifests = helm.render(file)
    assert "Secret" not in kinds(manifests)
    for variable in container(manifests).get("env", []):
        assert "value" not in variable or "PASSWORD" not in variable["name"]


# -- every value does something

NEEDED: dict[str, dict[str, Any]] = {
    "image.tag": {"image.digest": ""},
    "podDisruptionBudget.create": {"replicas": 1},
    "serviceAccount.annotations": {"serviceAccount.create": True},
    "service.annotations": {"service.create": True},
}
"""Value -> others without which it has no effect in the full example."""


@pytest.mark.parametrize("path", [value.path for value in values() if value.path != "config"])
def test_every_value_has_an_effect(helm: Helm, path: str):
    """The full example with one value as it is by default."""
    content = read(FULL.read_text())
    for other, needed in NEEDED.get(path, {}).items():
        set_at(content, other, needed)
    changed = copy.deepcopy(content)
    set_at(changed, path, next(value.default for value in values() if value.path == path))
    assert helm.render(content) != helm.render(changed)


def set_at(content: Manifest, path: str, value: Any) -> None:
    groups, _, key = path.rpartition(".")
    (at(content, groups) if groups else content)[key] = value


def test_the_defaults_are_a_bridge_that_works(helm: Helm):
    manifests = helm.render(MINIMAL)
    assert kinds(manifests) == ["ConfigMap", "Deployment", "Service", "ServiceAccount"]
    assert one(manifests, "Deployment")["spec"]["replicas"] == 1
    assert (
        container(manifests)["image"]
        == f"kafka-kinesis-bridge:{at(yaml.safe_load((CHART / 'Chart.yaml').read_text()), 'appVersion')}"
    )
    assert {manifest["metadata"]["name"] for manifest in manifests} == {"orders-bridge"}
    assert pod(manifests)["serviceAccountName"] == "orders-bridge"


def test_a_release_that_is_called_bridge_is_not_called_so_twice(helm: Helm):
    assert one(helm.render(MINIMAL, release="bridge"), "Deployment")["metadata"]["name"] == "bridge"


def test_selectors_find_the_pods(helm: Helm):
    for file in EXAMPLES:
        manifests = helm.render(file)
        labels = one(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
        for manifest in manifests:
            selector = manifest.get("spec", {}).get("selector")
            if selector:
                assert selector.get("matchLabels", selector).items() <= labels.items(), manifest["kind"]


@pytest.mark.parametrize("given", [None, 9500])
def test_one_port_for_the_daemon_the_probes_and_the_scrapers(helm: Helm, given: int | None, tmp_path: Path):
    manifests = with_config(helm, {} if given is None else {"metrics.port": given}, podMonitor={"create": True})
    port = load_settings(bridge_yaml(manifests, tmp_path), {}).metrics.port
    assert container(manifests)["ports"] == [{"name": "metrics", "containerPort": port}]
    assert [(entry["port"], entry["targetPort"]) for entry in one(manifests, "Service")["spec"]["ports"]] == [(port, "metrics")]
    probes = {name: probe for name, probe in container(manifests).items() if name.endswith("Probe")}
    assert {name: probe["httpGet"] for name, probe in probes.items()} == {
        "startupProbe": {"path": "/livez", "port": "metrics"},
        "livenessProbe": {"path": "/livez", "port": "metrics"},
        "readinessProbe": {"path": "/readyz", "port": "metrics"},
    }


def test_the_pod_monitor_is_what_its_definition_takes(helm: Helm):
    """The operator's definition is not installed: the keys are those of monitoring.coreos.com/v1."""
    monitor = one(helm.render(FULL), "PodMonitor")
    assert monitor.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"].keys() == {"selector", "podMetricsEndpoints"}
    assert monitor["spec"]["podMetricsEndpoints"] == [{"port": "metrics", "path": "/metrics", "interval": "15s"}]


@pytest.mark.parametrize(
    ("create", "replicas", "made"), [("auto", 1, False), ("auto", 2, True), ("always", 1, True), ("never", 3, False)]
)
def test_a_disruption_budget_where_it_is_wanted(helm: Helm, create: str, replicas: int, made: bool):
    manifests = with_config(helm, {}, replicas=replicas, podDisruptionBudget={"create": create})
    assert ("PodDisruptionBudget" in kinds(manifests)) is made


def test_a_pod_is_told_to_stop_before_another_is_started(helm: Helm):
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    assert one(helm.render(FULL), "Deployment")["spec"]["strategy"] == strategy


def test_a_static_member_ends_before_another_takes_its_name(helm: Helm):
    manifests = with_config(helm, {"kafka.group_instance_id": "bridge-0"})
    assert one(manifests, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}


def test_another_configuration_makes_other_pods(helm: Helm):
    def annotations(manifests: list[Manifest]) -> Any:
        return one(manifests, "Deployment")["spec"]["template"]["metadata"]["annotations"]

    assert annotations(with_config(helm, {})) == annotations(helm.render(MINIMAL))
    assert annotations(with_config(helm, {"log.level": "debug"})) != annotations(helm.render(MINIMAL))


def test_secrets_reach_the_container_by_reference(helm: Helm):
    manifests = helm.render(FULL)
    assert container(manifests)["env"][0] == {
        "name": "BRIDGE_KAFKA__SECURITY__PASSWORD",
        "valueFrom": {"secretKeyRef": {"name": "kafka-user", "key": "password"}},
    }
    (volume,) = (volume for volume in pod(manifests)["volumes"] if "secret" in volume)
    assert volume["secret"] == {"secretName": "kafka-tls", "defaultMode": 0o440}
    (mount,) = (mount for mount in container(manifests)["volumeMounts"] if mount["name"] == volume["name"])
    assert mount == {"name": volume["name"], "mountPath": "/secrets/kafka-tls", "readOnly": True}
    assert pod(manifests)["securityContext"]["fsGroup"] == 20002, "the files are root's: the group reads them"


def test_a_constraint_of_the_spread_means_our_pods_unless_it_says_otherwise(helm: Helm):
    manifests = helm.render(FULL)
    ours = one(manifests, "Deployment")["spec"]["selector"]["matchLabels"]
    found = [
        (constraint["topologyKey"], constraint["maxSkew"], constraint["labelSelector"]["matchLabels"])
        for constraint in pod(manifests)["topologySpreadConstraints"]
    ]
    assert found == [
        ("topology.kubernetes.io/zone", 1, ours),
        ("kubernetes.io/hostname", 1, {"example.net/team": "streaming"}),
        ("example.net/rack", 2, ours),
    ]
