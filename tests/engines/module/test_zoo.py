"""`score_module` on models that people use, without their weights."""

from __future__ import annotations

import warnings
from collections import Counter
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import nn

from bench.models import build
from naswot_ray import score_module
from naswot_ray.engines.module.activations import Fate
from naswot_ray.engines.module.score import ModuleScores, UncountedActivationWarning
from tests.engines.module.published import published_kernel

pytestmark = [
    pytest.mark.skipif(not all(map(find_spec, ("timm", "torchvision"))), reason="needs timm and torchvision"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),  # of those packages
]

IMAGES = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def make(model: str) -> nn.Module:
    module, _ = build(model)
    return module


def counted(result: ModuleScores) -> Counter[str]:
    return Counter(row.operation for row in result.activations if row.fate is Fate.COUNTED)


@pytest.mark.filterwarnings("ignore:.*sigmoid:naswot_ray.engines.module.score.UncountedActivationWarning")
@pytest.mark.parametrize("model", ["resnet18", "vgg11", "regnet_y_400mf", "mobilenet_v2", "squeezenet1_1"])
def test_published_number_where_the_published_rule_sees_all(model: str) -> None:
    module = make(f"torchvision:{model}")
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0  # the published code draws other numbers in its second pass
        if hasattr(part, "inplace"):
            setattr(part, "inplace", False)  # noqa: B010  hooks of `published_kernel` refuse it
    result = score_module(module, IMAGES, return_kernel=True)
    np.testing.assert_array_equal(result.kernel, published_kernel(module, IMAGES))
    assert result.num_units == result.num_units_published == result.num_units_paper
    assert result.notes == ()


def test_densenet_applies_relus_as_functions_too() -> None:
    result = score_module(make("torchvision:densenet121"), IMAGES)
    assert counted(result) == {"relu_": 121}
    assert result.num_units - result.num_units_published == 1024 * 2 * 2, "the last ReLU"


@pytest.mark.parametrize(
    ("model", "of_squeeze_excite", "real"),
    [
        ("timm:lcnet_050", 2, "hardswish"),
        ("timm:fastvit_t8", 1, "gelu"),
        ("timm:repvit_m0_9", 6, "gelu"),
        ("timm:gcresnext26ts", 8, "silu"),
        ("timm:rexnet_100", 13, "silu"),
        ("timm:nf_regnet_b1", 15, "silu"),
        ("torchvision:mobilenet_v3_small", 9, "hardswish"),
    ],
)
def test_real_activations_of_squeeze_excite_networks(model: str, of_squeeze_excite: int, real: str) -> None:
    module = make(model)
    with pytest.warns(UncountedActivationWarning, match=rf"{real} ×\d+ \(not piecewise linear\).*activations='sign' counts"):
        few = score_module(module, IMAGES)
    assert sum(number for operation, number in counted(few).items() if operation.startswith("relu")) >= of_squeeze_excite
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UncountedActivationWarning)  # of sigmoids, where they are the gates
        many = score_module(module, IMAGES, activations="sign")
    assert sum(number for operation, number in counted(many).items() if operation.startswith(real)) >= 10
    assert many.num_units > 2 * few.num_units
    with pytest.raises(ValueError, match="activations are not counted"):
        score_module(module, IMAGES, strict=True)


def test_swin_v2_computes_position_biases_with_relus() -> None:
    module = make("torchvision:swin_v2_t")
    with pytest.raises(ValueError, match=r"relu ×12 \(constant: .*gelu ×12 \(not piecewise linear\); activations='sign'"):
        score_module(module, IMAGES)
    assert counted(score_module(module, IMAGES, activations="sign")) == {"gelu": 12}


def test_auxiliary_heads_do_not_count() -> None:
    module = make("torchvision:googlenet")
    images = torch.randn(6, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    result = score_module(module, images)
    assert Counter(row.fate for row in result.activations) == {Fate.COUNTED: 57, Fate.DEAD: 4}
    every = score_module(module, images, outputs=lambda outputs: outputs)
    assert every.num_units > result.num_units


def test_dropout_does_not_move_the_score() -> None:
    module = make("torchvision:alexnet")
    assert score_module(module, IMAGES) == score_module(module, IMAGES)


def test_vision_transformer() -> None:
    module, size = build("timm:vit_tiny_patch16_224")
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    result = score_module(module, images, activations="sign")
    assert result.num_units == 12 * 197 * 768
