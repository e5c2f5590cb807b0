"""`score`: the function that an algorithm author calls."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import naswot_ray
from naswot_ray import Scores, get_space, load_images, score
from naswot_ray.engines.score import score_with_weights
from naswot_ray.engines.weights import SeededWeights
from naswot_ray.errors import ArchitectureError, SettingsError
from naswot_ray.network import NetworkBuilder
from naswot_ray.spaces.nasbench101 import NasBench101
from tests.spaces.nds_files import CELL_NET, nds_record, write_nds_json

CELL = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
OTHER = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_3x3~0|skip_connect~1|skip_connect~2|"
NOTHING = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
IMAGES = load_images("noise").batch(8, seed=0)[:, :, :16, :16]


def _same(one: Scores, other: Scores) -> bool:
    assert one.kernel is not None
    assert other.kernel is not None
    numbers = [(dict(s), s.num_units, s.num_units_paper, s.status) for s in (one, other)]
    return numbers[0] == numbers[1] and np.array_equal(one.kernel, other.kernel)


def test_is_score_with_weights_of_the_seed() -> None:
    network = get_space("nasbench201").network(CELL, input_shape=(3, 16, 16))
    for seed in (0, 7):
        by_hand = score_with_weights(network, IMAGES, SeededWeights(network, seed), return_kernel=True)
        assert _same(score(CELL, IMAGES, seed=seed, return_kernel=True), by_hand)
        assert _same(score(network, IMAGES, seed=seed, return_kernel=True), by_hand)


SHUFFLED = "|nor_conv_3x3~0|+|nor_conv_1x1~1|none~0|+|nor_conv_3x3~2|skip_connect~0|none~1|"


def test_takes_an_architecture_in_any_notation_of_its_space() -> None:
    """All are the row of one arch_id: the notation does not reach the weights."""
    expected = score(CELL, IMAGES, return_kernel=True)
    index = get_space("nasbench201").index(CELL)
    for notation in (SHUFFLED, index, np.int64(index), (2, 1, 0, 3, 1, 2), np.array([2, 1, 0, 3, 1, 2])):
        assert _same(score(notation, IMAGES, return_kernel=True), expected)
    assert not _same(
        score(get_space("nasbench201").network(SHUFFLED, input_shape=(3, 16, 16)), IMAGES, return_kernel=True), expected
    )


def test_takes_notations_of_other_spaces(nasbench101: NasBench101, tmp_path: Path) -> None:
    assert score((8, 16, 8, 16, 8), IMAGES, space="nats_sss") == score("8:16:8:16:8", IMAGES, space="nats_sss")
    matrix, ops = np.triu(np.ones((4, 4), int), 1), ["input", "maxpool3x3", "conv1x1-bn-relu", "output"]
    arch_id = nasbench101.arch_id_of((matrix, ops))
    assert score((matrix, ops), IMAGES, space=nasbench101) == score(arch_id, IMAGES, space=nasbench101)
    nds = get_space("nds_darts", source=str(write_nds_json(tmp_path, "DARTS", [nds_record(CELL_NET)])))
    assert score(CELL_NET["genotype"], IMAGES, space=nds) == score(nds[0], IMAGES, space=nds) == score(0, IMAGES, space=nds)


def test_result() -> None:
    result = score(CELL, IMAGES, return_kernel=True)
    assert result.kernel is not None
    assert result.kernel.shape == (8, 8)
    assert result.kernel.dtype == np.int64
    np.testing.assert_array_equal(result.kernel, result.kernel.T)
    assert (result.kernel.diagonal() == result.num_units).all()
    assert result["naswot"] == pytest.approx(np.linalg.slogdet(result.kernel)[1], abs=1e-9)
    assert result["naswot_paper"] < result["naswot"]
    assert result.status == "ok"
    edge, residual, last = 5 * (16 * 256 + 32 * 64 + 64 * 16), 16 * 256 + 32 * 64 + 32 * 64 + 64 * 16, 64 * 16
    assert result.num_units == 2 * 3 * edge + 2 * residual + last
    assert result.num_units_paper == 3 * edge + residual + last


def test_kernel_only_on_request() -> None:
    assert score(CELL, IMAGES).kernel is None
    assert score(CELL, IMAGES)["naswot"] == score(CELL, IMAGES, return_kernel=True)["naswot"]


def test_numpy_and_torch_images() -> None:
    expected = score(CELL, IMAGES, return_kernel=True)
    tensor = torch.from_numpy(IMAGES.copy())
    assert _same(score(CELL, tensor, return_kernel=True), expected)
    assert _same(score(CELL, IMAGES.astype(np.float64), return_kernel=True), expected)
    assert _same(score(CELL, tensor.to(memory_format=torch.channels_last), return_kernel=True), expected)
    assert _same(score(CELL, IMAGES[:, ::-1][:, ::-1], return_kernel=True), expected)
    assert _same(score(CELL, tensor.clone().requires_grad_(), return_kernel=True), expected)


def test_images_that_are_not_writable() -> None:
    images = IMAGES.copy()
    images.flags.writeable = False
    assert score(CELL, images)["naswot"] == score(CELL, IMAGES)["naswot"]


def test_is_a_function_of_its_arguments() -> None:
    """The score does not depend on what ran before, or on how random numbers were used."""
    before = score(CELL, IMAGES, seed=3, return_kernel=True)
    score(OTHER, IMAGES[:4], seed=4)
    torch.manual_seed(1)
    torch.randn(100)
    with torch.no_grad():
        again = score(CELL, IMAGES, seed=3, return_kernel=True)
    assert _same(again, before)


def test_differs_by_seed_architecture_and_images() -> None:
    results = [
        score(CELL, IMAGES, seed=0),
        score(CELL, IMAGES, seed=1),
        score(OTHER, IMAGES, seed=0),
        score(CELL, load_images("noise").batch(8, seed=1)[:, :, :16, :16], seed=0),
    ]
    assert len({result["naswot"] for result in results}) == 4
    assert results[0]["naswot"] == pytest.approx(results[1]["naswot"], rel=0.02), "two initialisations of one network are alike"


def test_images_and_global_generator_are_left_alone() -> None:
    images = torch.from_numpy(IMAGES.copy())
    state = torch.get_rng_state()
    score(CELL, images)
    np.testing.assert_array_equal(images.numpy(), IMAGES)
    assert images.grad is None
    assert torch.equal(torch.get_rng_state(), state)


def test_precision_setting_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    score(CELL, IMAGES)
    assert torch.backends.cudnn.allow_tf32 is True


def test_order_of_images_permutes_the_kernel() -> None:
    order = [3, 1, 0, 2, 7, 6, 5, 4]
    one, other = score(CELL, IMAGES, return_kernel=True), score(CELL, IMAGES[order], return_kernel=True)
    assert one.kernel is not None
    assert other.kernel is not None
    # Batch statistics add in another order, so a unit near zero may flip.
    assert np.abs(other.kernel - one.kernel[np.ix_(order, order)]).max() <= 8
    assert other["naswot"] == pytest.approx(one["naswot"], abs=1e-3)


@pytest.mark.parametrize("arch_id", [NOTHING, "|skip_connect~0|+|skip_connect~0|none~1|+|none~0|none~1|none~2|"])
def test_cell_that_passes_nothing_is_singular(arch_id: str) -> None:
    result = score(arch_id, IMAGES, return_kernel=True)
    assert (result["naswot"], result["naswot_paper"], result.status) == (-math.inf, -math.inf, "singular")
    assert result.num_units > 0
    assert result.kernel is not None
    assert (result.kernel == result.num_units).all()


def test_equal_images_are_singular() -> None:
    images = IMAGES.copy()
    images[5] = images[2]
    assert score(CELL, images).status == "singular"


def test_network_without_a_live_relu() -> None:
    b = NetworkBuilder((3, 16, 16))
    network = b.build(b.linear(b.global_avg_pool(b.conv(b.input, 4, 3)), 10), arch_id="linear")
    result = score(network, IMAGES)
    assert (result["naswot"], result.num_units, result.status) == (-math.inf, 0, "singular")


def test_other_image_shapes() -> None:
    """Channels and image size follow from the images."""
    grey = score(CELL, IMAGES[:, :1])
    assert math.isfinite(grey["naswot"])
    small = score(CELL, IMAGES[:, :, :8, :8])
    assert small.num_units * 4 == grey.num_units


def test_pinned_score() -> None:
    """These are the weights and images that runs use. If the value changes, so do all datasets."""
    result = score(get_space("nasbench201")[0], load_images("noise").batch(16, seed=0))
    assert result["naswot"] == pytest.approx(205.65097412942475, abs=1e-3)
    assert result["naswot_paper"] == pytest.approx(194.65774328042613, abs=1e-3)
    assert (result.num_units, result.num_units_paper) == (651264, 327680)


class TestErrors:
    def test_malformed_arch_id(self) -> None:
        with pytest.raises(ArchitectureError, match="unknown operation 'nor_conv_7x7'"):
            score(CELL.replace("nor_conv_3x3", "nor_conv_7x7"), IMAGES)

    def test_a_cell_outside_the_space(self) -> None:
        """Scores are those of a dataset's rows, and no dataset has this one. Its network can be scored all the same."""
        arch_id = "|nor_conv_3x3~0|+|none~0|none~0|+|skip_connect~0|none~0|none~0|"
        with pytest.raises(ArchitectureError, match=r"\(`space.network` builds it all the same\)"):
            score(arch_id, IMAGES)
        assert score(get_space("nasbench201").network(arch_id, input_shape=(3, 16, 16)), IMAGES).num_units > 0

    @pytest.mark.parametrize("architecture", [None, 1.5, True, {"ops": []}, ("none",) * 6])
    def test_what_is_no_architecture(self, architecture: object) -> None:
        with pytest.raises(ArchitectureError, match=r"expected an arch string|write an arch string"):
            score(architecture, IMAGES)

    def test_unknown_space(self) -> None:
        with pytest.raises(SettingsError, match="unknown space 'nasbench202'"):
            score(CELL, IMAGES, space="nasbench202")

    def test_images_of_another_shape_than_the_network(self) -> None:
        network = get_space("nasbench201").network(CELL)
        with pytest.raises(ValueError, match=r"images of shape \(3, 16, 16\) for a network that takes \(3, 32, 32\)"):
            score(network, IMAGES)

    @pytest.mark.parametrize(
        ("images", "message"),
        [
            (IMAGES[0], r"must be floating point \(n, channels, height, width\), got torch.float32 \(3, 16, 16\)"),
            (np.zeros((4, 3, 16, 16), np.uint8), r"must be floating point .*, got torch.uint8 \(4, 3, 16, 16\)"),
            (IMAGES[:1], "1 image: a kernel needs at least 2"),
            (IMAGES[:0], "0 image: a kernel needs at least 2"),
        ],
    )
    def test_images(self, images: np.ndarray, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            score(CELL, images)


def _modules_after(code: str) -> set[str]:
    """The heavy packages that a fresh interpreter has loaded after running `code`."""
    heavy = ("torch", "ray", "pyarrow", "duckdb", "numpy")
    report = f"import sys; print(*[name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


class TestImports:
    def test_package_is_light(self) -> None:
        assert _modules_after("import naswot_ray") == set()

    def test_networks_need_no_torch(self) -> None:
        """This is the design: only the engines load torch. NAS-Bench-101 is listed with numpy."""
        code = f"import naswot_ray; naswot_ray.get_space('nasbench201').network({CELL!r}).num_units"
        assert _modules_after(code) == {"numpy"}

    def test_scoring_needs_neither_ray_nor_pyarrow(self) -> None:
        code = (
            "import naswot_ray; images = naswot_ray.load_images('noise').batch(2, seed=0)\n"
            f"assert naswot_ray.score({CELL!r}, images).num_units; naswot_ray.score_module"
        )
        assert _modules_after(code) == {"torch", "numpy"}

    def test_public_names(self) -> None:
        assert set(naswot_ray.__all__) >= {"Network", "Scores", "get_space", "load_images", "open", "score", "score_module"}
        for name in naswot_ray.__all__:
            assert callable(getattr(naswot_ray, name))
        with pytest.raises(AttributeError, match="module 'naswot_ray' has no attribute 'scores'"):
            naswot_ray.scores  # noqa: B018


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_images_that_are_not_finite(value: float) -> None:
    images = IMAGES.copy()
    images[1, 2, 3, 4] = value
    with pytest.raises(ValueError, match="not finite"):
        score(CELL, images)
