"""README.md lists the scenarios of the load tool, their options exist, and a run without a name takes those that it says."""

import re

from loadtest.__main__ import command_line
from loadtest.scenario import load_scenarios
from tests.consistency.test_documents import README, column, table


def test_every_scenario_is_in_the_table_and_the_reverse() -> None:
    assert column(README, "scenario") == list(load_scenarios())


def test_short_scenarios_are_marked_as_not_run_by_default() -> None:
    marked = {row[0].strip("`") for row in table(README, "scenario") if "not part of" in row[1]}
    assert marked == {name for name, scenario in load_scenarios().items() if not scenario.by_default}


def test_options_for_your_own_servers_exist() -> None:
    named = {option for row in table(README, "option") for option in re.findall(r"--[a-z-]+", row[0])}
    assert len(named) >= 6
    assert named <= set(re.findall(r"--[a-z-]+", command_line().format_help()))
