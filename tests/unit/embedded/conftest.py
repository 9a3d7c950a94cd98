"""Setting for the tests of the embedded Kinesis."""

import asyncio

import pytest


@pytest.fixture(scope="session", autouse=True)
def no_implicit_event_loop() -> None:
    """pytest-asyncio asks for the current loop before it sets its own; on Python 3.11 that makes one that nobody closes."""
    asyncio.set_event_loop(None)
