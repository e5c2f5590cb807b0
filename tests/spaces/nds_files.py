"""Writes NDS' official format: a JSON file for each family, and the archive of them. Keys are as in the official notebooks."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CELL_NET: Mapping[str, Any] = {
    "genotype": {
        "normal": [["skip_connect", 0], ["max_pool_3x3", 1], ["sep_conv_3x3", 2], ["dil_conv_5x5", 0]],
        "normal_concat": [2, 3],
        "reduce": [["sep_conv_5x5", 1], ["skip_connect", 0], ["avg_pool_3x3", 2], ["sep_conv_3x3", 1]],
        "reduce_concat": [3],
    },
    "width": 16,
    "depth": 8,
    "aux": False,
    "drop_prob": 0.0,
}
"""A cell network as DARTS.json describes it, with two nodes per cell."""

ANYNET: Mapping[str, Any] = {
    "block_type": "res_bottleneck_block",
    "ds": [1, 4, 2],
    "ws": [16, 48, 120],
    "ss": [1, 2, 2],
    "bot_muls": [1.0, 2.0, 4.0],
    "num_gs": [1, 2, 4],
    "stem_w": 16,
}
"""A network as ResNeXt-A.json describes it."""


def nds_record(
    net: Mapping[str, Any],
    *,
    errors: Sequence[float | None] = (60.0, 20.0, 7.45),
    seed: int = 1,
    params: int = 470_314,
    flops: int = 69_251_072,
    base_lr: float = 0.1,
    wd: float = 0.0005,
) -> dict[str, Any]:
    """A record with every key of the official records.

    Args:
        net: the network.
        errors: `test_ep_top1`, the top-1 error in percent after each epoch.
        seed: `rng_seed`.
        params, flops: the counts themselves, not in millions.
        base_lr, wd: the values in `optim`.
    """
    return {
        "job_id": "2019_03_01_17_01_00_000042",
        "rng_seed": seed,
        "exp_mem": 1207.5,
        "act_mem": 1100.25,
        "params": params,
        "flops": flops,
        "net": dict(net),
        "optim": {"max_ep": len(errors), "base_lr": base_lr, "wd": wd, "lr_policy": "cos", "momentum": 0.9, "nesterov": True},
        "prec_time": {"train_fw_bw_time": 0.1, "test_fw_time": 0.03},
        "iter_time": 0.12,
        "min_test_top1": min((error for error in errors if error is not None), default=None),
        "train_ep_loss": [math.nan for _ in errors],
        "train_ep_top1": list(errors),
        "test_ep_top1": list(errors),
        "train_it_loss": [2.3, 1.5],
        "train_it_top1": [90.0, 50.0],
    }


def write_nds_json(folder: Path, family: str, content: Any) -> Path:
    """Write `<family>.json`: either a list of records, or an object with the lists `top` and `mid`."""
    path = folder / f"{family}.json"
    path.write_text(json.dumps(content))
    return path


def write_nds_zip(path: Path, families: Mapping[str, Any], *, prefix: str = "nds_data/") -> Path:
    """Write the archive. `families` maps a family to the content of its JSON file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for family, content in families.items():
            archive.writestr(f"{prefix}{family}.json", json.dumps(content))
    return path
