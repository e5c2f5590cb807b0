"""Batches depend only on (seed, source, size), and are normalised with the published constants."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from naswot_ray.errors import ImagesError
from naswot_ray.images.source import SOURCES, ImageSource, enlarge, load_images
from tests.images.official import some_pixels

NOISE = load_images("noise")


@pytest.fixture
def cifar10(tmp_path: Path) -> ImageSource:
    """50 images. The first pixel of image i is i."""
    pixels = some_pixels(50, 32)
    pixels[:, 0, 0, 0] = np.arange(50)
    np.savez(tmp_path / "cifar10.npz", x_train=pixels)
    return load_images("cifar10", tmp_path)


class TestNoise:
    def test_shape_and_moments(self) -> None:
        x = NOISE.batch(128, seed=0)
        assert x.shape == (128, 3, 32, 32)
        assert x.dtype == np.float32
        assert abs(float(x.mean())) < 0.008
        assert float(x.var()) == pytest.approx(1, abs=0.012)
        assert float((x**4).mean()) == pytest.approx(3, abs=0.08)
        correlations = np.corrcoef(x.reshape(128, -1)) - np.eye(128)
        assert np.abs(correlations).max() < 0.12, "images are independent"

    def test_pinned_bits(self) -> None:
        """If this fails, every score ever published changes: raise BATCH_VERSION, or undo the change."""
        digest = hashlib.sha256(NOISE.batch(8, seed=3).astype("<f4").tobytes()).hexdigest()
        assert digest == "0fb24fe01fc839e8298c027045200c8bd3801f29a4ea554fbba95579dcc313fc"

    def test_needs_no_data(self) -> None:
        assert load_images("noise", None).digest == NOISE.digest


class TestBatch:
    def test_is_the_same_every_time(self, cifar10: ImageSource) -> None:
        for source in (NOISE, cifar10):
            batch = source.batch(16, seed=5)
            source.batch(32, seed=6)
            np.testing.assert_array_equal(source.batch(16, seed=5), batch)

    def test_differs_by_seed_and_size(self, cifar10: ImageSource) -> None:
        for source in (NOISE, cifar10):
            firsts = {source.batch(n, seed)[:8].tobytes() for n in (8, 16, 32) for seed in (0, 1, -1)}
            assert len(firsts) == 9

    def test_differs_by_source(self, cifar10: ImageSource) -> None:
        """Two sources with the same pixels still draw different images."""
        other = ImageSource("cifar100", cifar10.pixels, cifar10.shape, cifar10.digest)
        assert _numbers(cifar10, 20) != _numbers(other, 20)

    def test_is_drawn_without_replacement(self, cifar10: ImageSource) -> None:
        assert len(set(_numbers(cifar10, 30))) == 30
        assert sorted(_numbers(cifar10, 50)) == list(range(50))
        assert _numbers(cifar10, 50) != list(range(50))

    @pytest.mark.parametrize("size", [1, 0, -4])
    def test_a_kernel_needs_two_images(self, cifar10: ImageSource, size: int) -> None:
        for source in (NOISE, cifar10):
            with pytest.raises(ImagesError, match=rf"^batch size {size}: a kernel needs at least 2 images$"):
                source.batch(size, seed=0)

    def test_more_than_there_are(self, cifar10: ImageSource) -> None:
        with pytest.raises(ImagesError, match=r"^batch size 51: cifar10 holds only 50 images here$"):
            cifar10.batch(51, seed=0)

    def test_leaves_the_images_alone(self, cifar10: ImageSource) -> None:
        assert cifar10.pixels is not None
        before = cifar10.pixels.copy()
        cifar10.batch(50, seed=0)[:] = 0
        np.testing.assert_array_equal(cifar10.pixels, before)


def _numbers(source: ImageSource, size: int) -> list[int]:
    """Which images a batch holds, recognised by their first pixel."""
    mean, std = {"cifar10": (125.3, 63.0), "cifar100": (129.3, 68.2)}[source.name]
    first = source.batch(size, seed=0)[:, 0, 0, 0].astype(np.float64)
    return [int(v) for v in np.rint(first * std + mean)]


@pytest.mark.parametrize(
    ("name", "black", "white"),
    [
        ("cifar10", (-125.3 / 63.0, -123.0 / 62.1, -113.9 / 66.7), (129.7 / 63.0, 132.0 / 62.1, 141.1 / 66.7)),
        ("cifar100", (-129.3 / 68.2, -124.1 / 65.4, -112.4 / 70.4), (125.7 / 68.2, 130.9 / 65.4, 142.6 / 70.4)),
        (
            "imagenet16-120",
            (-122.68 / 63.22, -116.66 / 61.26, -104.01 / 65.09),
            (132.32 / 63.22, 138.34 / 61.26, 150.99 / 65.09),
        ),
    ],
)
def test_normalisation(name: str, black: tuple[float, ...], white: tuple[float, ...]) -> None:
    """(pixel - mean) / std for each channel, with the constants of the NAS-Bench-201 code in units of 1/255."""
    pixels = np.zeros((2, 3, 16, 16), np.uint8)
    pixels[1] = 255
    batch = ImageSource(name, pixels, (3, 16, 16), "").batch(2, seed=0)
    dark, light = sorted(batch, key=lambda image: float(image.mean()))
    np.testing.assert_allclose(dark, np.broadcast_to(np.reshape(black, (3, 1, 1)), dark.shape), rtol=1e-5)
    np.testing.assert_allclose(light, np.broadcast_to(np.reshape(white, (3, 1, 1)), light.shape), rtol=1e-5)


class TestLoad:
    def test_unknown_source(self) -> None:
        with pytest.raises(
            ImagesError, match=r"^unknown image source 'cifar'; there are: noise, cifar10, cifar100, imagenet16-120$"
        ):
            load_images("cifar")

    @pytest.mark.parametrize("name", [name for name in SOURCES if name != "noise"])
    def test_data_directory_is_needed(self, name: str) -> None:
        with pytest.raises(ImagesError, match=rf"^image source {name} needs a data directory \(--data DIR\)$"):
            load_images(name)

    def test_data_directory_must_exist(self, tmp_path: Path) -> None:
        with pytest.raises(ImagesError, match=f"^data directory {tmp_path}/absent does not exist$"):
            load_images("cifar10", tmp_path / "absent")

    def test_directory_may_be_text(self, cifar10: ImageSource, tmp_path: Path) -> None:
        assert load_images("cifar10", str(tmp_path)).digest == cifar10.digest

    def test_settings_are_what_a_batch_depends_on(self, cifar10: ImageSource) -> None:
        assert dict(cifar10.settings()) == {
            "digest": cifar10.digest,
            "num_images": 50,
            "shape": [3, 32, 32],
            "mean_255": [125.3, 123.0, 113.9],
            "std_255": [63.0, 62.1, 66.7],
        }
        assert dict(NOISE.settings()) == {
            "digest": NOISE.digest,
            "num_images": None,
            "shape": [3, 32, 32],
            "mean_255": None,
            "std_255": None,
        }


def test_images_of_another_size(cifar10: ImageSource, tmp_path: Path) -> None:
    assert load_images("noise", image_size=32).name == "noise"
    noise = load_images("noise", image_size=40)
    assert (noise.name, noise.shape, noise.batch(4, seed=0).shape) == ("noise-40", (3, 40, 40), (4, 3, 40, 40))
    assert noise.settings()["shape"] == [3, 40, 40]
    large = load_images("cifar10", tmp_path, image_size=64)
    assert (large.name, large.digest) == ("cifar10-64", cifar10.digest)
    batch, original = large.batch(4, seed=3), cifar10.batch(4, seed=3)
    # These are the same images: half-pixel centres put each original pixel in the middle of four new ones.
    np.testing.assert_allclose(batch.reshape(4, 3, 32, 2, 32, 2).mean((3, 5))[:, :, 1:-1, 1:-1], _blurred(original), atol=1e-5)


def _blurred(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The effect of enlarging to twice the size and averaging back: a filter (1/8, 3/4, 1/8) in both directions."""
    for axis in (2, 3):
        left, middle, right = (images.take(range(k, images.shape[axis] - 2 + k), axis) for k in range(3))
        images = np.float32(0.125) * (left + right) + np.float32(0.75) * middle
    return images


@given(size=st.integers(8, 40))
def test_enlarging_agrees_with_torch(size: int) -> None:
    images = np.random.default_rng(0).standard_normal((2, 3, 8, 8), dtype=np.float32)
    expected = F.interpolate(torch.from_numpy(images).double(), size=(size, size), mode="bilinear")
    np.testing.assert_allclose(enlarge(images, size), expected.numpy(), atol=1e-6)


def test_images_are_not_reduced(cifar10: ImageSource, tmp_path: Path) -> None:
    with pytest.raises(ImagesError, match=r"^image size 16: the images of cifar10 have 32 pixels and cannot be made smaller$"):
        load_images("cifar10", tmp_path, image_size=16)
