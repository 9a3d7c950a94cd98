"""The server over TLS, as botocore sees it, and options that do not go together."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from botocore.exceptions import SSLError

from tests.servers.embedded_kinesis import running_embedded_kinesis
from tests.servers.kinesis import create_stream, kinesis_client


class Files(NamedTuple):
    authority: str
    certificate: str
    key: str


@pytest.fixture
def files(tmp_path: Path) -> Files:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    found = Files(str(tmp_path / "ca.pem"), str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem"))
    authority.cert_pem.write_to_path(found.authority)
    issued.private_key_pem.write_to_path(found.key)
    for part, append in zip(issued.cert_chain_pems, (False, *[True] * 9), strict=False):
        part.write_to_path(found.certificate, append=append)
    return found


def test_a_client_that_trusts_the_authority_writes_and_reads(files):
    with running_embedded_kinesis("tls", "--certificate", files.certificate, "--key", files.key) as server:
        assert server.endpoint_url.startswith("https://127.0.0.1:")
        client = kinesis_client(server.endpoint_url, verify=files.authority)
        create_stream(client, "orders", shards=1)
        written = client.put_record(StreamName="orders", PartitionKey="k", Data=b"x")
        iterator = client.get_shard_iterator(StreamName="orders", ShardId=written["ShardId"], ShardIteratorType="TRIM_HORIZON")
        assert [record["Data"] for record in client.get_records(ShardIterator=iterator["ShardIterator"])["Records"]] == [b"x"]
        with pytest.raises(SSLError):
            kinesis_client(server.endpoint_url, attempts=1).list_streams()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--key", "{key}"], "give its certificate with --certificate"),
        (["--certificate", "{certificate}"], "both must be PEM files that belong together"),
        (["--certificate", "{certificate}", "--key", "{authority}"], "both must be PEM files that belong together"),
        (["--certificate", "missing.pem", "--key", "{key}"], "--certificate missing.pem"),
    ],
)
def test_files_that_do_not_go_together_are_refused_with_the_reason(files, options, told):
    command = [sys.executable, "-m", "bridge.embedded.kinesis_server"]
    command += [option.format(**files._asdict()) for option in options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert told in ended.stderr
    assert ended.stdout == ""
