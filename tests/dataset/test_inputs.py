"""Inputs in a bucket are downloaded once, completely or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from naswot_ray.dataset import address, inputs, retry
from naswot_ray.dataset.inputs import local_path
from naswot_ray.errors import FetchError
from tests import s3
from tests.test_private_folder import give_away, mode


@pytest.fixture
def uri(s3_proxy: s3.Proxy, s3_server: s3.S3Server, bucket: str) -> str:
    """A folder that contains two files."""
    s3_server.put(bucket, "data/NATS-simple/meta.bin", b"meta")
    s3_server.put(bucket, "data/NATS-simple/parts/000.bin", bytes(range(256)) * 10)
    return s3.uri(bucket, "data/NATS-simple", s3_proxy.port)


def downloads(proxy: s3.Proxy) -> int:
    return sum(request.method == "GET" and not request.is_listing for request in proxy.requests)


@pytest.mark.parametrize("path", ["relative/file", "/data/50%", "a/~/data"])
def test_local_paths_stay_what_they_are(path: str) -> None:
    assert local_path(path) == local_path(Path(path)) == Path(path)


def test_but_for_home_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert local_path("~/data") == local_path(Path("~/data")) == Path("/home/me/data")


def test_a_file_uri(tmp_path: Path) -> None:
    assert local_path((tmp_path / "a b").as_uri()) == tmp_path / "a b"


def test_a_folder_is_downloaded_once(uri: str, s3_proxy: s3.Proxy, s3_server: s3.S3Server, bucket: str) -> None:
    path = local_path(uri)
    assert path.name == "NATS-simple"
    assert (path / "meta.bin").read_bytes() == b"meta"
    assert (path / "parts" / "000.bin").read_bytes() == bytes(range(256)) * 10
    assert downloads(s3_proxy) == 2
    assert local_path(uri) == path
    assert downloads(s3_proxy) == 2

    s3_server.put(bucket, "data/NATS-simple/meta.bin", b"another")
    newer = local_path(uri)
    assert newer != path
    assert (newer / "meta.bin").read_bytes() == b"another"


def test_what_is_damaged_is_downloaded_again(uri: str, s3_proxy: s3.Proxy) -> None:
    path = local_path(uri)
    for number, left in enumerate((b"me", None), start=2):
        (path / "meta.bin").unlink()
        if left is not None:
            (path / "meta.bin").write_bytes(left)
        assert local_path(uri) == path
        assert (path / "meta.bin").read_bytes() == b"meta"
        assert downloads(s3_proxy) == 2 * number


def test_nobody_else_can_have_put_it_there(
    uri: str, s3_proxy: s3.Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASWOT_RAY_CACHE", str(tmp_path))
    path = local_path(uri)
    inputs_folder = tmp_path / "inputs"
    assert mode(inputs_folder) == 0o700
    (path / "meta.bin").write_bytes(b"evil")
    give_away(inputs_folder)
    message = rf"cannot fetch s3://.*: {inputs_folder} belongs to user \d+, not to \w+; let NASWOT_RAY_CACHE name a folder of"
    with pytest.raises(FetchError, match=message):
        local_path(uri)
    assert downloads(s3_proxy) == 2


def test_a_file_keeps_its_name(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "_CHUNK_BYTES", 1000)
    seen: list[tuple[int, int]] = []
    path = local_path(uri.replace("NATS-simple", "NATS-simple/parts/000.bin"), lambda done, total: seen.append((done, total)))
    assert path.name == "000.bin"
    assert path.read_bytes() == bytes(range(256)) * 10
    assert seen == [(1000, 2560), (2000, 2560), (2560, 2560)]


def test_what_breaks_off_is_not_taken_for_a_download(
    uri: str, s3_proxy: s3.Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "SDK_ATTEMPTS", 1)
    monkeypatch.setattr(retry, "RETRY_SECONDS", 0.0)
    monkeypatch.setenv("NASWOT_RAY_CACHE", str(tmp_path))
    s3_proxy.fault = lambda request: s3.Answer(drop_answer=True) if request.key.endswith("000.bin") else None
    with pytest.raises(FetchError, match=r"cannot fetch s3://.*/data/NATS-simple: AWS Error NETWORK_CONNECTION"):
        local_path(uri)
    assert not list((tmp_path / "inputs").iterdir())
    s3_proxy.fault = lambda request: None
    assert (local_path(uri) / "meta.bin").read_bytes() == b"meta"


def test_nothing_there(uri: str) -> None:
    with pytest.raises(FetchError, match=r"s3://.*/data/nothing does not exist"):
        local_path(uri.replace("NATS-simple", "nothing"))


def test_a_name_that_leads_out_of_the_folder(uri: str, s3_server: s3.S3Server, bucket: str) -> None:
    s3_server.put(bucket, "data/NATS-simple/../../evil", b"evil")
    with pytest.raises(FetchError, match=r"NATS-simple holds '.*\.\./evil', which would lie outside"):
        local_path(uri)
