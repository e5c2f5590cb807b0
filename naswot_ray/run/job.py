"""The scoring job: from options to a filled dataset."""

from __future__ import annotations

import os
import platform
import secrets
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from naswot_ray.dataset import manifest, runs
from naswot_ray.dataset.address import is_uri
from naswot_ray.dataset.inputs import local_path
from naswot_ray.dataset.manifest import Settings
from naswot_ray.dataset.runs import GridRecord, RunRecord
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import NaswotError, SettingsError
from naswot_ray.run import ray_environment
from naswot_ray.run.driver import Driver, Policy
from naswot_ray.run.grid import Batch, Grid, Shard, Task
from naswot_ray.run.options import DEFAULT_SHARD_SIZE, ScoreOptions
from naswot_ray.run.pool import InProcessPool, Pool
from naswot_ray.run.progress import ConsoleProgress
from naswot_ray.run.worker import Pixels, Receipt, Worker, write_failed
from naswot_ray.scoring.images import BATCH_VERSION, ImageSource, load_images
from naswot_ray.scoring.weights import WEIGHTS_VERSION
from naswot_ray.spaces import Space, open_spaces


def score_spaces(options: ScoreOptions) -> RunRecord:
    """Score what is missing of a grid and write it to a dataset.

    Safe to run again after any interruption: rows that are there are kept, the rest is done.

    Args:
        options: what, where to and on what.

    Returns:
        the run's record, as written to `runs/`.

    Raises:
        NaswotError: bad options, unreadable images, a dataset of other settings, storage that cannot be written, no cluster.
        KeyboardInterrupt: on Ctrl-C or SIGTERM; everything written stays.
    """
    spaces = open_spaces(options.space, [_with_local_path(entry) for entry in options.space_option])
    data = None if options.data is None else local_path(options.data)
    source = load_images(options.images, data, image_size=options.image_size)
    _check_image_sizes(spaces, source, options.image_size)
    grid_record = GridRecord(
        spaces=tuple(spaces),
        num_architectures=tuple(map(len, spaces.values())),
        images=source.name,
        batch_sizes=tuple(options.batch_size),
        seeds=tuple(options.seed),
        limit=options.limit,
        sample=options.sample,
    )
    settings = _settings(spaces, source)
    storage = Storage(options.output)
    contract = manifest.extend(storage, settings, shard_size=options.shard_size, default_shard_size=DEFAULT_SHARD_SIZE)
    grid = Grid(grid_record, contract.shard_size)
    batches = {batch: source.batch(batch.batch_size, batch.seed) for batch in grid.batches()}
    storage.sweep_temporaries()
    tasks = grid.missing(storage, retry_failed=options.retry_failed)

    record = RunRecord(
        run_id=f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}",
        status="running",
        started=datetime.now(UTC),
        grid=grid_record,
        options=options.model_dump(mode="json"),
        fingerprint=contract.fingerprint,
        versions=_versions(),
        hardware=_hardware(),
    )
    for name in {task.shard.space for task in tasks if task.shard.batch is None}:
        if type(spaces[name]).prepare is not Space.prepare:
            print(f"preparing {name}", file=sys.stderr)
        spaces[name].prepare()
    with _pool(options, storage, record.run_id, spaces, batches, tasks) as (pool, resources):
        manifest.write(storage, contract)
        record = record.model_copy(update={"hardware": {**record.hardware, **resources}})
        runs.write(storage, record)
        return _drive(storage, record, spaces, pool, tasks, Policy(options.max_attempts, options.shard_timeout))


def _drive(
    storage: Storage, record: RunRecord, spaces: Mapping[str, Space], pool: Pool, tasks: list[Task], policy: Policy
) -> RunRecord:
    def record_failed(shard: Shard, index: int, error: str) -> Receipt:
        return write_failed(storage, spaces[shard.space], shard, index, error, record.run_id)

    num_rows = sum(len(task.indices) for task in tasks if task.shard.batch is not None)
    status: Literal["finished", "interrupted", "failed"] = "failed"
    with ConsoleProgress(num_rows) as progress, _sigterm_interrupts():
        driver = Driver(pool, policy, record_failed, progress)
        try:
            driver.drive(tasks)
            status = "finished"
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        finally:
            counts = {key.removeprefix("scores."): n for key, n in driver.counts.items() if key.startswith("scores.")}
            record = record.model_copy(
                update={
                    "status": status,
                    "finished": datetime.now(UTC),
                    "seconds": driver.seconds,
                    "counts": {"rows": sum(counts.values()), **counts},
                }
            )
            _write_record(storage, record, must_succeed=status == "finished")
    return record


def _write_record(storage: Storage, record: RunRecord, *, must_succeed: bool) -> None:
    try:
        runs.write(storage, record)
    except NaswotError:
        if must_succeed:
            raise  # otherwise the run already fails for a reason of its own, which must not be hidden


@contextmanager
def _pool(
    options: ScoreOptions,
    storage: Storage,
    run_id: str,
    spaces: Mapping[str, Space],
    batches: Mapping[Batch, Pixels],
    tasks: list[Task],
) -> Iterator[tuple[Pool, dict[str, Any]]]:
    root = storage.root
    if options.in_process or not tasks:
        yield InProcessPool(Worker(root, run_id, options.cpus_per_actor), spaces, batches), {}
        return
    address = ray_environment.resolve(options.address)
    ray_environment.prepare(address)
    from naswot_ray.run import ray_pool  # noqa: PLC0415  after `prepare`; --in-process must work where Ray is not installed

    ray_pool.connect(address)
    pool = ray_pool.RayPool(
        root,
        run_id,
        spaces,
        batches,
        num_actors=options.num_actors,
        actors_per_gpu=options.actors_per_gpu,
        cpus_per_actor=options.cpus_per_actor,
    )
    try:
        yield pool, pool.resources
    finally:
        pool.close()


def _with_local_path(entry: str) -> str:
    """An entry PARAMETER=VALUE whose value is no longer a URI."""
    parameter, equals, value = entry.partition("=")
    return f"{parameter}={local_path(value)}" if equals and is_uri(value) else entry


def _check_image_sizes(spaces: Mapping[str, Space], source: ImageSource, asked_for: int | None) -> None:
    for space in spaces.values():
        if asked_for is None and space.image_size > source.shape[1]:
            raise SettingsError(
                f"{space.name} has networks for images of {space.image_size} pixels, those of {source.name} have "
                f"{source.shape[1]}: say --image-size {space.image_size}, or whatever size is to be scored"
            )


def _settings(spaces: Mapping[str, Space], source: ImageSource) -> Settings:
    return Settings(
        weights=WEIGHTS_VERSION,
        batches=BATCH_VERSION,
        spaces={name: dict(space.settings()) for name, space in spaces.items()},
        images={source.name: dict(source.settings())},
    )


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in ("naswot-ray", "torch", "numpy", "pyarrow", "ray"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _hardware() -> dict[str, Any]:
    return {"platform": platform.platform(), "processor": _processor(), "cpus": os.cpu_count()}


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open() as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Treat SIGTERM (`ray job stop`, a spot instance that ends) like Ctrl-C."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
