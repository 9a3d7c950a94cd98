"""Dead letters on their way: the offset passes with the confirmation, and what cannot be parked halts its partition."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from bridge.core.delivery.key_strategies import MappingSpec
from bridge.core.delivery.policies import Policies
from bridge.core.errors import RefusedError, UnavailableError
from tests.unit.app.streams import SPEC, Kinesis, Stream
from tests.unit.core.delivery.columns import source_batch

PARK = replace(SPEC, policies=Policies())
SKIP = replace(SPEC, policies=Policies(on_tombstone="skip"))


@asynccontextmanager
async def running(spec: MappingSpec = PARK) -> AsyncIterator[Stream]:
    stream = Stream(Kinesis())
    stream.stream.attach(stream.line, spec)
    async with asyncio.TaskGroup() as tasks:
        working = [tasks.create_task(stream.stream.run()), tasks.create_task(stream.parking.run())]
        await asyncio.sleep(0.1)
        yield stream
        for task in working:
            task.cancel()


@pytest.mark.looptime
async def test_a_parked_record_is_passed_when_its_letter_is_confirmed_and_not_before():
    async with running() as stream:
        stream.dead_letters.answers = [UnavailableError("no answer")]
        stream.offer(0, b"x", None, b"y")
        await asyncio.sleep(0.5)
        assert stream.line.tracker.committable() == 1
        assert stream.line.unsettled == 1
        assert stream.parking.problems() == ["dead letters: no answer"]
        await asyncio.sleep(1.0)
        assert stream.line.tracker.committable() == 3
        assert stream.line.unsettled == stream.line.parking_bytes == 0
        assert stream.parking.problems() == []
        (letter,) = stream.dead_letters.letters
        assert (letter.partition, letter.offset, letter.key, letter.value) == (stream.line.partition, 1, b"key-1", None)
        assert letter.reason == "tombstone"
    assert stream.telemetry.counted("bridge_records_parked_total", stream.line.route, "tombstone") == 1


@pytest.mark.looptime
async def test_a_skipped_record_is_counted_and_passed_at_once():
    async with running(SKIP) as stream:
        stream.offer(0, None, None)
        assert stream.line.tracker.committable() == 2
    assert stream.telemetry.counted("bridge_records_skipped_total", stream.line.route, "tombstone") == 2
    assert not stream.dead_letters.letters


@pytest.mark.looptime
async def test_of_letters_that_are_refused_together_only_the_faulty_one_halts():
    async with running() as stream:
        stream.dead_letters.answers = [RefusedError("too large"), None, RefusedError("too large"), None]
        stream.offer(0, None, None, None, b"x")
        await asyncio.sleep(1.0)
        ((line, halt),) = stream.halts
        assert (line, halt.reason, halt.offset) == (stream.line, "dead_letters", 1)
        assert "too large" in halt.detail
        assert [letter.offset for letter in stream.dead_letters.letters] == [0, 2]
        assert stream.line.tracker.committable() == 1
        assert stream.line.unsettled == 0


@pytest.mark.looptime
async def test_what_a_partition_does_not_want_any_more_is_not_parked_again():
    async with running() as stream:
        stream.dead_letters.answers = [UnavailableError("no answer")] * 3
        stream.offer(0, None, None)
        await asyncio.sleep(0.5)
        stream.stream.detach(stream.line)
        assert stream.line.unsettled == 0
        await asyncio.sleep(60.0)
        assert not stream.dead_letters.letters


@pytest.mark.looptime
async def test_a_letter_carries_the_headers_of_its_record():
    async with running() as stream:
        batch = source_batch([(0, b"a", b"x"), (1, b"b", None)], stream.line.partition)
        batch.headers = [None, [("trace", b"1"), ("trace", None)]]
        stream.stream.offer(stream.line, batch)
        await asyncio.sleep(0.5)
        (letter,) = stream.dead_letters.letters
        assert list(letter.headers) == [("trace", b"1"), ("trace", None)]


@pytest.mark.looptime
async def test_keys_that_cannot_be_turned_back_are_counted():
    async with running() as stream:
        batch = source_batch([(0, b"k" * 300, b"x"), (1, b"b", b"y"), (2, b"k" * 300, b"z")], stream.line.partition)
        stream.stream.offer(stream.line, batch)
        await asyncio.sleep(0.5)
        assert stream.line.tracker.committable() == 3
    assert stream.telemetry.counted("bridge_keys_hashed_total", stream.line.route) == 2
