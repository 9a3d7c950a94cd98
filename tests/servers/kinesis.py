"""A plain botocore client for the test's own view of Kinesis, and streams made by tests."""

from typing import Any

import botocore.session
from botocore.config import Config

from tests.servers.process import wait_until

REGION = "us-east-1"
ACCESS_KEY = "test-access-key"
SECRET_KEY = "test-secret-key"
SECONDS = 30.0


def kinesis_client(
    endpoint_url: str,
    region: str = REGION,
    *,
    verify: bool | str = True,
    attempts: int = 3,
    access_key: str = ACCESS_KEY,
    answer_seconds: float = 60.0,
) -> Any:
    """`verify` is a file with the certificate authority of an https endpoint, `attempts` how often a call is tried, and
    `answer_seconds` how long an answer is waited for."""
    return botocore.session.Session().create_client(
        "kinesis",
        region_name=region,
        endpoint_url=endpoint_url,
        verify=verify,
        aws_access_key_id=access_key,
        aws_secret_access_key=SECRET_KEY,
        # The endpoint is on the loopback: a proxy of the machine is not for it.
        config=Config(
            proxies={},
            retries={"mode": "standard", "total_max_attempts": attempts},
            parameter_validation=False,
            read_timeout=answer_seconds,
        ),
    )


def is_active(client: Any, stream: str) -> bool:
    summary = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    return bool(summary["StreamStatus"] == "ACTIVE")


def create_stream(client: Any, stream: str, *, shards: int = 2) -> None:
    client.create_stream(StreamName=stream, ShardCount=shards)
    wait_until(lambda: is_active(client, stream), f"stream {stream}", SECONDS)


def delete_stream(client: Any, stream: str) -> None:
    """Returns when it is gone, so that one of its name can be created."""
    client.delete_stream(StreamName=stream)
    wait_until(lambda: stream not in client.list_streams()["StreamNames"], f"the end of stream {stream}", SECONDS)
