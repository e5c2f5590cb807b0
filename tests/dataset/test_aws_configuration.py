"""The AWS tools' own settings, compared with those tools. Settings that cannot be honoured are refused."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path, PurePosixPath

import boto3
import pytest

from naswot_ray.dataset import address
from naswot_ray.dataset.aws_configuration import AwsConfiguration
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError
from tests import s3, tls
from tests.cli.running import check_refusal, naswot, prints
from tests.datasets import logical_rows, score_here

CONFIG = """
[default]
region = eu-central-1
endpoint_url = http://default.example.org:1

[profile dev]
region = ap-south-1
services = local
endpoint_url = http://global-of-dev.example.org

[profile plain]
endpoint_url = https://plain.example.org:9000

[profile "two words"]
services = without s3

[profile deaf]
ignore_configured_endpoint_urls = true
endpoint_url = http://deaf.example.org

[services local]
dynamodb =
  endpoint_url = http://dynamodb.example.org
s3 =
  endpoint_url = http://s3-of-dev.example.org:4566
  addressing_style = path

[services "without s3"]
dynamodb =
  endpoint_url = http://dynamodb.example.org
"""
CREDENTIALS = """
[default]
aws_access_key_id = key
aws_secret_access_key = secret
[plain]
region = us-west-2
[only-here]
endpoint_url = http://only-here.example.org
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory of its own, and no AWS variables except the S3 server's credentials."""
    for name in os.environ.keys() - s3.CREDENTIALS.keys():
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".aws").mkdir()
    return tmp_path


@pytest.fixture
def files(home: Path) -> None:
    (home / ".aws/config").write_text(CONFIG)
    (home / ".aws/credentials").write_text(CREDENTIALS)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"AWS_ENDPOINT_URL": "http://variable.example.org"},
        {"AWS_ENDPOINT_URL": "http://variable.example.org", "AWS_ENDPOINT_URL_S3": "http://of-s3.example.org/path/"},
        {"AWS_ENDPOINT_URL_S3": ""},
        {"AWS_ENDPOINT_URL_DYNAMODB": "http://other.example.org"},
        {"AWS_PROFILE": "dev"},
        {"AWS_PROFILE": "dev", "AWS_ENDPOINT_URL": "https://variable.example.org"},
        {"AWS_PROFILE": "dev", "AWS_DEFAULT_PROFILE": "plain"},
        {"AWS_PROFILE": "plain", "AWS_DEFAULT_REGION": "sa-east-1"},
        {"AWS_PROFILE": "two words"},
        {"AWS_PROFILE": "only-here"},
        {"AWS_PROFILE": "deaf"},
        {"AWS_PROFILE": "deaf", "AWS_ENDPOINT_URL": "https://variable.example.org"},
        {"AWS_PROFILE": "deaf", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false"},
        {"AWS_PROFILE": "dev", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "TRUE"},
        {"AWS_ENDPOINT_URL_S3": "http://x.example.org", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
        {"AWS_ENDPOINT_URL_S3": "http://x.example.org", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "1"},
        {"AWS_CONFIG_FILE": "/dev/null"},
        {"AWS_CONFIG_FILE": "~/elsewhere", "AWS_SHARED_CREDENTIALS_FILE": "$HOME/nowhere"},
    ],
)
def test_as_the_aws_tools_have_it(environ: dict[str, str], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "elsewhere").write_text("[profile default]\nendpoint_url = http://elsewhere.example.org\n")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    client = boto3.Session().client("s3", region_name=None if AwsConfiguration().region else "us-east-1")
    theirs = client.meta.endpoint_url
    found = AwsConfiguration()
    if found.endpoint is None:
        assert re.fullmatch(r"https://s3\.([\w-]+\.)?amazonaws\.com", theirs)
    else:
        assert found.endpoint.value == theirs
    assert (found.region.value if found.region else "us-east-1") in (client.meta.region_name, "us-east-1")
    if found.region:
        assert found.region.value == client.meta.region_name


def test_the_region_by_precedence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison above covers the last two places. Of the tools, only boto3 does not know AWS_REGION."""
    uri = "s3://bucket/d?endpoint_override=127.0.0.1:1"

    def region(of: str = uri) -> str:
        return dict(address.parse(of).options)["region"]

    assert region() == "us-east-1"
    (home / ".aws/config").write_text("[default]\nregion = eu-west-3\n")
    assert region() == "eu-west-3"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    assert region() == "eu-west-2"
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert region() == "eu-west-1"
    assert region(f"{uri}&region=eu-south-1") == "eu-south-1"
    assert address.parse("s3://bucket/d").filesystem.region == "eu-west-1", "without asking AWS"


def test_the_uri_goes_before_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://variable.example.org:2/")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert dict(address.parse("s3://bucket/d").options) == {
        "endpoint_override": "variable.example.org:2", "region": "eu-west-1", "scheme": "https",
    }  # fmt: skip
    assert dict(address.parse("s3://bucket/d?endpoint_override=http://other:3").options) == {
        "endpoint_override": "other:3", "region": "eu-west-1", "scheme": "http",
    }  # fmt: skip
    assert dict(address.parse("s3://bucket/d?endpoint_override=").options) == {"endpoint_override": "", "region": "eu-west-1"}


def test_another_process_talks_to_the_same_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = tls.make_certificate(tmp_path, "own").path
    monkeypatch.chdir(tmp_path)
    for variable, value in {
        "AWS_ENDPOINT_URL": "https://driver.example.org:1", "AWS_REGION": "eu-west-1", "AWS_CA_BUNDLE": authority.name,
    }.items():  # fmt: skip
        monkeypatch.setenv(variable, value)
    here = Storage("s3://anonymous@bucket/a%20b")
    assert here.root == "s3://anonymous@bucket/a%20b"
    given = Storage("s3://bucket/d?endpoint_override=127.0.0.1:1&scheme=http&region=us-east-1")
    data = pickle.dumps([here, given])
    monkeypatch.chdir("/")
    monkeypatch.delenv("AWS_CA_BUNDLE")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://worker.example.org:2")
    monkeypatch.setenv("AWS_REGION", "us-west-1")
    there, same = pickle.loads(data)
    assert (there.address.options, there.address.anonymous) == (here.address.options, True)
    assert dict(there.address.options)["tls_ca_file_path"] == str(authority)
    assert there.path(PurePosixPath("x")) == "s3://bucket/a b/x"
    assert same.root == given.root


def test_aws_itself_stays_aws_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    data = pickle.dumps(Storage("s3://bucket/d"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://worker.example.org:2")
    assert dict(pickle.loads(data).address.options) == {"endpoint_override": "", "region": "eu-west-1"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("key = value with my-secret\n", "malformed in line 1"),
        ("[default]\nmy-secret\n", "malformed in line 2"),
        ("[default]\nregion = a\nregion = my-secret\n", "malformed in line 3"),
        ("[default]\n[default]\n", "malformed in line 2"),
        ("[services x]\ns3 =\n  my-secret\n", "malformed: expected"),
        ("[default]\nservices = nowhere\n", "is nowhere, but there is no section [services nowhere]"),
        ("[default]\nendpoint_url = minio:9000\n", "endpoint_url of profile default in"),
        ("[default]\nuse_fips_endpoint = true\n", "AWS_ENDPOINT_URL_S3=https://s3-fips"),
        ("[default]\nrequest_payer = requester\n", "--request-payer requester"),
        ("[default]\nregion = a\xff", "malformed"),
    ],
)
@pytest.mark.parametrize("name", ["config", "credentials"])
def test_files_that_cannot_be_honoured_are_one_line(home: Path, name: str, text: str, reason: str) -> None:
    if name == "credentials" and "services" in text and "nowhere" not in text:
        reason = "malformed"
    (home / ".aws" / name).write_bytes(text.encode("latin-1"))
    result = naswot("info", "s3://bucket/d")
    check_refusal(result.exit_code, result.stdout, result.stderr)
    assert reason in result.stderr
    assert "my-secret" not in result.stderr


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"AWS_PROFILE": "nowhere"}, "AWS_PROFILE=nowhere: there is no such profile in "),
        ({"AWS_ENDPOINT_URL": "minio:9000"}, "AWS_ENDPOINT_URL=minio:9000: expected an endpoint, as in http://"),
        ({"AWS_ENDPOINT_URL_S3": "http://me:my-secret@minio"}, "AWS_ENDPOINT_URL_S3=minio: expected an endpoint, without cred"),
        ({"AWS_ENDPOINT_URL": "http://minio:0"}, "expected an endpoint"),
        ({"AWS_ENDPOINT_URL": "http://minio:99999"}, "expected an endpoint"),
        ({"AWS_ENDPOINT_URL": "http://min io"}, "expected an endpoint"),
        ({"AWS_ENDPOINT_URL": "ftp://minio"}, "expected an endpoint"),
        ({"AWS_ENDPOINT_URL": "http://minio/?a=b"}, "expected an endpoint"),
        ({"AWS_REQUEST_PAYER": "requester"}, "AWS_REQUEST_PAYER=requester is not supported"),
        ({"AWS_USE_FIPS_ENDPOINT": "true"}, "AWS_USE_FIPS_ENDPOINT=true is not supported"),
        ({"AWS_USE_DUALSTACK_ENDPOINT": "True"}, "AWS_USE_DUALSTACK_ENDPOINT=True is not supported"),
        ({"AWS_CA_BUNDLE": "/nowhere.pem", "AWS_REGION": "x"}, "AWS_CA_BUNDLE=/nowhere.pem: the file does not exist"),
    ],
)
def test_variables_that_cannot_be_honoured(environ: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DatasetError, match=re.escape(reason)) as caught:
        address.parse("s3://bucket/d")
    assert "my-secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["request_payer", "request-payer", "requestPayer", "RequestPayer", "x-amz-request-payer"])
def test_requests_that_the_requester_pays_for(key: str) -> None:
    with pytest.raises(
        DatasetError, match=rf"^s3://bucket/d: \?{key}= is not supported.*copy what you need to a bucket of your"
    ):
        address.parse(f"s3://bucket/d?{key}=requester")


def test_a_server_that_a_profile_names(
    s3_server: s3.S3Server, bucket: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way from scores to a query, and what DuckDB has to be told."""
    (home / ".aws/config").write_text(
        f"[profile dev]\nregion = eu-west-1\nservices = here\n"
        f"[services here]\ns3 =\n  endpoint_url = http://127.0.0.1:{s3_server.port}\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "dev")
    grid = {"limit": 2, "batch_size": [4], "seed": [0]}
    root = f"s3://{bucket}/scores"
    score_here(root, **grid)
    score_here(tmp_path / "local", **grid)
    assert logical_rows(root) == logical_rows(tmp_path / "local")
    assert "complete" in prints("info", root)
    assert Dataset(root).duckdb_setup() == (
        "INSTALL httpfs; LOAD httpfs; CREATE SECRET (TYPE s3, PROVIDER credential_chain, REGION 'eu-west-1', "
        f"ENDPOINT '127.0.0.1:{s3_server.port}', URL_STYLE 'path', USE_SSL false);"
    )
