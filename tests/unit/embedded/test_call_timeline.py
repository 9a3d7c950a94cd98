"""A call with faults in virtual time: when it is stored, when and how it ends."""

import asyncio

import orjson
import pytest

from bridge.embedded.call_timeline import perform
from bridge.embedded.calls import read_call
from bridge.embedded.kinesis_model import KinesisModel
from tests.unit.embedded.kinesis_driver import NOW, inject, new_model, read_shard

FIRST = "shardId-000000000000"
PUT = read_call("PutRecords", orjson.dumps({"StreamName": "orders", "Records": [{"PartitionKey": "k", "Data": "eA=="}]}))


class VirtualConnection:
    """Notes when it was closed; a caller that waits for it gives up after a minute."""

    def __init__(self) -> None:
        self.closed_at: float | None = None

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def hang(self) -> None:
        await asyncio.sleep(60)

    def close(self) -> None:
        if self.closed_at is None:
            self.closed_at = asyncio.get_running_loop().time()


def stored_at(model: KinesisModel) -> list[float]:
    iterator = model.get_shard_iterator("orders", FIRST, "TRIM_HORIZON", NOW + 99)
    return [round(arrival / 1000 - NOW, 3) for arrival in model.get_records(iterator, NOW + 99).records.arrivals_ms]


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("fault", "stored", "closed", "ended", "status"),
    [
        ({"kind": "answer_delayed", "delay_s": 3}, [0], None, 3, 200),
        ({"kind": "stored_late", "delay_s": 3}, [3], None, 3, 200),
        ({"kind": "stored_late", "delay_s": 3, "closed_after_s": 1}, [3], 1, 3, None),
        ({"kind": "stored_late", "delay_s": 3, "closed_after_s": 3}, [3], 3, 3, None),
        ({"kind": "latency", "delay_s": 3}, [1.5], None, 3, 200),
        ({"kind": "hung"}, [], None, 60, None),
        ({"kind": "hung", "stored": True}, [0], None, 60, None),
        ({"kind": "connection_closed_before_storing"}, [], 0, 0, None),
        ({"kind": "connection_closed_after_storing"}, [0], 0, 0, None),
        ({"kind": "error_before_storing"}, [], None, 0, 500),
        ({"kind": "error_after_storing", "status": 503}, [0], None, 0, 503),
        ({"kind": "request_throttled"}, [], None, 0, 400),
    ],
)
async def test_when_a_call_is_stored_and_how_it_ends(fault, stored, closed, ended, status):
    loop = asyncio.get_running_loop()
    began = loop.time()
    model = new_model(enforce_limits=False)
    inject(model, fault)
    connection = VirtualConnection()
    reply = await perform(model, PUT, lambda: NOW + loop.time() - began, connection)
    assert loop.time() - began == pytest.approx(ended)
    assert stored_at(model) == pytest.approx(stored)
    assert (connection.closed_at is None) == (closed is None)
    assert connection.closed_at is None or connection.closed_at - began == pytest.approx(closed)
    assert (None if reply is None else reply.status) == status


async def test_errors_and_calls_are_counted():
    model = new_model()
    inject(model, {"kind": "error_before_storing", "times": 1})
    for _ in range(2):
        await perform(model, PUT, lambda: NOW, VirtualConnection())
    assert (model.traffic.calls, model.traffic.errors) == ({"PutRecords": 2}, {"InternalFailure": 1})
    assert len(read_shard(model, "orders", FIRST, NOW)) == 1
