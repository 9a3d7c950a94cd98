"""The table of differences names what exists, each with a reason, and nothing that is not a difference."""

from types import ModuleType

from tests.contract import (
    test_kinesis_api,
    test_kinesis_api_errors,
    test_kinesis_api_reshards,
    test_kinesis_api_settings,
    test_kinesis_api_streams,
)
from tests.contract.kinesis_differences import DIFFERENCES

SUITES: tuple[ModuleType, ...] = (
    test_kinesis_api,
    test_kinesis_api_reshards,
    test_kinesis_api_settings,
    test_kinesis_api_streams,
)


def asks_whether_it_differs(name: str) -> bool:
    (test,) = [getattr(suite, name) for suite in SUITES if hasattr(suite, name)]
    return "differs" in test.__code__.co_varnames


def test_every_difference_is_of_a_call_or_a_test_and_has_a_reason():
    for name, difference in DIFFERENCES.items():
        assert difference.kinesalite, name
        assert difference.reason, name
        if name.startswith("test_"):
            assert asks_whether_it_differs(name), name
        else:
            assert test_kinesis_api_errors.WRONG_CALLS[name].code != difference.kinesalite, name


def test_every_test_that_asks_is_in_the_table():
    tests = {name for suite in SUITES for name in vars(suite) if name.startswith("test_")}
    assert {name for name in tests if asks_whether_it_differs(name)} <= set(DIFFERENCES)
