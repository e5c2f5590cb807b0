"""The engine `cuda` on this machine's GPU: networks a second, what the device spends its time on, what the host does.

    python -m bench.cuda --data CIFAR --output figures/cuda                 # NAS-Bench-201 and -101, batch size 128, all dtypes
    python -m bench.cuda --space nasbench101 --space-option stem_channels=128 --num 256
    python -m bench.engines --device cuda --engine published --engine cuda --engine cuda:tf32 --published-num 20 --num 1024

For each space and dtype: a warm-up, which compiles the kernels; then `--repeats` times the scores of `--num` random
architectures in one process, from their names on, the median of which is told; then as many processes at once as `--processes`
says, each with architectures of its own; and the time of the device by kernel, from its own events. Beside them, in the same
run, the published procedure and the engine `exact` on the same device (`--slow-num` architectures). The host's share, building
graph and job tables, is measured alone. `whole space` is the space's size times the seconds of an architecture: a projection.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import typer

from bench import published
from bench.contestants import PUBLISHED, SEED, open_engine, score_group
from naswot_ray.engines.cuda.draws import drawing_of
from naswot_ray.engines.cuda.engine import LOCKSTEP
from naswot_ray.engines.cuda.group import merge
from naswot_ray.engines.cuda.jobs import lower
from naswot_ray.engines.weights import SeededWeights
from naswot_ray.images.source import load_images
from naswot_ray.network import Network
from naswot_ray.philox import sample_without_replacement
from naswot_ray.spaces import get_space


@dataclass(frozen=True)
class Load:
    """What is to be scored: the first `num` of random architectures of a space, from number `first` on."""

    space: str
    options: dict[str, str]
    first: int
    num: int
    input_shape: tuple[int, int, int]

    def networks(self) -> list[Network]:
        """Their graphs, made anew."""
        space = get_space(self.space, **self.options)
        drawn = sample_without_replacement(("bench",), len(space), self.first + self.num)[self.first :]
        return [space.network(space[int(index)], input_shape=self.input_shape) for index in drawn]


@dataclass(frozen=True)
class Speed:
    """Figures of one engine on one space.

    Attributes:
        engine: with its dtype, as in `cuda:tf32`; `host` is the engine cuda's work on the CPU alone.
        processes: at once, on one device.
        seconds: an architecture, all processes together; the median of the repeats.
        whole_space_seconds: the space's size times that.
        device_seconds: an architecture, by kernel.
    """

    space: str
    batch_size: int
    engine: str
    processes: int
    num: int
    seconds: float
    whole_space_seconds: float
    device_seconds: dict[str, float] = field(default_factory=dict)


def main(
    space: Annotated[list[str] | None, typer.Option(help="Space; repeat for several.")] = None,
    space_option: Annotated[list[str] | None, typer.Option(help="PARAMETER=VALUE of the spaces.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images per batch.")] = 128,
    dtype: Annotated[list[str] | None, typer.Option(help="Of engine cuda; repeat for several.")] = None,
    num: Annotated[int, typer.Option(help="Architectures.")] = 1024,
    slow_num: Annotated[int, typer.Option(help="Architectures for the published procedure and exact; 0 leaves them out.")] = 10,
    repeats: Annotated[int, typer.Option(help="Times that each is measured.")] = 5,
    processes: Annotated[list[int] | None, typer.Option(help="Processes at once; repeat for several.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of CIFAR-10; noise without.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder to write cuda.parquet to.")] = None,
) -> None:
    """Measure and print a table."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")  # the latter in Triton's interpreter
    source = load_images("cifar10", data) if data else load_images("noise")
    images = torch.from_numpy(source.batch(batch_size, seed=SEED)).to(device)
    channels, height, width = images.shape[1:]
    image_shape = (channels, height, width)
    options = dict(option.split("=", 1) for option in space_option or [])
    name = torch.cuda.get_device_name() if device.type == "cuda" else "interpreted"
    print(f"{name}, torch {torch.__version__}, {source.name}, batch size {batch_size}", flush=True)
    speeds: list[Speed] = []
    for space_name in space or ["nasbench201", "nasbench101"]:
        load = Load(space_name, options, 0, num, image_shape)
        size = len(get_space(space_name, **options))

        def add(engine: str, seconds: float, num: int, processes: int = 1, **more: Any) -> None:
            speed = Speed(space_name, batch_size, engine, processes, num, seconds / num, seconds / num * size, **more)  # noqa: B023
            speeds.append(speed)
            print(_line(speed), flush=True)

        for slow in (PUBLISHED, "exact") if slow_num else ():
            add(slow, _median(repeats, slow, Load(space_name, options, 0, slow_num, image_shape), images), slow_num)
        add("host", statistics.median(_host_seconds(load, batch_size) for _ in range(repeats)), num)
        for engine in (f"cuda:{name}" for name in dtype or ["float32", "tf32", "bfloat16"]):
            seconds = _median(repeats, engine, load, images)
            by_kernel = {kernel: spent / num for kernel, spent in _device_seconds(engine, load, images).items()}
            add(engine, seconds, num, device_seconds=by_kernel)
            for count in processes or []:
                add(engine, _together(count, repeats, engine, load, images), count * num, count)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        rows = [asdict(speed) | {"device_seconds": list(speed.device_seconds.items())} for speed in speeds]
        schema = pa.Table.from_pylist(rows).schema.set(7, pa.field("device_seconds", pa.map_(pa.string(), pa.float64())))
        pq.write_table(pa.Table.from_pylist(rows, schema), output / "cuda.parquet")


def _run(engine: str, load: Load, images: torch.Tensor) -> None:
    networks = load.networks()
    if engine == PUBLISHED:
        for network in networks:
            published.score(network, images)
        return
    size = open_engine(engine).max_group
    for first in range(0, len(networks), size):
        score_group(engine, networks[first : first + size], images)


def _seconds(engine: str, load: Load, images: torch.Tensor) -> float:
    """On the wall: every engine's scores end on the host, so the device is done when they are there."""
    before = time.perf_counter()
    _run(engine, load, images)
    return time.perf_counter() - before


def _median(repeats: int, engine: str, load: Load, images: torch.Tensor) -> float:
    _run(engine, load, images)
    return statistics.median(_seconds(engine, load, images) for _ in range(repeats))


def _host_seconds(load: Load, batch_size: int) -> float:
    before = time.perf_counter()
    networks = load.networks()
    lowered = [lower(network, batch_size) for network in networks]
    for one, network in zip(lowered, networks, strict=True):
        drawing_of(one.layers, SeededWeights(network, SEED))
    for first in range(0, len(lowered), LOCKSTEP):
        merge(lowered[first : first + LOCKSTEP], batch_size)
    return time.perf_counter() - before


def _device_seconds(engine: str, load: Load, images: torch.Tensor) -> dict[str, float]:
    """Seconds that the device spent on each kernel; empty without one."""
    if not torch.cuda.is_available():
        return {}
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        _run(engine, load, images)
        torch.cuda.synchronize()
    spent = {event.key: event.self_device_time_total * 1e-6 for event in profile.key_averages()}
    return dict(sorted(((k, s) for k, s in spent.items() if s > 0), key=lambda entry: -entry[1]))


def _together(count: int, repeats: int, engine: str, load: Load, images: torch.Tensor) -> float:
    """Seconds that `count` processes take, all at once, each for a load of its own; the median of the repeats."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(count + 1)
    arguments = [
        (barrier, repeats, engine, Load(load.space, load.options, n * load.num, load.num, load.input_shape), images.cpu())
        for n in range(count)
    ]
    with _started([context.Process(target=_take_part, args=a) for a in arguments]):
        seconds = []
        barrier.wait()  # all are warm
        for _ in range(repeats):
            barrier.wait()
            before = time.perf_counter()
            barrier.wait()
            seconds.append(time.perf_counter() - before)
    return statistics.median(seconds)


def _take_part(barrier: Any, repeats: int, engine: str, load: Load, images: torch.Tensor) -> None:
    try:
        images = images.to("cuda" if torch.cuda.is_available() else "cpu")
        _run(engine, load, images)
        barrier.wait()
        for _ in range(repeats):
            barrier.wait()
            _run(engine, load, images)
            barrier.wait()
    except BaseException:
        barrier.abort()
        raise


@contextmanager
def _started(processes: Sequence[Any]) -> Iterator[None]:
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.join()


def _line(speed: Speed) -> str:
    total = sum(speed.device_seconds.values())
    shares = ", ".join(f"{kernel} {spent / total:.0%}" for kernel, spent in list(speed.device_seconds.items())[:6])
    device = f"; device {1e3 * total:.3f} ms: {shares}" if total else ""
    return (
        f"{speed.space:12} {speed.engine:14} x{speed.processes:<3} {1e3 * speed.seconds:9.3f} ms each, "
        f"whole space {speed.whole_space_seconds:,.0f} s{device}"
    )


if __name__ == "__main__":
    typer.run(main)
