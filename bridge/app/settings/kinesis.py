"""Settings of the Kinesis side."""

from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from bridge.app.settings.section import Section, WholeNumber, matching, written
from bridge.app.settings.units import Duration, Size, Within
from bridge.core.quotas import REQUEST_RECORDS_MAX

_REGION = r"[a-z]{2,}(-[a-z0-9]+)+"
_ENDPOINT = r"https?://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[^\s?#@]*)?"

Region = Annotated[
    str,
    AfterValidator(matching(_REGION, "write an AWS region, such as eu-central-1")),
    WithJsonSchema({"type": "string", "pattern": f"^{_REGION}$"}),
]
Endpoint = Annotated[
    str,
    AfterValidator(matching(_ENDPOINT, "write an address such as http://localhost:4567, without user, password or query")),
    WithJsonSchema({"type": "string", "pattern": f"^{_ENDPOINT}$"}),
]

_ROLE = r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+"
RoleArn = Annotated[
    str,
    AfterValidator(matching(_ROLE, "write the ARN of an IAM role, such as arn:aws:iam::123456789012:role/bridge")),
    WithJsonSchema({"type": "string", "pattern": f"^{_ROLE}$"}),
]
# The pattern of ExternalId in the API reference of AWS STS, AssumeRole.
_EXTERNAL_ID = r"[A-Za-z0-9_+=,.@:/-]{2,1224}"
ExternalId = Annotated[
    str,
    AfterValidator(matching(_EXTERNAL_ID, "write 2 to 1224 characters out of a-z, A-Z, 0-9 and _+=,.@:/-")),
    # The same in two steps: Go's regular expressions, with which Helm reads the schema, repeat at most 1000 times.
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_+=,.@:/-]{2,1000}[A-Za-z0-9_+=,.@:/-]{0,224}$"}),
]


class KinesisSettings(Section):
    """Where records are written, and how large and how many the requests may be."""

    region: Region = Field(description="AWS region of the streams. No default: a wrong guess would write to the wrong place.")
    endpoint_url: Endpoint | None = Field(
        default=None,
        description="Another endpoint: an emulator, or a VPC endpoint. None by default: the region's own.",
    )
    role_arn: RoleArn | None = Field(
        default=None,
        description="IAM role that is assumed for calls to Kinesis, such as one of the account that has the streams; renewed "
        "before it expires. None by default: the credentials of botocore's own chain are used as they are.",
    )
    external_id: ExternalId | None = Field(
        default=None,
        description="External ID that the trust policy of `role_arn` asks for. None by default: only roles of third parties "
        "have one.",
    )
    request_records_max: WholeNumber = Field(
        default=500,
        ge=1,
        le=REQUEST_RECORDS_MAX,
        description="Records in one PutRecords request. Kinesis's own limit by default: fewer, larger requests cost the least.",
    )
    request_bytes_max: Annotated[Size, Within("1025KiB", "10MiB")] = Field(
        default=written("5MiB"),
        description="Bytes (data and partition keys) in one PutRecords request. 5MiB is accepted by every account; up to 10MiB "
        "where yours allows it. At least 1025KiB, so that a record of 1MiB and its partition key fit.",
    )
    request_timeout: Annotated[Duration, Within("100ms", "1m")] = Field(
        default=written("6s"),
        description="After this a request counts as unanswered, its outcome as unknown. Far above normal answers (tens of "
        "milliseconds), short enough that a dead connection is noticed within the session timeout.",
    )
    settle: Annotated[Duration, Within("0s", "5m")] = Field(
        default=written("5s"),
        description="So long after it was given up a request can still be stored; after that, what is not in the stream was not "
        "written. 5s is far above what the service takes; every recovery waits for it.",
    )
    clock_margin: Annotated[Duration, Within("0s", "1m")] = Field(
        default=written("2s"),
        description="By how much the arrival time of a record may differ from the time that the service tells in its answers. "
        "2s is above what its servers were seen to differ.",
    )
    requests_in_flight_max: WholeNumber = Field(
        default=64,
        ge=1,
        le=1024,
        description="Requests under way at the same time. 64 carry 320000 records a second at "
        "100 ms an answer, more than one process needs.",
    )
