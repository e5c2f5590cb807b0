"""If an option, a file or a cluster is wrong, a command prints one line, exits with status 2 and changes nothing."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from naswot_ray.cli import EXIT_PARTIAL
from naswot_ray.dataset import layout
from naswot_ray.errors import RunError
from naswot_ray.images.source import load_images
from tests.benchmarks.official_nats import SSS
from tests.cli.conftest import MAP, write_images
from tests.cli.running import check_refusal, naswot, naswot_process, prints, refuses
from tests.dataset.making import SPACE, arch_id, make_dataset, rewrite, snapshot

HERE = ("--in-process", "--limit", 9, "--batch-size", 4)

BAD_OPTIONS: dict[str, tuple[tuple[object, ...], str]] = {
    "unknown space": (("--space", "nasbench999"), "unknown space 'nasbench999'; there are: nasbench101, nasbench201"),
    "unknown space beside a known one": (("--space", SPACE, "--space", "x"), "unknown space 'x'"),
    "unknown image source": (("--images", "mnist"), "unknown image source 'mnist'; there are: noise, cifar10"),
    "no data": (("--images", "cifar10"), "image source cifar10 needs a data directory (--data DIR)"),
    "no data directory": (("--images", "cifar10", "--data", "nowhere"), "data directory nowhere does not exist"),
    "one image": (("--batch-size", 1), "batch size 1: a kernel needs at least 2 images"),
    "no image": (("--batch-size", 0), "batch size 0: a kernel needs at least 2 images"),
    "negative batch size": (("--batch-size", -4), "batch size -4"),
    "a seed twice": (("--seed", 1, "--seed", 1), "--seed needs at least one value and no value twice, got [1, 1]"),
    "a batch size twice": (("--batch-size", 4), "--batch-size needs at least one value and no value twice, got [4, 4]"),
    "a shard of a galaxy": (
        ("--shard-size", 10**23),
        "--shard-size: Input should be less than or equal to 2147483647, got",
    ),
    "threads of a galaxy": (("--cpus-per-actor", 10**30), "--cpus-per-actor: Input should be less than or equal to 4096, got"),
    "a space twice": (("--space", SPACE, "--space", SPACE), "--space needs at least one value and no value twice"),
    "negative seed": (("--seed", -1), "--seed must be from 0 to 2^63 - 1, got [-1]"),
    "a seed too large": (("--seed", 2**63), "--seed must be from 0 to 2^63 - 1"),
    "negative limit": (("--limit", -1), "--limit: Input should be greater than 0, got -1"),
    "no limit": (("--limit", 0), "--limit: Input should be greater than 0, got 0"),
    "limit and sample": (("--sample", 3), "--limit and --sample both choose architectures; give only one of them"),
    "a space option of no space": (
        ("--space-option", "channels=3"),
        "--space-option 'channels=3': nasbench201 takes no parameters",
    ),
    "no space option": (
        ("--space-option", "channels"),
        "--space-option 'channels': expected PARAMETER=VALUE, as in stem_channels=128",
    ),
    "a dtype of another engine": (("--engine", "fast", "--dtype", "tf32"), "--dtype tf32 needs --engine cuda"),
    "an image size of nothing": (("--image-size", 0), "--image-size: Input should be greater than 0, got 0"),
    "no shard": (("--shard-size", 0), "--shard-size: Input should be greater than 0, got 0"),
    "no attempt": (("--max-attempts", 0), "--max-attempts: Input should be greater than 0, got 0"),
    "no time": (("--shard-timeout", 0), "--shard-timeout: Input should be greater than 0, got 0"),
    "no actor": (("--num-actors", 0), "--num-actors: Input should be greater than 0, got 0"),
    "another shard size": (("--shard-size", 5), "holds parts of 4 architectures, but --shard-size asks for 5"),
    "a map of nothing": (MAP, "--map says how to read --accuracies: give that as well"),
    "accuracies of two spaces": (
        ("--space", SPACE, "--space", "x", "--accuracies", "nowhere.csv"),
        "--accuracies belongs to one space: give one --space, or run `naswot-ray join` afterwards",
    ),
    "no accuracies": (("--accuracies", "nowhere.csv", *MAP), "nowhere.csv does not exist"),
}


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS.values(), ids=list(BAD_OPTIONS))
def test_a_bad_option(root: Path, options: tuple[object, ...], message: str) -> None:
    assert message in refuses(root, "score", "-o", root, *HERE, *options)


@pytest.mark.parametrize("name", [name for name in BAD_OPTIONS if name != "another shard size"])
def test_a_bad_option_does_not_even_make_the_directory(tmp_path: Path, name: str) -> None:
    options, message = BAD_OPTIONS[name]
    assert message in refuses(tmp_path, "score", "-o", tmp_path / "new" / "d", *HERE, *options)
    assert snapshot(tmp_path) == {}


def test_a_batch_larger_than_the_source(root: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", seed=0, num_images=8)
    options = ("--images", "cifar10", "--data", data)
    message = refuses(root, "score", "-o", root, "--in-process", "--batch-size", 4, "--batch-size", 9, *options)
    assert message == "error: batch size 9: cifar10 holds only 8 images here"


def test_images_that_are_damaged(root: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", seed=0)
    (data / "cifar10.npz").write_bytes((data / "cifar10.npz").read_bytes()[:5000])
    message = refuses(root, "score", "-o", root, *HERE, "--images", "cifar10", "--data", data)
    assert str(data / "cifar10.npz") in message
    gc.collect()  # so that a file which is left open causes a warning here and not in another test


def test_a_dataset_of_other_images(tmp_path: Path) -> None:
    old, new = (write_images(tmp_path / name, seed=seed) for seed, name in enumerate(("old", "new")))
    root = Path(make_dataset(tmp_path / "d", source=load_images("cifar10", old)).storage.root)
    args = ("score", "-o", root, "--in-process", "--limit", 8, "--batch-size", 4, "--images", "cifar10", "--data")
    assert naswot(*args, old).exit_code == 0
    message = refuses(root, *args, new)
    assert f"{root} holds rows of other settings: images.cifar10.digest is " in message
    assert message.endswith("write to another directory")
    assert "mean_255" not in message


def test_a_dataset_of_another_number_of_images(tmp_path: Path) -> None:
    old, new = (write_images(tmp_path / str(n), seed=0, num_images=n) for n in (8, 9))
    root = Path(make_dataset(tmp_path / "d", source=load_images("cifar10", old)).storage.root)
    message = refuses(root, "score", "-o", root, *HERE, "--images", "cifar10", "--data", new)
    assert "images.cifar10.num_images is 8 there, 9 in this run" in message


COMMANDS: dict[str, tuple[object, ...]] = {
    "score": ("score", *HERE, "-o"),
    "join": ("join",),
    "info": ("info",),
    "query": ("query",),
}


def command(name: str, root: object) -> tuple[object, ...]:
    return (*COMMANDS[name], root, *(["SELECT count(*) FROM scores"] if name == "query" else []))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_directory_of_something_else(tmp_path: Path, name: str) -> None:
    (tmp_path / "thesis.tex").write_text("\\section{}")
    message = refuses(tmp_path, *command(name, tmp_path))
    assert str(tmp_path) in message
    assert "not a dataset" in message


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "thesis.tex").write_text("\\section{}")
    assert "thesis.tex is a file; a dataset is a directory" in refuses(tmp_path, *command(name, tmp_path / "thesis.tex"))


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "score"])
def test_a_directory_that_is_not_there(tmp_path: Path, name: str) -> None:
    assert f"{tmp_path / 'd'} does not exist" in refuses(tmp_path, *command(name, tmp_path / "d"))


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("uri", ["https://bucket/d", "hdfs://bucket/d"])
def test_a_place_that_is_not_supported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, uri: str) -> None:
    monkeypatch.chdir(tmp_path)
    message = refuses(tmp_path, *command(name, uri))
    assert uri in message
    assert "expected a local path or a URI that begins with s3://, gs:// or file://" in message


def test_a_file_uri_is_a_path(root: Path) -> None:
    assert naswot("info", root.as_uri()).exit_code == 0


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("damage", ["cut", "emptied", "not json"])
def test_a_damaged_manifest(root: Path, name: str, damage: str) -> None:
    file = root / "dataset.json"
    file.write_text({"cut": file.read_text()[:200], "emptied": "", "not json": "hello"}[damage])
    assert f"{file} is damaged" in refuses(root, *command(name, root))


@pytest.mark.parametrize("name", ["join", "query"])
@pytest.mark.parametrize("size", [0, 1000])
def test_a_damaged_part(root: Path, name: str, size: int) -> None:
    part = root / layout.scores(SPACE, "noise", 4, 0, 0)
    part.write_bytes(part.read_bytes()[:size])
    message = refuses(root, *command(name, root))
    assert str(part) in message
    assert f"`naswot-ray check {root}` reports" in message


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def copied(path: Path) -> None:
    shutil.copyfile(path.with_name(path.name.replace(".000001.", ".000000.")), path)


def of_other_settings(path: Path) -> None:
    rewrite(path, lambda table: table, **{"naswot_ray.fingerprint": "f" * 64})


def without_a_seal(path: Path) -> None:
    pq.write_table(pq.read_table(path), path)


@pytest.mark.parametrize("spoil", [damaged, copied, of_other_settings, without_a_seal])
def test_a_part_that_cannot_be_trusted_is_told_and_scored_again(root: Path, spoil: Callable[[Path], None]) -> None:
    part = root / layout.scores(SPACE, "noise", 4, 0, 1)
    rows = pq.read_table(part).num_rows
    spoil(part)
    spoilt = part.read_bytes()
    done = naswot("info", root)
    assert done.exit_code == EXIT_PARTIAL
    assert f"1 part cannot be trusted: `naswot-ray check {root}` lists them" in done.stdout
    assert "complete" not in done.stdout
    done = naswot("score", "-o", root, "--in-process", "--limit", 8, "--batch-size", 4)
    assert done.exit_code == 0, done.output
    assert f"scores/{part.name} " in done.stderr
    assert "moved to removed/" in done.stderr
    assert pq.read_table(part).num_rows == rows
    (kept,) = (root / "removed").rglob("part-*")
    assert kept.read_bytes() == spoilt
    (record,) = (root / "removed").rglob("record.json")
    assert json.loads(record.read_text())["files"][0]["path"] == f"scores/{part.name}"
    assert "1 file, " in prints("check", root)


@pytest.mark.parametrize("name", ["info"])
def test_a_damaged_run_record(root: Path, name: str) -> None:
    (file,) = (root / "runs").iterdir()
    file.write_text("{")
    assert f"{file} is damaged" in refuses(root, *command(name, root))


BAD_TABLES = {
    "no such column": ("a,acc\nx,1\n", "no column 'arch'; it has a, acc"),
    "no percentage": ("arch,acc\nx,101\n", "row 0, column 'acc': expected a percentage from 0 to 100, found 101"),
    "a key twice": ("arch,acc\nx,1\nx,2\n", "row 1, column 'arch': 'x' is there twice"),
    "nothing": ("", "is not a readable csv file"),
}


@pytest.mark.parametrize(("content", "message"), BAD_TABLES.values(), ids=list(BAD_TABLES))
@pytest.mark.parametrize("name", ["score", "join"])
def test_bad_accuracies(root: Path, tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / "acc.csv").write_text(content)
    found = refuses(root, *command(name, root), "--accuracies", tmp_path / "acc.csv", *MAP)
    assert str(tmp_path / "acc.csv") in found
    assert message in found


@pytest.mark.parametrize("name", ["score", "join"])
def test_accuracies_without_a_map(root: Path, accuracies: Path, name: str) -> None:
    assert "a table needs at least one --map" in refuses(root, *command(name, root), "--accuracies", accuracies)


@pytest.mark.parametrize("name", ["score", "join"])
def test_accuracies_of_another_space(root: Path, nats: Path, name: str) -> None:
    sss = nats / SSS
    assert str(sss) in refuses(root, *command(name, root), "--accuracies", sss)


def test_accuracies_from_a_second_source(root: Path, accuracies: Path) -> None:
    assert naswot("join", root, "--accuracies", accuracies, *MAP).exit_code == 0
    other = accuracies.with_name("other.csv")
    other.write_text(accuracies.read_text() + f"{arch_id(10)},1\n")
    message = refuses(root, "join", root, "--accuracies", other, *MAP)
    assert "already holds cifar10/test/200 accuracies, with other rows, from a source with SHA-256" in message
    assert str(next((root / "accuracies").rglob("*.parquet"))) in message
    assert "--replace" in message


def test_join_without_accuracies(root: Path) -> None:
    assert f"holds no accuracies of {SPACE}: nothing to join" in refuses(root, "join", root)
    assert "--map says how to read --accuracies" in refuses(root, "join", root, *MAP)
    assert "unknown space 'x'" in refuses(root, "join", root, "--space", "x")
    assert "unknown space 'x'" in refuses(root, "accuracies", "x", "a.csv", "--dataset", root)
    assert "--replace says what to do with --accuracies" in refuses(root, "join", root, "--replace")
    assert "holds no accuracies of nasbench201, nats_sss: nothing to join" in refuses(two_spaces(root), "join", root)


def test_a_table_for_one_of_two_spaces(root: Path, accuracies: Path) -> None:
    two_spaces(root)
    assert "holds scores of nasbench201, nats_sss: choose one with --space" in refuses(
        root, "join", root, "--accuracies", accuracies, *MAP
    )


def two_spaces(root: Path) -> Path:
    """The dataset with a row of another space."""
    naswot("score", "-o", root, "--space", "nats_sss", "--in-process", "--limit", 1, "--batch-size", 4)
    return root


def test_a_cluster_that_does_not_answer(root: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    before = snapshot(root)
    done = naswot_process("score", "-o", root, "--limit", 9, "--batch-size", 4, "--address", address)
    check_refusal(done.returncode, done.stdout, done.stderr)
    assert f"no Ray cluster at {address} (" in done.stderr
    assert "start one with `ray start --head`" in done.stderr
    assert snapshot(root) == before


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "it does not speak Ray's protocol"), (b"", "it has not answered")],
)
def test_an_address_of_something_else_than_a_head(answer: bytes, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray itself would try for 100 seconds."""
    from naswot_ray.run import ray_pool  # noqa: PLC0415  imports Ray

    monkeypatch.setattr(ray_pool, "CONNECT_SECONDS", 0.5)
    monkeypatch.delenv("RAY_USE_TLS", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    accepted.append(connection)
                    if answer:
                        connection.sendall(answer)
                        connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(
            RunError, match=rf"^no Ray cluster at {address}: something listens there, but {reason}.*; give the head's port"
        ):
            ray_pool.connect(address)
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in accepted:
        connection.close()


@pytest.mark.parametrize("args", [("info", b"\xff"), ("query", "DATASET", b"\xff"), ("check", b"a\xffb")])
def test_arguments_that_are_no_text(root: Path, args: tuple[str | bytes, ...]) -> None:
    given = [os.fsdecode(arg).replace("DATASET", str(root)) for arg in args]
    assert "\\udcff" in refuses(root, *given)
    assert "expected text in utf-8" in refuses(root, *given)


def test_an_address_that_is_none(root: Path) -> None:
    done = naswot_process("score", "-o", root, "--limit", 9, "--batch-size", 4, RAY_ADDRESS="head")
    check_refusal(done.returncode, done.stdout, done.stderr)
    assert "Ray address 'head': expected host:port or auto" in done.stderr
