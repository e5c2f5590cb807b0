"""Models of torchvision and timm, built without their trained weights.

Models are called `torchvision:resnet18` and `timm:fastvit_t8`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import torch
from torch import library, nn

MODELS: Final = tuple(
    f"{package}:{name}"
    for package, names in {
        "torchvision": (
            "alexnet vgg11 vgg16_bn resnet18 resnet50 resnext50_32x4d wide_resnet50_2 densenet121 densenet169 googlenet "
            "inception_v3 squeezenet1_0 squeezenet1_1 shufflenet_v2_x0_5 shufflenet_v2_x1_0 mobilenet_v2 "
            "mobilenet_v3_small mobilenet_v3_large mnasnet0_5 mnasnet1_0 regnet_y_400mf regnet_x_400mf regnet_y_800mf "
            "efficientnet_b0 efficientnet_v2_s convnext_tiny vit_b_16 swin_t swin_v2_t maxvit_t"
        ),
        "timm": (
            "lcnet_050 fastvit_t8 gcresnext26ts repvit_m0_9 rexnet_100 nf_regnet_b1 mobilenetv3_small_100 "
            "mobilenetv4_conv_small efficientnet_lite0 ghostnet_100 hardcorenas_a mixnet_s tinynet_e semnasnet_075 "
            "fbnetc_100 spnasnet_100 resnet10t seresnet50 skresnet18 res2net50_26w_4s dla34 dpn68 hrnet_w18_small "
            "selecsls42b vovnet39a ese_vovnet19b_dw regnetx_002 regnety_002 repvgg_a0 resnest14d resnetv2_50 "
            "botnet26t_256 halonet26t lambda_resnet26t levit_128s vit_tiny_patch16_224 deit_tiny_patch16_224 "
            "mixer_s32_224 gmlp_ti16_224 resmlp_12_224 poolformer_s12 edgenext_xx_small mobilevit_xxs efficientformer_l1 "
            "coat_tiny xcit_nano_12_p16_224 convmixer_768_32 cspresnet50 darknet17 eca_resnet33ts"
        ),
    }.items()
    for name in names.split()
)


def build(model: str) -> tuple[nn.Module, int]:
    """A model with random weights (seed 0), and the size in pixels of the images that it takes.

    Raises:
        ValueError: the model is of another package.
        ImportError: the package is not installed.
    """
    package, name = model.split(":")
    torch.manual_seed(0)
    if package == "torchvision":
        models = _torchvision().models
        return models.get_model(name, weights=None), 299 if name == "inception_v3" else 224
    if package == "timm":
        _torchvision()  # timm imports it
        timm = import_module("timm")
        module = timm.create_model(name, pretrained=False)
        return module, int(module.pretrained_cfg["input_size"][-1])
    raise ValueError(f"{model}: expected torchvision:NAME or timm:NAME")


def _torchvision() -> Any:
    """torchvision, even where its compiled operators do not fit the installed torch. No model here needs them."""
    plain = library.register_fake
    try:
        return import_module("torchvision")
    except RuntimeError:  # operator torchvision::nms does not exist
        library.register_fake = lambda *_, **__: lambda function: function
        return import_module("torchvision")
    finally:
        library.register_fake = plain
