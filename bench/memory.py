"""Peak memory of one engine on the first networks of one space, in a process of its own (see bench/engines.py)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch

from bench.contestants import open_contestant
from bench.samples import samples
from naswot_ray.images.source import load_images

MiB = 2**20


def peak_mib(space: str, batch_size: int, engine: str, *, num: int, device: str) -> dict[str, float]:
    """Measure in a new process.

    Returns:
        `start_mib`, resident before the first network, and `peak_mib`, the most until the end, in MiB; on a GPU
        `gpu_mib` as well, the most that tensors took.
    """
    arguments = [space, str(batch_size), engine, str(num), device]
    done = subprocess.run([sys.executable, "-m", __name__, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(space: str, batch_size: str, engine: str, num: str, device: str) -> None:
    """Measure in this process."""
    torch.set_num_threads(1)
    contestant = open_contestant(engine)
    images = torch.from_numpy(load_images("noise").batch(int(batch_size), seed=0)).to(device)
    drawn = samples(space, int(num))
    start = _resident("VmRSS")
    for first in range(0, len(drawn), contestant.max_group):
        contestant.prepare(drawn[first : first + contestant.max_group])
        contestant.run(images)
    found = {"start_mib": start, "peak_mib": _resident("VmHWM")}
    if device != "cpu":
        found["gpu_mib"] = torch.cuda.max_memory_allocated() / MiB
    print(json.dumps(found))


def _resident(field: str) -> float:
    """Of this process, in MiB. Not `ru_maxrss`: a new process inherits its parent's there."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / MiB for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    main(*sys.argv[1:])
