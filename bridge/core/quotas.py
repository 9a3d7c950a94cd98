"""Limits of Amazon Kinesis Data Streams.

Source of every number: the PutRecords, PutRecord and GetRecords pages of the Kinesis Data Streams API reference and the
page "Quotas and limits" of its developer guide. Sizes are in bytes, rates are per second.
"""

KIB = 1024
MIB = 1024 * KIB

SHARD_RECORDS_PER_S = 1000
SHARD_BYTES_PER_S = MIB

REQUEST_RECORDS_MAX = 500
REQUEST_BYTES_MAX = 10 * MIB

PARTITION_KEY_CHARACTERS_MAX = 256
"""Counted in UTF-16 code units, the stricter reading: what passes here passes everywhere."""

RECORD_BYTES_MAX_DEFAULT = MIB
RECORD_BYTES_MAX_CEILING = 10 * MIB

HASH_KEY_BITS = 128
HASH_KEY_MAX = 2**HASH_KEY_BITS - 1

GET_RECORDS_CALLS_PER_S = 5
GET_RECORDS_BYTES_PER_S = 2 * MIB
GET_RECORDS_RECORDS_MAX = 10_000
GET_RECORDS_BYTES_MAX = 10 * MIB
ITERATOR_LIFETIME_S = 300
