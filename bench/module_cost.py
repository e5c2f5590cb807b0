"""What `score_module` costs beside the published procedure with hooks: seconds and peak memory.

    python -m bench.module_cost                                        # torchvision's resnet50, 16 images of 224 pixels
    python -m bench.module_cost torchvision:densenet121 --num-images 32

Each contestant runs in a process of its own, on one thread, in turns. Prints a Markdown table of the least CPU seconds, and of
the most memory beyond that of the process before the first image. Needs torchvision or timm.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import torch
import typer
from torch import nn

from bench.models import build
from naswot_ray import score_module

MiB = 2**20


def score_by_hooks(module: nn.Module, images: torch.Tensor) -> float:
    """The published procedure (Mellor et al., score `hook_logdet`) on a module of one's own."""
    module.train()
    relus = [one for one in module.modules() if "ReLU" in str(type(one))]
    visited: set[nn.Module] = set()
    K = np.zeros((len(images), len(images)))
    counting = False

    def before(one: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if counting and one in visited:
            x = (inputs[0].reshape(len(inputs[0]), -1) > 0).float()
            K[:] += (x @ x.T + (1 - x) @ (1 - x.T)).numpy()

    for one in relus:
        one.register_forward_pre_hook(before)
        one.register_backward_hook(lambda module, *_: visited.add(module))  # as published; a full one refuses ReLUs in place
    outputs = module(images.clone().requires_grad_())
    outputs.backward(torch.ones_like(outputs))
    counting = True
    module(images.clone())
    return float(np.linalg.slogdet(K)[1])


_CONTESTANTS: Final[dict[str, Callable[[nn.Module, torch.Tensor], float]]] = {
    "published": score_by_hooks,
    "score_module": lambda module, images: score_module(module, images)["naswot"],
    "score_module, all measures": lambda module, images: score_module(module, images, measures=["all"])["naswot"],
}


def main(
    model: Annotated[str, typer.Argument(help="Model, as in bench.models.")] = "torchvision:resnet50",
    num_images: Annotated[int, typer.Option(help="Images in the batch.")] = 16,
    turns: Annotated[int, typer.Option(help="Turns; the least time counts.")] = 3,
    only: Annotated[str | None, typer.Option(help="Measure one contestant in this process.")] = None,
) -> None:
    """Measure, and print the table."""
    if only is not None:
        print(json.dumps(_measure(model, num_images, only)))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in _CONTESTANTS}
    for _ in range(turns):
        for name, results in found.items():
            command = [sys.executable, "-m", "bench.module_cost", model, f"--num-images={num_images}", f"--only={name}"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            results.append(json.loads(done.stdout.splitlines()[-1]))
    print(f"| {model}, {num_images} images | CPU seconds | peak, MiB | naswot |\n|---|---|---|---|")
    for name, results in found.items():
        seconds, peak = (min(result[key] for result in results) for key in ("seconds", "peak_mib"))
        print(f"| {name} | {seconds:.1f} | {peak:.0f} | {results[0]['score']:.3f} |")


def _measure(model: str, num_images: int, name: str) -> dict[str, float]:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    module, size = build(model)
    images = torch.randn(num_images, 3, size, size, generator=torch.Generator().manual_seed(0))
    before, begin = _resident("VmRSS"), time.process_time()
    score = _CONTESTANTS[name](module, images)
    return {"seconds": time.process_time() - begin, "peak_mib": _resident("VmHWM") - before, "score": score}


def _resident(field: str) -> float:
    """Of this process, in MiB. Not `ru_maxrss`: a new process inherits its parent's there."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / MiB for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
