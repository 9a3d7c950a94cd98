"""What holds for every tier: their order, the marker `real`, and the account of what ran and what could not."""

import asyncio
import collections
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from tests.servers.fixtures import (  # noqa: F401 (pytest finds fixtures by name here)
    NEEDS_A_SERVER,
    helm,
    kafka,
    kinesalite,
    new_stream,
    new_topic,
    own_kafka,
    own_kinesalite,
    secure_kafka,
)

TIERS = ("unit", "contract", "simulation", "consistency", "integration")
"""In the order in which they run: what fails fast comes first."""
LONG_FIRST = ("test_exactly_once", "test_simulation", "test_kill_and_freeze", "integration", "contract", "simulation")
"""Where files run side by side: minutes of one of them at the end would leave the other processes without work."""
HERE = Path(__file__).parent
REQUIRE_REAL = os.environ.get("BRIDGE_REQUIRE_REAL") == "1"
END_WITH_PARENT = os.environ.get("BRIDGE_TEST_END_WITH_PARENT") == "1"
PR_SET_PDEATHSIG = 1

# No example is a measurement: a busy machine is no failure.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")

figures: list[str] = []
ran: collections.Counter[str] = collections.Counter()
could_not_run: dict[str, collections.Counter[str]] = {tier: collections.Counter() for tier in TIERS}


def tier_of(path: Path) -> str | None:
    parts = path.relative_to(HERE).parts if path.is_relative_to(HERE) else ()
    return parts[0] if parts and parts[0] in TIERS else None


def pytest_configure(config: pytest.Config) -> None:
    if END_WITH_PARENT and sys.platform == "linux":
        # `make test` killed with SIGKILL cannot tell us: the kernel does.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    # On Python 3.11 asking for a loop where none is set makes one that nobody closes; a random later test would be blamed.
    asyncio.set_event_loop(None)
    # looptime 0.9 asks every test, also those without asyncio, for a loop; Python 3.12 and 3.13 warn of that.
    config.addinivalue_line(
        "filterwarnings", r"ignore:There is no current event loop:DeprecationWarning:looptime\._internal\.plugin"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if NEEDS_A_SERVER.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.real)
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    tier = tier_of(item.path) or TIERS[0]
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return TIERS.index(tier)
    return next((rank for rank, name in enumerate(LONG_FIRST) if name in (item.path.stem, tier)), len(LONG_FIRST))


def tier_of_report(report: pytest.TestReport | pytest.CollectReport) -> str | None:
    return tier_of(HERE.parent / report.nodeid.partition("::")[0])


def pytest_collectreport(report: pytest.CollectReport) -> None:
    tier = tier_of_report(report)
    if tier is not None and report.skipped:
        could_not_run[tier][reason_of(report)] += 1


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    tier = tier_of_report(report)
    if report.when == "teardown":  # a report comes from the process that ran the test
        figures.extend(str(text) for name, text in report.user_properties if name == "figure")
    if tier is None or hasattr(report, "wasxfail"):
        return
    if report.skipped:
        could_not_run[tier][reason_of(report)] += 1
    elif report.when == "call":
        ran[tier] += 1


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    return text.removeprefix("Skipped: ")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if REQUIRE_REAL and any(could_not_run.values()) and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[object], None]:
    """`figure(text)` shows what a test measured at the end of the run, also where it passed."""
    return lambda text: request.node.user_properties.append(("figure", f"{request.node.name}: {text}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if figures:
        terminalreporter.section("figures")
        for line in figures:
            terminalreporter.line(line)
    terminalreporter.section("tiers")
    for tier in TIERS:
        reasons = could_not_run[tier]
        line = f"{tier}: {ran[tier]} ran" if ran[tier] or reasons else f"{tier}: not run"
        if reasons:
            line += f", {reasons.total()} could not: " + "; ".join(f"{reason} ({count})" for reason, count in reasons.items())
        terminalreporter.line(line, red=bool(reasons) and REQUIRE_REAL, yellow=bool(reasons) and not REQUIRE_REAL)
    if REQUIRE_REAL and any(could_not_run.values()):
        terminalreporter.line("BRIDGE_REQUIRE_REAL=1: a test that could not run counts as a failure", red=True)
