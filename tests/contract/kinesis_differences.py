"""Where kinesalite answers otherwise than the embedded Kinesis, and why the embedded one does what it does.

The one table of them: by the name of a wrong call (`test_kinesis_api_errors`) or of a test (the other `test_kinesis_api*`).
ARCHITECTURE.md shows it; `tests/consistency/test_instrument_documents.py` keeps the two equal.
"""

from typing import NamedTuple

ANSWERED = "answered"
"""A call that should be refused and is not."""

SINCE_2020, SINCE_2025 = "in the service since 2020", "in the service since 2025"
BEFORE_ARNS = "StreamName was required before there was StreamARN"


class Difference(NamedTuple):
    """`kinesalite` is its error code for a wrong call, and what it does for a test."""

    kinesalite: str
    reason: str


DIFFERENCES = {
    # Wrong calls
    "create-no-count": Difference("ValidationException", "on-demand streams have no ShardCount"),
    "describe-none": Difference("ValidationException", BEFORE_ARNS),
    "put-hash-key-with-0": Difference(ANSWERED, "the service's model anchors the pattern of hash keys"),
    "put-large": Difference("ValidationException", "MaxRecordSizeInKiB is a setting of the stream"),
    "put-large-with-key": Difference(ANSWERED, "PutRecords page: the limit is for key and data together"),
    "put-dry-run": Difference(ANSWERED, SINCE_2025),
    "puts-11-mib": Difference("413", "it refuses bodies above 7 MiB; the limit was 5 MiB then and is 10 MiB now"),
    "puts-dry-run": Difference(ANSWERED, SINCE_2025),
    "puts-one-large": Difference("ValidationException", "MaxRecordSizeInKiB is a setting of the stream"),
    "filter-without-type": Difference(ANSWERED, SINCE_2020),
    "filter-of-no-type": Difference(ANSWERED, SINCE_2020),
    "filter-after-no-shard": Difference(ANSWERED, SINCE_2020),
    "filter-at-no-time": Difference(ANSWERED, SINCE_2020),
    "filter-from-no-time": Difference(ANSWERED, SINCE_2020),
    "filter-with-a-shard": Difference(ANSWERED, SINCE_2020),
    "filter-with-a-time": Difference(ANSWERED, SINCE_2020),
    "retention-too-long": Difference("ValidationException", "the longest retention was 168 hours and is 8760 now"),
    "monitoring-unknown-metric": Difference("UnknownOperationException", "EnableEnhancedMonitoring page"),
    "scale-down-below-half": Difference("UnknownOperationException", "UpdateShardCount page"),
    "scale-otherwise": Difference("UnknownOperationException", "UpdateShardCount page"),
    "scale-beyond-double": Difference("UnknownOperationException", "UpdateShardCount page"),
    "record-size-too-small": Difference("UnknownOperationException", SINCE_2025),
    # Tests
    "test_the_end_of_a_closed_shard": Difference(
        "no ChildShards; the end is told only by a read that finds nothing", f"ChildShards: {SINCE_2020}"
    ),
    "test_large_records": Difference("no UpdateMaxRecordSize, and no bodies above 7 MiB", SINCE_2025),
    "test_paging_of_list_shards": Difference("ignores MaxResults and gives no NextToken", "ListShards page"),
    "test_shard_filter": Difference("ignores ShardFilter", SINCE_2020),
    "test_a_stream_by_its_arn": Difference("does not know StreamARN", "in the service since 2022"),
    "test_uniform_scaling": Difference("does not know UpdateShardCount", "UpdateShardCount page"),
    "test_merging_names_the_shards_in_either_order": Difference("wants the lower shard first", "the MergeShards page does not"),
    "test_paging_of_describe_stream": Difference("ignores Limit and ExclusiveStartShardId", "DescribeStream page"),
    "test_every_shard_filter_through_two_generations": Difference("ignores ShardFilter", SINCE_2020),
    "test_both_parents_of_a_merge_name_the_child_at_their_end": Difference("no ChildShards", SINCE_2020),
    "test_any_iterator_at_the_end_of_a_closed_shard_ends_at_once": Difference("no ChildShards", SINCE_2020),
    "test_children_are_named_only_by_the_last_read": Difference("no ChildShards, one more read to the end", SINCE_2020),
    "test_closed_shards_are_not_split": Difference("splits them", "a closed shard has no range left to split"),
    "test_closed_shards_are_not_merged": Difference("merges them", "a closed shard has no range left to merge"),
    "test_a_read_gives_ten_mebibytes_at_most": Difference("gives more", "GetRecords page"),
    "test_shards_of_a_stream_of_another_time_are_not_given": Difference("ignores StreamCreationTimestamp", "ListShards page"),
    "test_shard_level_metrics": Difference("does not know EnableEnhancedMonitoring", "EnableEnhancedMonitoring page"),
    "test_operations_by_arn": Difference("does not know StreamARN", "in the service since 2022"),
    "test_a_name_and_an_arn_that_disagree": Difference("does not know StreamARN", "in the service since 2022"),
    "test_streams_are_listed_on_by_token": Difference("gives no NextToken", "in the service since 2021"),
}
