"""Which stream and which shards a call is about, as far as that can be told before it is carried out."""

from functools import cached_property

from bridge.embedded import put_path
from bridge.embedded.kinesis_errors import KinesisError
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.position_tokens import read_iterator, read_page
from bridge.embedded.record_operations import PUT_CALLS
from bridge.embedded.request_fields import Call, RequestFields

_SHARD_MEMBERS = ("ShardId", "ShardToSplit", "ShardToMerge", "AdjacentShardToMerge")


class CallTarget:
    """Worked out when asked for; a call that is wrong is about nothing."""

    def __init__(self, model: KinesisModel, call: Call, now: float) -> None:
        self._model = model
        self._call = call
        self._now = now

    @cached_property
    def stream(self) -> str | None:
        """Name of the stream, whether it exists or not."""
        request = RequestFields(self._call.members)
        try:
            if request.has("ShardIterator"):
                return read_iterator(request.text("ShardIterator")).stream
            if request.has("NextToken") and self._call.operation == "ListShards":
                return read_page(request.text("NextToken")).stream
            return request.stream().rpartition(":stream/")[2]
        except KinesisError:
            return None

    @cached_property
    def shards(self) -> frozenset[str]:
        """Ids of the shards that are named, or that the records would go to now."""
        request = RequestFields(self._call.members)
        try:
            if (put_call := PUT_CALLS.get(self._call.operation)) is not None:
                call = put_call(self._call)
                stream = self._model.streams.serving(call.stream, self._now)
                return frozenset(stream.open_shards[slot].shard_id for slot in put_path.place(stream, call).groups)
            if request.has("ShardIterator"):
                return frozenset([f"shardId-{read_iterator(request.text('ShardIterator')).shard_index:012d}"])
            return frozenset(request.text(member) for member in _SHARD_MEMBERS if request.has(member))
        except KinesisError:
            return frozenset()
