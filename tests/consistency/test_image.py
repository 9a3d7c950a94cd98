"""What can be known of the container image by reading: the Dockerfile, what a builder is sent, `make image`."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bridge import __version__
from bridge.app.settings import MetricsSettings
from tests.consistency.dockerfile import (
    ALL,
    DOCKERFILE,
    FINAL,
    IGNORE,
    PROJECT,
    ROOT,
    Ignore,
    context,
    copied,
    environment_of_the_image,
    exec_form,
    one,
    run_commands,
)

HADOLINT = Path(sys.executable).with_name("hadolint")
EXEC_FORM = ("CMD", "ENTRYPOINT", "HEALTHCHECK")


# -- the text


def hadolint(dockerfile: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HADOLINT, "--no-color", dockerfile], capture_output=True, text=True, check=False)


def test_hadolint_finds_nothing() -> None:
    result = hadolint(DOCKERFILE)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")
    assert "hadolint ignore" not in DOCKERFILE.read_text()


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM debian\nRUN cd /tmp && apt-get install curl\n")
    assert hadolint(bad).returncode != 0


def test_the_image_is_not_root_and_says_so_by_number() -> None:
    user, _, group = one("USER").text.partition(":")
    assert int(user) > 0
    assert int(group) > 0
    positions = [instruction.name for instruction in FINAL]
    assert "RUN" not in positions, "what runs in the final stage would run as root"
    assert positions.index("COPY") < positions.index("USER"), "files that are copied later would still be root's: keep it plain"


@pytest.mark.parametrize("name", EXEC_FORM)
def test_nothing_at_run_time_needs_a_shell(name: str) -> None:
    assert all(isinstance(word, str) and word for word in exec_form(name))


def test_it_is_started_stopped_and_asked_as_the_readme_says() -> None:
    assert exec_form("ENTRYPOINT") == ["/opt/bridge/bin/bridge"]
    assert exec_form("CMD") == ["run"]
    assert exec_form("HEALTHCHECK") == [*exec_form("ENTRYPOINT"), "health"]
    assert one("STOPSIGNAL").text == "SIGTERM"
    assert one("EXPOSE").text == str(MetricsSettings().port)
    assert environment_of_the_image()["BRIDGE_CONFIG"] == "/etc/bridge/bridge.yaml"


def test_its_labels_are_the_projects() -> None:
    labels = dict(word.split("=", 1) for word in one("LABEL").words)
    prefix = "org.opencontainers.image."
    assert labels == {
        f"{prefix}title": PROJECT["project"]["name"],
        f"{prefix}description": PROJECT["project"]["description"],
        f"{prefix}licenses": PROJECT["project"]["license"],
        f"{prefix}version": __version__,
    }


def test_both_stages_have_one_base_with_a_tag_and_a_supported_python() -> None:
    base = ALL[0]
    assert base.name == "ARG"
    image = re.fullmatch(r"PYTHON_IMAGE=python:(3\.\d+)-slim-\w+", base.text)
    assert image
    supported = re.search(r"^PYTHON_VERSIONS := (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert supported
    assert image[1] in supported[1].split()
    assert {instruction.words[0] for instruction in ALL if instruction.name == "FROM"} == {"${PYTHON_IMAGE}"}


def test_nothing_is_fetched_that_is_not_locked() -> None:
    installs = [command for step in run_commands() for command in step if re.search(r"\bpip\b.*\b(install|wheel)\b", command)]
    assert len(installs) == 4
    for command in installs:
        assert "--no-deps" in command, command
        assert ("--require-hashes" in command and "--only-binary :all:" in command) != ("--no-index" in command), command
    assert [instruction.name for instruction in ALL if instruction.name == "ADD"] == []
    assert re.search(r"\b(https?|ftp|git)://|\b(curl|wget|apt-get|apk)\b", DOCKERFILE.read_text()) is None


def test_no_secret_is_built_in() -> None:
    given = [word for instruction in ALL if instruction.name in ("ENV", "ARG", "LABEL") for word in instruction.words]
    assert [word for word in given if re.search(r"password|secret|token|credential|api_?key", word, re.IGNORECASE)] == []


def test_the_build_has_what_the_build_system_requires_and_no_more() -> None:
    lock = (ROOT / "requirements-build.lock").read_text()
    required = PROJECT["build-system"]["requires"]
    assert PROJECT["dependency-groups"]["build"] == required
    assert {"include-group": "build"} in PROJECT["dependency-groups"]["dev"]
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\$", lock, flags=re.MULTILINE))
    assert {f"{name}=={pinned.get(name)}" for name in (item.partition("==")[0] for item in required)} == set(required)
    dev = (ROOT / "requirements-dev.lock").read_text()
    assert [name for name, version in pinned.items() if f"\n{name}=={version} \\\n" not in f"\n{dev}"] == [], "run: make lock"


# -- what a builder is sent


def test_the_build_context_is_what_the_dockerfile_copies() -> None:
    sent = set(context(ROOT, IGNORE))
    sources = {
        source.removeprefix("./") for step in ALL if step.name == "COPY" and (found := copied(step)) for source in found[0]
    }
    assert {path.partition("/")[0] for path in sent} == sources
    package = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("bridge/**/*.py")}
    assert package == {path for path in sent if path.startswith("bridge/")}


@pytest.mark.parametrize(
    "path",
    [".git/config", ".venv/bin/python", ".env", ".tools/helm/helm", "tests/conftest.py", "config/full.yaml", "test-logs/a.log",
     "bridge/__pycache__/ports.cpython-311.pyc", "bridge/core/__pycache__/x", "bridge/core/x.pyc", "bridges/x"],
)  # fmt: skip
def test_nothing_else_is_sent(path: str) -> None:
    assert IGNORE.excludes(path)


def test_a_dockerignore_is_read_as_builders_read_it() -> None:
    ignore = Ignore("# comment\n*\n!kept\n!deep/kept.txt\nkept/**/not*.txt\n**/*.log\n")
    assert not ignore.excludes("kept/a/b.txt")
    assert not ignore.excludes("deep/kept.txt")
    for path in ("other", "deep/other.txt", "kept/nota.txt", "kept/a/notb.txt", "kept/a/b.log", "keptnot"):
        assert ignore.excludes(path), path


# -- make image

TOOLS = ("bash", "sh", "sed", "git", "grep", "expand", "env", "cat")


def make_image(folder: Path, **builders: str) -> subprocess.CompletedProcess[str]:
    """`make image` where PATH has these builders only, each a shell script."""
    for tool in TOOLS:
        if found := shutil.which(tool):
            (folder / tool).symlink_to(found)
    for name, script in builders.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    make = shutil.which("make")
    assert make
    environment = {"PATH": str(folder), "HOME": str(folder)}
    return subprocess.run([make, "image"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


ANSWERS = '[ "$1" = version ] || echo "built by $0 $*"'


def test_without_a_builder_make_image_says_so_and_fails(tmp_path: Path) -> None:
    """A docker client is there; its engine is not."""
    result = make_image(tmp_path, docker="exit 1")
    assert result.returncode != 0
    assert "docker with a running engine, podman or buildah is needed" in result.stderr


@pytest.mark.parametrize(
    ("builders", "used", "options"),
    [
        ({"docker": ANSWERS, "podman": ANSWERS}, "docker", "build"),
        ({"docker": "exit 1", "podman": ANSWERS}, "podman", "build --format docker"),
        ({"buildah": ANSWERS}, "buildah", "build --format docker"),
    ],
)
def test_make_image_builds_with_what_there_is(tmp_path: Path, builders: dict[str, str], used: str, options: str) -> None:
    result = make_image(tmp_path, **builders)
    assert result.returncode == 0, result.stderr
    assert f"built by {tmp_path / used} {options} --tag {PROJECT['project']['name']}:{__version__} --label " in result.stdout


def test_a_build_that_fails_fails(tmp_path: Path) -> None:
    assert make_image(tmp_path, docker='[ "$1" = version ]').returncode != 0
