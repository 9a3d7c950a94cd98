"""The role that is assumed for Kinesis: what STS is asked, when it is asked again, and what is said when it refuses."""

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from math import inf
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, CredentialRetrievalError

from bridge.adapters.kinesis.credentials import AssumedRole, kinesis_session, session_name
from bridge.adapters.kinesis.shard_directory import KinesisShardDirectory
from bridge.adapters.kinesis.sink import open_sink
from bridge.adapters.system_clock import SystemClock
from bridge.core.errors import RefusedError
from bridge.core.records import Outcome
from tests.contract.kinesis_sinks import request_of
from tests.servers.sts import FakeSts, serving_sts

ROLE = AssumedRole("arn:aws:iam::123456789012:role/bridge", "partner-7", "bridge-orders-move")
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
async def sts(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeSts]:
    """With credentials of botocore's chain, and nothing else of this machine's."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASOURCE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "source-secret-key")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    async with serving_sts() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.endpoint_url)
        yield server


async def access_key(session: Any) -> str:
    frozen = await (await session.get_credentials()).get_frozen_credentials()
    return str(frozen.access_key)


async def test_role_external_id_and_session_name_are_sent_with_the_credentials_of_the_chain(sts: FakeSts) -> None:
    frozen = await (await kinesis_session(ROLE, "eu-central-1").get_credentials()).get_frozen_credentials()
    assert (frozen.access_key, frozen.secret_key, frozen.token) == ("ASIA1", "assumed-secret-key", "assumed-session-token")
    (call,) = sts.calls
    assert call["Action"] == "AssumeRole"
    assert call["RoleArn"] == ROLE.arn
    assert call["ExternalId"] == "partner-7"
    assert call["RoleSessionName"] == "bridge-orders-move"
    assert "Credential=AKIASOURCE/" in sts.authorizations[0]
    assert "/eu-central-1/sts/" in sts.authorizations[0]


async def test_no_external_id_is_sent_where_there_is_none(sts: FakeSts) -> None:
    await access_key(kinesis_session(AssumedRole(ROLE.arn, None, "x"), "eu-central-1"))
    assert "ExternalId" not in sts.calls[0]


async def test_without_a_role_the_credentials_are_those_of_the_chain(sts: FakeSts) -> None:
    assert await access_key(kinesis_session(None, "eu-central-1")) == "AKIASOURCE"
    assert sts.calls == []


async def test_valid_credentials_are_kept(sts: FakeSts) -> None:
    session = kinesis_session(ROLE, "eu-central-1")
    assert [await access_key(session) for _ in range(3)] == ["ASIA1"] * 3
    assert len(sts.calls) == 1


async def test_credentials_are_renewed_before_they_expire(sts: FakeSts) -> None:
    sts.lifetime = timedelta(minutes=14)
    session = kinesis_session(ROLE, "eu-central-1")
    assert await access_key(session) == "ASIA1"
    sts.lifetime = timedelta(hours=1)
    assert [await access_key(session) for _ in range(2)] == ["ASIA2"] * 2


async def test_the_old_credentials_serve_while_they_are_valid_and_sts_refuses(sts: FakeSts) -> None:
    sts.lifetime = timedelta(minutes=14)
    session = kinesis_session(ROLE, "eu-central-1")
    assert await access_key(session) == "ASIA1"
    sts.lifetime = None
    assert await access_key(session) == "ASIA1"
    assert len(sts.calls) == 2


async def test_a_refusal_names_the_key_and_what_to_do_and_passes_with_its_cause(sts: FakeSts) -> None:
    sts.lifetime = None
    session = kinesis_session(ROLE, "eu-central-1")
    with pytest.raises(CredentialRetrievalError) as raised:
        await access_key(session)
    said = str(raised.value)
    assert "kinesis.role_arn arn:aws:iam::123456789012:role/bridge" in said
    assert "AccessDenied" in said
    assert "allow sts:AssumeRole" in said
    sts.lifetime = timedelta(hours=1)
    assert await access_key(session) == "ASIA2"


async def test_an_sts_that_does_not_answer_names_the_key_too(sts: FakeSts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", NOWHERE)
    with pytest.raises(CredentialRetrievalError, match=r"kinesis\.role_arn .*127\.0\.0\.1:1"):
        await access_key(kinesis_session(ROLE, "eu-central-1"))


async def test_a_chain_without_credentials_names_the_key_too(sts: FakeSts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
    monkeypatch.setenv("AWS_CONFIG_FILE", "none")
    with pytest.raises(CredentialRetrievalError, match=r"kinesis\.role_arn .*Unable to locate credentials"):
        await access_key(kinesis_session(ROLE, "eu-central-1"))
    assert sts.calls == []


async def test_the_sink_and_the_other_calls_sign_with_the_role(sts: FakeSts) -> None:
    session = kinesis_session(ROLE, "eu-central-1")
    async with open_sink(session, NOWHERE, "eu-central-1", 1.0, 1, SystemClock()) as sink:
        signed = await sink._signed(b"{}")
    async with session.create_client("kinesis", region_name="eu-central-1", endpoint_url=NOWHERE) as client:
        credentials = await client._request_signer._credentials.get_frozen_credentials()
    assert signed is not None
    assert "Credential=ASIA1/" in signed["Authorization"]
    assert signed["X-Amz-Security-Token"] == "assumed-session-token"
    assert credentials.access_key == "ASIA1"
    assert len(sts.calls) == 1


async def test_what_the_bridge_says_of_a_refusal(sts: FakeSts, caplog: pytest.LogCaptureFixture) -> None:
    sts.lifetime = None
    session = kinesis_session(ROLE, "eu-central-1")
    async with open_sink(session, NOWHERE, "eu-central-1", 1.0, 1, SystemClock()) as sink:
        answer = await sink.put("orders", request_of(("k", b"x")), inf)
    assert answer.whole is Outcome.FATAL
    assert "kinesis.role_arn" in answer.message
    async with session.create_client("kinesis", region_name="eu-central-1", endpoint_url=NOWHERE) as client:
        with pytest.raises(RefusedError, match=r"kinesis\.role_arn"):
            await KinesisShardDirectory(client).describe("orders")
    assert "secret" not in caplog.text


def test_session_names_are_as_sts_takes_them() -> None:
    assert session_name("bridge-orders") == "bridge-orders"
    assert session_name("bridge orders/ü") == "bridge-orders--"
    assert len(session_name("x" * 200)) == 64
    assert session_name("x") == "x-"


def test_errors_of_credentials_are_of_the_class_that_the_sink_understands() -> None:
    assert issubclass(CredentialRetrievalError, BotoCoreError)
