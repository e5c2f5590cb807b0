"""Storage on a real S3 server, and on a server that is slow, broken or throttling."""

from __future__ import annotations

import gc
import pickle
import time
from collections.abc import Callable
from pathlib import PurePosixPath

import pytest

from naswot_ray.dataset import address, layout, part_state, retry
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError
from tests import s3
from tests.dataset.making import SPACE, expected, score_row, write_part

FILE = PurePosixPath("folder/file.json")
PART = layout.scores(SPACE, "noise", 4, 0, 0)


@pytest.fixture
def storage(s3_proxy: s3.Proxy, bucket: str) -> Storage:
    """An empty prefix, reached through the proxy."""
    return Storage(s3.uri(bucket, "my/scores", s3_proxy.port))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pauses almost 0, and the last try after a second."""
    monkeypatch.setattr(address, "SDK_ATTEMPTS", 1)
    monkeypatch.setattr(retry, "FIRST_DELAY_SECONDS", 0.001)
    monkeypatch.setattr(retry, "RETRY_SECONDS", 1.0)


def only(number: int, answer: s3.Answer, method: str = "PUT") -> s3.Fault:
    """A fault in the first requests of a kind."""
    left = [number]

    def fault(request: s3.Request) -> s3.Answer | None:
        if request.method != method or not left[0]:
            return None
        left[0] -= 1
        return answer

    return fault


def test_writing_and_reading(storage: Storage, s3_server: s3.S3Server, bucket: str) -> None:
    assert storage.is_empty()
    assert not storage.exists()
    storage.write_bytes(FILE, b"one")
    storage.write_bytes(FILE, b"two")
    assert storage.read_bytes(FILE) == b"two"
    assert storage.exists(FILE)
    assert storage.exists(FILE.parent)
    assert storage.exists()
    assert not storage.exists(PurePosixPath("folder/file"))
    assert not storage.is_empty()
    assert s3_server.objects(bucket) == {f"my/scores/{FILE}": b"two"}
    assert storage.path(FILE) == f"s3://{bucket}/my/scores/{FILE}"


def test_what_is_not_there(storage: Storage) -> None:
    assert storage.list_names(FILE.parent) == []
    with pytest.raises(DatasetError, match=r"cannot read s3://bucket-\d+/my/scores/folder/file\.json: .*does not exist"):
        storage.read_bytes(FILE)
    storage.remove(FILE)


def test_a_listing_is_one_request_and_tells_sizes(storage: Storage, s3_proxy: s3.Proxy) -> None:
    names = [f"scores/seed={seed}/part-{number}" for seed in range(3) for number in range(4)]
    for name in names:
        storage.write_bytes(PurePosixPath(name), name.encode())
    s3_proxy.requests.clear()
    listed = storage.list_files(recursive=True)
    assert [(str(file.path), file.size) for file in listed] == [(name, len(name)) for name in names]
    assert all(abs(file.modified / 1e9 - time.time()) < 600 for file in listed)
    assert [request.is_listing for request in s3_proxy.requests] == [True]
    assert storage.list_names(PurePosixPath("scores/seed=1")) == [f"part-{number}" for number in range(4)]


def test_a_small_file_is_written_by_one_request(storage: Storage, s3_proxy: s3.Proxy) -> None:
    storage.write_bytes(FILE, bytes(100_000))
    assert [(request.method, request.key.rpartition("/")[2]) for request in s3_proxy.requests] == [("PUT", FILE.name)]


def test_removing(storage: Storage) -> None:
    storage.write_bytes(FILE, b"")
    storage.remove(FILE)
    assert storage.list_files(recursive=True) == []


def test_parts(storage: Storage) -> None:
    rows = [score_row(i) for i in range(4)]
    write_part(storage, PART, rows[:2])
    write_part(storage, PART, rows[2:])
    assert part_state.inspect(storage, expected(PART)).present == range(4)
    with storage.open_parquet(PART) as file:
        assert file.read().to_pylist() == rows
    storage.sweep_temporaries()
    assert [file.path for file in storage.list_files(recursive=True)] == [PART]


def test_a_file_that_is_no_parquet(storage: Storage) -> None:
    storage.write_bytes(PART, b"PAR1 and nothing more")
    with pytest.raises(DatasetError, match=r"s3://.*\.000000\.parquet is not a whole Parquet file"):
        part_state.inspect(storage, expected(PART))


def test_it_can_be_sent_to_an_actor(storage: Storage) -> None:
    storage.write_bytes(FILE, b"there")
    assert pickle.loads(pickle.dumps(storage)).read_bytes(FILE) == b"there"
    assert Storage(storage.root).read_bytes(FILE) == b"there"


def test_a_bucket_that_is_not_there(s3_proxy: s3.Proxy) -> None:
    storage = Storage(s3.uri("no-such-bucket", "scores", s3_proxy.port))
    with pytest.raises(DatasetError, match="s3://no-such-bucket/scores: there is no bucket no-such-bucket"):
        storage.is_empty()
    with pytest.raises(DatasetError, match=r"cannot write s3://no-such-bucket/scores/.* NO_SUCH_BUCKET .*the bucket's name"):
        storage.write_bytes(FILE, b"new")


FAULTS = {
    "throttled": s3.Answer(status=503),
    "internal error": s3.Answer(status=500),
    "lost half-way": s3.Answer(drop_body=True),
    "answer lost": s3.Answer(drop_answer=True),
    "slow": s3.Answer(delay_seconds=0.2),
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("answer", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("method", ["PUT", "GET", "HEAD"])
def test_what_fails_for_a_moment_is_done_in_the_end(
    storage: Storage, s3_proxy: s3.Proxy, answer: s3.Answer, method: str
) -> None:
    storage.write_bytes(PART, b"old")
    s3_proxy.fault = only(2, answer, method)
    storage.write_bytes(PART, b"new")
    assert storage.read_bytes(PART) == b"new"
    assert storage.list_names(PART.parent) == [PART.name]


@pytest.mark.usefixtures("impatient")
def test_what_had_to_be_tried_again_is_reported(storage: Storage, s3_proxy: s3.Proxy) -> None:
    s3_proxy.fault = only(2, s3.Answer(status=500))
    storage.write_bytes(FILE, b"new")
    (note,) = storage.take_notes()
    assert note.startswith(f"write {storage.path(FILE)}: done at try 3, after ")
    assert note.endswith("(AWS Error INTERNAL_FAILURE during PutObject operation: injected)")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("size", [3, 12_000_000], ids=["one request", "in pieces"])
@pytest.mark.parametrize("fault", [s3.Answer(status=503), s3.Answer(drop_body=True)], ids=["throttled", "lost half-way"])
def test_what_does_not_pass_ends_with_one_line_and_never_with_half_a_file(
    storage: Storage, s3_proxy: s3.Proxy, s3_server: s3.S3Server, bucket: str, size: int, fault: s3.Answer
) -> None:
    s3_proxy.fault = lambda request: fault if request.method == "PUT" else None
    with pytest.raises(DatasetError) as caught:
        storage.write_bytes(FILE, bytes(size))
    gc.collect()  # a stream completes its upload when it is discarded
    message = str(caught.value)
    assert message.startswith(f"cannot write {storage.path(FILE)}: AWS Error ")
    assert "run the same command again when the storage answers" in message
    assert "\n" not in message
    assert s3_server.objects(bucket) == {}
    s3_proxy.fault = lambda request: None
    storage.write_bytes(FILE, bytes(size))
    assert s3_server.objects(bucket) == {f"my/scores/{FILE}": bytes(size)}


@pytest.mark.parametrize("method", ["PUT", "GET", "HEAD"])
def test_a_denied_access_is_final_at_once(storage: Storage, s3_proxy: s3.Proxy, method: str) -> None:
    calls: dict[str, Callable[[], object]] = {
        "PUT": lambda: storage.write_bytes(FILE, b"new"),
        "GET": storage.list_files,
        "HEAD": lambda: storage.read_bytes(FILE),
    }
    s3_proxy.fault = lambda request: s3.Answer(status=403)
    with pytest.raises(DatasetError, match=r"AWS Error ACCESS_DENIED .*policy or the credentials") as caught:
        calls[method]()
    assert [request.method for request in s3_proxy.requests] == [method]
    assert not any(secret in str(caught.value) for secret in s3.CREDENTIALS.values())
