"""Reads a stream while it is written, as an application would, and keeps nothing but what `Arrivals` does."""

import threading
from typing import Any

from botocore.exceptions import ClientError

from loadtest.reading import opened
from loadtest.soak.arrivals import Arrivals
from tests.integration.kinesis_reader import THROTTLED, shards_in_order

PAUSE_S = 0.5
PAGE_RECORDS = 5000


class StreamReader:
    """From the beginning of the stream, whose shards stay what they are. To be run on a thread; `finish` lets it end."""

    def __init__(self, client: Any, stream: str, keys: int) -> None:  # noqa: ANN401 - botocore has no types
        self.arrivals = Arrivals(keys)
        self._client, self._stream = client, stream
        self._finishing = threading.Event()

    def finish(self) -> None:
        """Nothing more is written: the end of the shards is the end."""
        self._finishing.set()

    def run(self) -> None:
        """Returns when every shard was read to its end after `finish`."""
        shards = shards_in_order(self._client, self._stream)
        iterators = {shard: self._first(shard) for shard in shards}
        while True:
            may_end = self._finishing.wait(PAUSE_S)
            ends = [self._read(iterators, shard) for shard in shards]
            if may_end and all(ends):
                return

    def _first(self, shard: str) -> str:
        answer = self._client.get_shard_iterator(StreamName=self._stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
        return str(answer["ShardIterator"])

    def _read(self, iterators: dict[str, str], shard: str) -> bool:
        """Whether there is nothing more for now."""
        try:
            page = self._client.get_records(ShardIterator=iterators[shard], Limit=PAGE_RECORDS)
        except ClientError as error:
            if error.response["Error"]["Code"] != THROTTLED:
                raise
            return False
        iterators[shard] = page["NextShardIterator"]
        for record in opened(page["Records"]):
            self.arrivals.take(int(record.value.rpartition(b" ")[2]))
        return not page["Records"] and page["MillisBehindLatest"] == 0
