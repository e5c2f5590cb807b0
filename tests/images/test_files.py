"""Official archives, folders of batches and .npz files give the same images, and every damaged file a plain message."""

from __future__ import annotations

import gc
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from naswot_ray.errors import ImagesError
from naswot_ray.images.files import FILES
from naswot_ray.images.source import load_images
from tests.data import find_images
from tests.images.official import batch, batches, publish, python2_pickle, some_pixels, write_archive, write_folder


def _refused(name: str, directory: Path, *parts: str) -> None:
    """Check that loading fails with one line that contains all parts, and leaves no file open."""
    with pytest.raises(ImagesError) as caught:
        load_images(name, directory)
    message = str(caught.value)
    assert "\n" not in message
    assert [part for part in parts if part not in message] == [], message
    del caught
    gc.collect()


class TestSameImages:
    @pytest.mark.parametrize("name", ["cifar10", "cifar100"])
    def test_from_archive_folder_and_npz(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        pixels = some_pixels(25, 32)
        content = batches(name, pixels)
        directories = [tmp_path / kind for kind in ("archive", "folder", "npz")]
        for directory in directories:
            directory.mkdir()
        archive = write_archive(name, directories[0], content)
        write_folder(name, directories[1], content)
        np.savez(directories[2] / f"{name}.npz", x_train=pixels)
        publish(monkeypatch, name, content=content, archive=archive)
        sources = [load_images(name, directory) for directory in directories]
        for source in sources:
            np.testing.assert_array_equal(source.pixels, pixels)
            assert source.shape == (3, 32, 32)
        assert len({source.digest for source in sources}) == 1
        assert len({source.batch(8, seed=1).tobytes() for source in sources}) == 1

    def test_imagenet16_keeps_the_first_120_classes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Labels count from 1: 1 and 120 are kept, 121 and 0 are dropped."""
        pixels = some_pixels(40, 16)
        labels = [1, 120, 121, 0] * 10
        (tmp_path / "npz").mkdir()
        content = batches("imagenet16-120", pixels, labels)
        folder = write_folder("imagenet16-120", tmp_path / "official", content)
        np.savez(tmp_path / "npz" / "imagenet16.npz", x=pixels, y_raw=np.array(labels))
        publish(monkeypatch, "imagenet16-120", content=content)
        official, npz = (load_images("imagenet16-120", directory) for directory in (folder, tmp_path / "npz"))
        np.testing.assert_array_equal(official.pixels, pixels[[i for i in range(40) if i % 4 < 2]])
        assert official.digest == npz.digest
        assert official.shape == (3, 16, 16)

    def test_digest_tells_images_and_order_apart(self, tmp_path: Path) -> None:
        pixels = some_pixels(10, 32)
        changed = pixels.copy()
        changed[3, 0, 0, 0] ^= 1
        digests = set()
        for images in (pixels, pixels[::-1], changed, pixels[:-1]):
            np.savez(tmp_path / "cifar10.npz", x_train=images)
            digests.add(load_images("cifar10", tmp_path).digest)
        assert len(digests) == 4

    def test_archive_comes_first_then_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        np.savez(tmp_path / "cifar10.npz", x_train=some_pixels(5, 32))
        content = batches("cifar10", some_pixels(10, 32))
        write_folder("cifar10", tmp_path, content)
        publish(monkeypatch, "cifar10", content=content)
        np.testing.assert_array_equal(load_images("cifar10", tmp_path).pixels, some_pixels(10, 32))
        inside = batches("cifar10", some_pixels(15, 32))
        publish(monkeypatch, "cifar10", archive=write_archive("cifar10", tmp_path, inside))
        np.testing.assert_array_equal(load_images("cifar10", tmp_path).pixels, some_pixels(15, 32))

    @pytest.mark.parametrize(
        ("name", "counts", "size"),
        [("cifar10", {5_438, 50_000}, 32), ("cifar100", {1_117, 50_000}, 32), ("imagenet16-120", {106, 151_700}, 16)],
    )
    def test_of_real_images(self, name: str, counts: set[int], size: int) -> None:
        source = load_images(name, find_images(name))
        assert source.pixels is not None
        assert source.pixels.shape[0] in counts, "the development images, or all of the official file"
        assert source.pixels.shape[1:] == (3, size, size)
        batch_nchw = source.batch(64, seed=0)
        assert np.abs(batch_nchw.mean((0, 2, 3))).max() < 0.5, "normalised with the data set's own constants"
        assert np.abs(batch_nchw.std((0, 2, 3)) - 1).max() < 0.35


class TestNotTheOfficialFile:
    def test_folder(self, tmp_path: Path) -> None:
        folder = write_folder("cifar10", tmp_path, batches("cifar10", some_pixels(5, 32)))
        published = FILES["cifar10"].batches["data_batch_1"]
        _refused("cifar10", tmp_path, str(folder / "data_batch_1"), "is not the official file", published, "download it again")

    def test_archive(self, tmp_path: Path) -> None:
        path = write_archive("cifar100", tmp_path, batches("cifar100", some_pixels(5, 32)))
        _refused("cifar100", tmp_path, str(path), "its MD5 is", "eb9058c3a382ffc7106e4002c42a8d85")

    @pytest.mark.parametrize("at", [0, 3, 100, -5])
    def test_one_flipped_bit_of_an_archive(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        path = write_archive("cifar10", tmp_path, batches("cifar10", some_pixels(5, 32)))
        publish(monkeypatch, "cifar10", archive=path)
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)
        _refused("cifar10", tmp_path, str(path), "is not the official file")

    @pytest.mark.parametrize("fraction", [0, 0.3, 0.99])
    def test_truncated_archive(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fraction: float) -> None:
        path = write_archive("cifar10", tmp_path, batches("cifar10", some_pixels(5, 32)))
        publish(monkeypatch, "cifar10", archive=path)
        os.truncate(path, int(fraction * path.stat().st_size))
        _refused("cifar10", tmp_path, str(path), "is not the official file")

    def test_a_later_batch(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        content = batches("cifar10", some_pixels(10, 32))
        folder = write_folder("cifar10", tmp_path, content)
        publish(monkeypatch, "cifar10", content=content)
        (folder / "data_batch_4").write_bytes(content["data_batch_5"])
        _refused("cifar10", tmp_path, str(folder / "data_batch_4"), "is not the official file")

    def test_a_missing_batch(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        content = batches("cifar10", some_pixels(10, 32))
        folder = write_folder("cifar10", tmp_path, content)
        publish(monkeypatch, "cifar10", content=content)
        (folder / "data_batch_3").unlink()
        _refused("cifar10", tmp_path, "cannot read", str(folder / "data_batch_3"), "No such file")

    def test_an_archive_without_a_batch(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        content = batches("cifar10", some_pixels(10, 32))
        del content["data_batch_2"]
        path = write_archive("cifar10", tmp_path, content)
        publish(monkeypatch, "cifar10", archive=path)
        _refused("cifar10", tmp_path, str(path), "no member cifar-10-batches-py/data_batch_2")


class TestBatchContent:
    """A file may have the MD5 of a table that somebody changed, so its content is checked as well."""

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (python2_pickle([1, 2]), "is not a python batch of images"),
            (python2_pickle({"images": 1}), "'data'"),
            (python2_pickle({"data": np.zeros((2, 3072), np.float32), "fine_labels": [0, 1]}), "float32 of shape (2, 3072)"),
            (python2_pickle({"data": np.zeros((2, 768), np.uint8), "fine_labels": [0, 1]}), "uint8 of shape (2, 768)"),
            (python2_pickle({"data": [1, 2], "fine_labels": [0, 1]}), "found list"),
            (batch(some_pixels(3, 32), [0, 1, 2])[:-200], "is not a python batch of images: "),
            (b"", "is not a python batch of images: "),
        ],
    )
    def test_is_checked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, expected: str) -> None:
        folder = write_folder("cifar100", tmp_path, {"train": data})
        publish(monkeypatch, "cifar100", content={"train": data})
        _refused("cifar100", tmp_path, str(folder / "train"), expected)

    def test_as_many_labels_as_images(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        content = batches("imagenet16-120", some_pixels(20, 16), [1] * 20)
        content["train_data_batch_7"] = batch(some_pixels(2, 16), [1, 2, 3])
        write_folder("imagenet16-120", tmp_path, content)
        publish(monkeypatch, "imagenet16-120", content=content)
        _refused("imagenet16-120", tmp_path, "train_data_batch_7: 2 images but labels of shape (3,)")

    def test_malicious_pickle_is_not_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        marker = tmp_path / "was-run"

        class Malicious:
            def __reduce__(self) -> tuple[Any, ...]:
                return os.mkdir, (str(marker),)

        data = pickle.dumps({"data": Malicious(), "fine_labels": [0]}, protocol=2)
        write_folder("cifar100", tmp_path, {"train": data})
        publish(monkeypatch, "cifar100", content={"train": data})
        _refused("cifar100", tmp_path, "train is not a python batch of images: it asks for posix.mkdir")
        assert not marker.exists()
        pickle.loads(data)
        assert marker.exists(), "the pickle would have run"


def _written(path: Path, save: Callable[..., None] = np.savez, **arrays: Any) -> bytes:
    save(path, **arrays)
    return path.read_bytes()


class TestNpz:
    @pytest.mark.parametrize(
        ("array", "found"),
        [
            (np.zeros((4, 3, 32, 32), np.float32), "float32 of shape (4, 3, 32, 32)"),
            (np.zeros((4, 32, 32, 3), np.uint8), "uint8 of shape (4, 32, 32, 3)"),
            (np.zeros((4, 3, 16, 16), np.uint8), "uint8 of shape (4, 3, 16, 16)"),
            (np.uint8(1), "uint8 of shape ()"),
        ],
    )
    def test_wrong_array(self, tmp_path: Path, array: Any, found: str) -> None:
        _written(tmp_path / "cifar10.npz", x_train=array)
        expected = "cifar10.npz: expected uint8 images (n, 3, 32, 32), found " + found
        _refused("cifar10", tmp_path, expected)

    def test_wrong_name(self, tmp_path: Path) -> None:
        _written(tmp_path / "cifar10.npz", x=some_pixels(4, 32))
        _refused("cifar10", tmp_path, "cifar10.npz", "x_train", "expected the array 'x_train' of uint8 images")

    def test_wrong_labels(self, tmp_path: Path) -> None:
        _written(tmp_path / "imagenet16.npz", x=some_pixels(4, 16), y_raw=np.arange(3))
        _refused("imagenet16-120", tmp_path, "imagenet16.npz: 4 images but labels of shape (3,)")

    def test_objects_are_not_unpickled(self, tmp_path: Path) -> None:
        _written(tmp_path / "cifar10.npz", x_train=np.array([{}, None], dtype=object))
        _refused("cifar10", tmp_path, "cifar10.npz is damaged or not an .npz file", "allow_pickle=False")

    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_flipped_bits_of_the_pixels(self, tmp_path: Path, save: Callable[..., None]) -> None:
        path = tmp_path / "cifar10.npz"
        data = _written(path, save, x_train=some_pixels(4, 32))
        for at in range(1000, len(data) - 1000, 997):
            path.write_bytes(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
            _refused("cifar10", tmp_path, str(path), "is damaged or not an .npz file")

    @pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # numpy's; see test_no_file_is_left_open
    @pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])
    def test_something_else(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "cifar10.npz").write_bytes(content)
        _refused("cifar10", tmp_path, "cifar10.npz is damaged or not an .npz file")

    @pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
    @pytest.mark.parametrize("fraction", [0.001, 0.2, 0.5, 0.9, 0.999])
    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_truncated(self, tmp_path: Path, save: Callable[..., None], fraction: float) -> None:
        path = tmp_path / "cifar10.npz"
        data = _written(path, save, x_train=some_pixels(4, 32))
        path.write_bytes(data[: int(fraction * len(data))])
        _refused("cifar10", tmp_path, str(path), "is damaged or not an .npz file")

    def test_no_file_is_left_open(self, tmp_path: Path) -> None:
        (tmp_path / "cifar10.npz").write_bytes(b"PK\x03\x04")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ResourceWarning)
            _refused("cifar10", tmp_path, "is damaged")
        assert [str(warning.message) for warning in caught] == []

    def test_a_plain_npy(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", some_pixels(4, 32))
        (tmp_path / "x.npy").rename(tmp_path / "cifar10.npz")
        _refused("cifar10", tmp_path, "cifar10.npz")

    def test_a_member_that_is_no_array(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "cifar10.npz", "w") as archive:
            archive.writestr("x_train.npy", b"no array")
        _refused("cifar10", tmp_path, "cifar10.npz")

    @pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_any_flipped_bit(self, tmp_path: Path, save: Callable[..., None]) -> None:
        """Headers are damaged too. The result is the right pixels or an `ImagesError`, never another exception or other
        pixels."""
        path = tmp_path / "cifar10.npz"
        pixels = some_pixels(2, 32)
        data = _written(path, save, x_train=pixels)
        for at in [*range(200), *range(len(data) - 120, len(data))]:
            for bit in (1, 8, 64):
                path.write_bytes(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :])
                with suppress(ImagesError):
                    np.testing.assert_array_equal(load_images("cifar10", tmp_path).pixels, pixels)


class TestNothingThere:
    def test_names_what_would_be_read(self, tmp_path: Path) -> None:
        for name, expected in (
            ("cifar10", "cifar-10-python.tar.gz, cifar-10-batches-py/data_batch_1, cifar10.npz"),
            ("cifar100", "cifar-100-python.tar.gz, cifar-100-python/train, cifar100.npz"),
            ("imagenet16-120", "train_data_batch_1, imagenet16.npz"),
        ):
            _refused(name, tmp_path, f"no {name} images in {tmp_path}: expected one of {expected}")

    def test_published_digests(self) -> None:
        """The two that this project has from the publishers' download pages."""
        assert FILES["cifar10"].archive_md5 == "c58f30108f718f92721af3b95e74349a"
        assert FILES["cifar100"].archive_md5 == "eb9058c3a382ffc7106e4002c42a8d85"
        assert FILES["imagenet16-120"].batches["train_data_batch_1"] == "27846dcaa50de8e21a7d1a35f30f0e91"
        for files in FILES.values():
            assert all(re.fullmatch("[0-9a-f]{32}", md5) for md5 in files.batches.values())


def test_a_batch_that_is_a_pipe_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = batches("cifar10", some_pixels(25, 32))
    folder = write_folder("cifar10", tmp_path, content)
    publish(monkeypatch, "cifar10", content=content)
    (folder / "data_batch_2").unlink()
    os.mkfifo(folder / "data_batch_2")
    _refused("cifar10", tmp_path, "data_batch_2: it is a pipe, expected a regular file")


@pytest.mark.parametrize("labels", [["1"] * 4, [1.5] * 4, [None] * 4], ids=["text", "fractions", "nothing"])
def test_labels_that_are_no_whole_numbers(tmp_path: Path, labels: list[Any]) -> None:
    np.savez(tmp_path / "imagenet16.npz", x=some_pixels(4, 16), y_raw=np.array(labels, dtype=np.array(labels).dtype.str))
    _refused("imagenet16-120", tmp_path, "imagenet16.npz")


def test_labels_of_unequal_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = batches("imagenet16-120", some_pixels(40, 16), [[1], [1, 2], *[[1]] * 38])  # type: ignore[list-item]
    write_folder("imagenet16-120", tmp_path, content)
    publish(monkeypatch, "imagenet16-120", content=content)
    _refused("imagenet16-120", tmp_path, "train_data_batch_1: expected a whole number for each label")
