"""What the driver, Ray and the storage cost: runs whose engine does nothing, or sleeps.

    python -m bench.driver throughput --shards 100000       # no-op engine: shards/s, memory as it goes, and a resume
    python -m bench.driver scaling --actors 1 --actors 8    # sleeping engine: efficiency of so many actors

Each prints lines as it goes and writes its figures as JSON with --output.
"""

from __future__ import annotations

import json
import resource
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from naswot_ray.dataset.manifest import Settings
from naswot_ray.dataset.runs import GridRecord
from naswot_ray.dataset.storage import Storage
from naswot_ray.engines.weights import WEIGHTS_VERSION
from naswot_ray.grid.grid import Grid, Task
from naswot_ray.grid.rows import failed_score_row, write_rows
from naswot_ray.grid.survey import Survey
from naswot_ray.images.source import BATCH_VERSION, load_images
from naswot_ray.measures import DEFAULT_MEASURES, get_measures
from naswot_ray.run import ray_environment
from naswot_ray.run.driver import Driver, Policy
from naswot_ray.run.progress import ConsoleRunProgress
from naswot_ray.run.receipt import Pixels, Receipt
from naswot_ray.run.worker import Worker
from naswot_ray.spaces import Space, get_space

SPACE = "nasbench201"
SHARD_SIZE = 64
MEASURES = {one.name: one.version for one in get_measures(DEFAULT_MEASURES)}

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)
Output = Annotated[Path | None, typer.Option(help="JSON file to write the figures to.")]


class SleepingWorker(Worker):
    """Writes parts as a worker does, of rows that cost a given time and no computation."""

    seconds_per_shard = 0.0

    def run(self, task: Task, space: Space, images: Pixels | None) -> Receipt:
        """Sleep, then write the rows of the task."""
        self._left_to_do(task)
        if self.seconds_per_shard:
            time.sleep(self.seconds_per_shard)
        batch = task.shard.point.batch
        assert batch is not None
        empty = (failed_score_row(space, i, batch, "", run_id=self._run_id) for i in task.indices)
        rows = [replace(row, values=dict.fromkeys(MEASURES, 1.0), num_units=1, error=None) for row in empty]
        counts = write_rows(self._storage, task.shard, rows, self._run_id, self._settings, MEASURES)
        return Receipt(counts, part=task.shard.path)


class TellingProgress(ConsoleRunProgress):
    """Keeps the memory of the driver as it goes."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self.mib: list[float] = []
        self._last = 0.0

    def tick(self) -> None:
        super().tick()
        if time.monotonic() - self._last > 2:
            self._last = time.monotonic()
            self.mib.append(psutil.Process().memory_info().rss / 2**20)


def make_grid(num_shards: int) -> Grid:
    """A grid of about so many shards, 64 architectures each, of as many seeds as that takes."""
    size = len(get_space(SPACE))
    per_point = -(-size // SHARD_SIZE)
    seeds = tuple(range(-(-num_shards // per_point)))
    record = GridRecord(spaces=(SPACE,), num_architectures=(size,), images="noise", batch_sizes=(4,), seeds=seeds)
    return Grid(record, SHARD_SIZE)


def settings() -> Settings:
    """Of a run on noise."""
    source = load_images("noise")
    return Settings(
        values={"dtype": "float32"},
        weights=WEIGHTS_VERSION,
        batches=BATCH_VERSION,
        spaces={SPACE: dict(get_space(SPACE).settings())},
        images={source.name: dict(source.settings())},
        measures=MEASURES,
    )


def drive(root: Path, grid: Grid, tasks: Iterable[Task], num_rows: int, actors: int, worker: type[Worker]) -> dict[str, Any]:
    """Do tasks on real actors; the figures of the run."""
    from naswot_ray.run.ray_pool import RayPool, connect  # noqa: PLC0415  after `prepare`

    connect(ray_environment.LOCAL)
    images = load_images("noise").batch(4, 0)
    spaces = {SPACE: get_space(SPACE)}
    pool = RayPool(str(root), "bench", settings(), spaces, lambda _: images, num_actors=actors, worker_factory=worker)
    with TellingProgress(num_rows) as progress:
        driver = Driver(pool, Policy(), lambda task, error: Receipt(), lambda part: None, progress)
        before = resource.getrusage(resource.RUSAGE_SELF)
        driver.drive(tasks)
        after = resource.getrusage(resource.RUSAGE_SELF)
    pool.close()
    return {
        "rows": sum(counts.total() for counts in driver.counts.values()),
        "seconds": driver.seconds,
        "driver_cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "driver_mib": progress.mib,
    }


def scores_only(grid: Grid, root: Path, most: int | None = None) -> Iterator[Task]:
    """The tasks of a grid that write scores."""
    found = (task for task in Survey(grid, Storage(root), settings()).missing() if task.shard.point.batch is not None)
    for number, task in enumerate(found):
        if number == most:
            return
        yield task


@app.command()
def throughput(shards: int = 20_000, actors: int = 2, output: Output = None) -> None:
    """Shards per second with an engine that does nothing, parts written; then the time to resume from so many parts."""
    ray_environment.prepare(ray_environment.LOCAL)
    grid = make_grid(shards)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        found = drive(root, grid, scores_only(grid, root, shards), shards * SHARD_SIZE, actors, SleepingWorker)
        rate, mib = shards / found["seconds"], found["driver_mib"]
        print(f"{shards} shards in {found['seconds']:.1f} s: {rate:.0f} shards/s on {actors} actors")
        print(f"driver: {1e3 * found['driver_cpu_seconds'] / shards:.2f} ms of its processor a shard")
        print(f"driver's memory: {mib[0]:.0f} MiB at first, {mib[len(mib) // 2]:.0f} half-way, {mib[-1]:.0f} at the end")
        found |= {"resume_seconds_first": _resume(grid, root, "that verifies every part")}
        found |= {"resume_seconds": _resume(grid, root, "whose parts are known")}
    _write(output, {"shards": shards, "actors": actors, "shards_per_second": rate, **found})


def _resume(grid: Grid, root: Path, how: str) -> float:
    """Seconds to find out what is left to do."""
    started = time.perf_counter()
    left = sum(1 for task in Survey(grid, Storage(root), settings()).missing() if task.shard.point.batch is not None)
    seconds = time.perf_counter() - started
    print(f"resume {how}: {seconds:.1f} s, {left} shards of scores left")
    return seconds


@app.command()
def scaling(
    actors: Annotated[list[int] | None, typer.Option(help="Numbers of actors; repeat for several.")] = None,
    seconds_per_shard: float = 1.0,
    shards_per_actor: int = 40,
    output: Output = None,
) -> None:
    """Weak scaling with an engine that sleeps: the same work for each actor, whatever their number."""
    ray_environment.prepare(ray_environment.LOCAL)
    import ray  # noqa: PLC0415  after `prepare`

    ray.init(address=ray_environment.LOCAL, include_dashboard=False, log_to_driver=False, num_cpus=max(actors or [8]))
    worker = type("SleepingWorker", (SleepingWorker,), {"seconds_per_shard": seconds_per_shard})
    figures = []
    for num_actors in actors or [1, 2, 4, 8]:
        shards = shards_per_actor * num_actors
        grid = make_grid(shards)
        with tempfile.TemporaryDirectory() as root:
            tasks = scores_only(grid, Path(root), shards)
            found = drive(Path(root), grid, tasks, shards * SHARD_SIZE, num_actors, worker)
        efficiency = shards_per_actor * seconds_per_shard / found["seconds"]
        print(f"{num_actors} actors: {shards} shards of {seconds_per_shard:g} s in {found['seconds']:.2f} s: {efficiency:.1%}")
        figures.append({"actors": num_actors, "efficiency": efficiency, **found})
    _write(output, figures)


def _write(output: Path | None, figures: object) -> None:
    if output is not None:
        output.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    app()
