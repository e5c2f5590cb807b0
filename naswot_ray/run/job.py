"""The scoring job: turns options into a filled dataset."""

from __future__ import annotations

import os
import platform
import secrets
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from types import FrameType
from typing import Any, Final

from naswot_ray.dataset import manifest, runs, schema
from naswot_ray.dataset.inputs import local_option, local_path
from naswot_ray.dataset.manifest import Manifest
from naswot_ray.dataset.runs import GridRecord, GridState, RunRecord, RunStatus
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import NaswotError, RunError, SettingsError
from naswot_ray.grid.grid import Batch, Grid, Task, default_shard_size
from naswot_ray.grid.inventory import renew_parts
from naswot_ray.grid.plans import HEARTBEAT, seems_to_go_on
from naswot_ray.grid.rows import count_written, write_failed
from naswot_ray.grid.settings import settings_of
from naswot_ray.grid.survey import Survey, state_of
from naswot_ray.images.source import ImageSource, load_images
from naswot_ray.measures import get_measures, own_measures
from naswot_ray.run import ray_environment
from naswot_ray.run.driver import Driver, Policy
from naswot_ray.run.options import Decides, ScoreOptions
from naswot_ray.run.pool import InProcessPool, Pool, make_worker
from naswot_ray.run.progress import ConsoleRunProgress, RunProgress
from naswot_ray.run.receipt import Pixels, Receipt
from naswot_ray.spaces import Space, open_spaces
from naswot_ray.terminal import complain

MAX_ROUNDS: Final = 3
"""How many times a run looks for rows that vanished, and scores them again, before it gives up."""


def score_spaces(options: ScoreOptions) -> RunRecord:
    """Score the rows of a grid that a dataset lacks, and write them to it.

    After any interruption, call it again with the same options: it keeps the rows that exist and scores the rest.

    Args:
        options: what to score, where to write it and what to run it on.

    Returns:
        the run's record, as written to `runs/`.

    Raises:
        NaswotError: an option is wrong, images cannot be read, the dataset has other settings, its storage cannot be written,
            or no cluster answers.
        KeyboardInterrupt: on Ctrl-C or SIGTERM. Everything written stays.
    """
    measures = get_measures(options.measure)
    for one in measures:
        schema.check_measure_name(one.name)
    spaces = open_spaces(options.space, [local_option(entry) for entry in options.space_option])
    data = None if options.data is None else local_path(options.data)
    source = load_images(options.images, data, image_size=options.image_size)
    _check_image_sizes(spaces, source, options.image_size)
    for batch_size in options.batch_size:
        source.check_batch_size(batch_size)
    grid_record = GridRecord(
        spaces=tuple(spaces),
        num_architectures=tuple(map(len, spaces.values())),
        images=source.name,
        batch_sizes=tuple(options.batch_size),
        seeds=tuple(options.seed),
        limit=options.limit,
        sample=options.sample,
        measures=tuple(one.name for one in measures),
    )
    settings = settings_of(spaces, [source], options.deciding(Decides.VALUE), measures)
    storage = Storage(options.output)
    contract = manifest.extend(
        storage,
        settings,
        shard_size=options.shard_size,
        default_shard_size=default_shard_size(grid_record),
        columns={name: one.version for name, one in own_measures().items()},
        replace_older=options.replace_older,
    )
    grid = Grid(grid_record, contract.shard_size)
    storage.sweep_temporaries()
    others = _warn_of_other_runs(storage)
    survey = Survey(grid, storage, contract.settings)
    tasks = Tasks(survey, retry_failed=options.retry_failed, backwards=others)

    record = RunRecord(
        run_id=f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}",
        status="running",
        started=(now := datetime.now(UTC)),
        updated=now,
        grid=grid_record,
        options=options.model_dump(mode="json"),
        fingerprint=contract.fingerprint,
        versions=_versions(),
        hardware=_hardware(),
    )
    for name in tasks.spaces_to_list:
        if type(spaces[name]).prepare is not Space.prepare:
            complain(f"preparing {name}")
        spaces[name].prepare()
    policy = Policy(options.max_attempts, options.shard_timeout)
    run = _Run(storage, grid, spaces, contract, record, policy, options.replace_older)
    with _pool(options, run, source, nothing_to_do=not tasks) as pool:
        return run.drive(pool, survey, tasks)


@dataclass
class _Run:
    """A run in progress: its inputs, which stay the same, and its record, which is updated."""

    storage: Storage
    grid: Grid
    spaces: Mapping[str, Space]
    contract: Manifest
    record: RunRecord
    policy: Policy
    replace_older: bool
    planned: bool = False
    """Whether the dataset's manifest and the run's record have been written."""

    def drive(self, pool: Pool, survey: Survey, tasks: Tasks) -> RunRecord:
        """Do the tasks, then those whose rows turn out to be missing, and keep the run's record up to date."""

        def written(part: PurePosixPath) -> None:
            for note in self.storage.take_notes():  # this process's own; those of workers are in their receipts
                progress.note(note)
            if datetime.now(UTC) - self.record.updated >= HEARTBEAT:
                self._write_record(driver, pool, "running")

        status: RunStatus = "failed"
        state: GridState | None = None
        with ConsoleRunProgress(tasks.num_rows, num_architectures=tasks.num_architectures) as console, _sigterm_interrupts():
            progress = _metered(console, pool, self.record.run_id, tasks)
            driver = Driver(pool, self.policy, self._record_failed, written, progress, self._plan)
            try:
                driver.drive(tasks)
                if tasks:
                    survey = self._verify(driver, progress)
                state = state_of(survey)
                self._plan()
                status = "finished"
            except KeyboardInterrupt:
                status = "interrupted"
                raise
            finally:
                with _failing_quietly(unless=status == "finished"):
                    if self.planned:
                        self._write_record(driver, pool, status, state)
                    if self.planned and status != "finished":  # last, because whoever sent SIGTERM may soon send SIGKILL
                        pool.close()
                        driver.settle(self._count_written)
                        self._write_record(driver, pool, status, state)
        return self.record

    def _plan(self) -> None:
        """Record in the dataset which rows this run is to score.

        This is done once the first worker has started: if no worker can start, the dataset would lack these rows for ever.
        """
        if not self.planned:
            self.contract = manifest.write(self.storage, self.contract, replace_older=self.replace_older)
            runs.write(self.storage, self.record)
            if self.replace_older or self.contract.settings.measures.keys() - own_measures().keys():
                renew_parts(self.storage, self.contract, run_id=self.record.run_id)
            self.planned = True

    def _count_written(self, task: Task) -> Mapping[str, int]:
        return count_written(self.storage, task, self.record.run_id, task.indices, self.grid.record.measures)

    def _verify(self, driver: Driver, progress: RunProgress) -> Survey:
        """Look at all parts again, and score the rows that are missing.

        Why rows could be missing: on an object store, two runs that add to one part may lose each other's rows; and a part may
        have been damaged in the meantime.

        Returns:
            a survey of the dataset in which no row is missing.

        Raises:
            RunError: rows are still missing after `MAX_ROUNDS` rounds.
        """
        for _ in range(MAX_ROUNDS):
            survey = Survey(self.grid, self.storage, self.contract.settings)
            tasks = Tasks(survey)
            if not tasks:
                return survey
            progress.note(
                f"{tasks.num_rows} rows that had been written are missing (another run shares the dataset, or a part was "
                "damaged): scoring them again"
            )
            driver.drive(tasks)
        raise RunError(f"{self.storage.root}: rows that were written keep vanishing; let only one run at a time write there")

    def _write_record(self, driver: Driver, pool: Pool, status: RunStatus, state: GridState | None = None) -> None:
        counts = driver.counts["scores"]
        now = datetime.now(UTC)
        self.record = self.record.model_copy(
            update={
                "status": status,
                "updated": now,
                "finished": None if status == "running" else now,
                "seconds": driver.seconds,
                "counts": {"rows": counts.total(), **counts},
                "state": state,
                "hardware": {**self.record.hardware, **pool.hardware},
            }
        )
        runs.write(self.storage, self.record)

    def _record_failed(self, task: Task, error: str) -> Receipt:
        space, measures = self.spaces[task.shard.point.space], self.grid.record.measures
        counts = write_failed(self.storage, space, task, error, self.record.run_id, self.contract.settings, measures)
        return Receipt(counts, part=task.shard.path, notes=self.storage.take_notes())


class Tasks:
    """The tasks that are left to do of a grid. They are counted at once, but made one by one while iterating.

    Attributes:
        num_rows: rows to do of the scores table.
        num_architectures: rows to do of the architectures table.
        spaces_to_list: spaces with rows to do of the architectures table, in order; the values are None.
    """

    def __init__(self, survey: Survey, *, retry_failed: bool = False, backwards: bool = False) -> None:
        self._survey = survey
        self._retry_failed = retry_failed
        self._backwards = backwards
        self.num_rows = self.num_architectures = 0
        self.spaces_to_list: dict[str, None] = {}
        for task in self:
            if task.shard.point.batch is None:
                self.spaces_to_list[task.shard.point.space] = None
                self.num_architectures += len(task.indices)
            else:
                self.num_rows += len(task.indices)

    def __iter__(self) -> Iterator[Task]:
        return self._survey.missing(retry_failed=self._retry_failed, backwards=self._backwards)

    def __bool__(self) -> bool:
        return bool(self.num_rows or self.spaces_to_list)


def _warn_of_other_runs(storage: Storage) -> bool:
    """Warn of each other run that seems to be writing to the dataset. Returns whether there is any."""
    others = [run.run_id for run in runs.read_all(storage) if seems_to_go_on(run)]
    for run_id in others:
        complain(
            f"run {run_id} has not ended. If it is still running, both runs will finish and the dataset will be right; this "
            "run begins at the other end of the grid. If it was killed, nothing is lost."
        )
    return bool(others)


def _metered(console: ConsoleRunProgress, pool: Pool, run_id: str, tasks: Tasks) -> RunProgress:
    if isinstance(pool, InProcessPool):
        return console
    from naswot_ray.run.ray_metrics import MeteredRunProgress  # noqa: PLC0415  --in-process must work where Ray is not installed

    return MeteredRunProgress(console, run_id, {"scores": tasks.num_rows, "architectures": tasks.num_architectures})


@contextmanager
def _failing_quietly(*, unless: bool) -> Iterator[None]:
    try:
        yield
    except NaswotError:
        if unless:
            raise  # if not, the run is already failing for another reason, which must stay visible


@contextmanager
def _pool(options: ScoreOptions, run: _Run, source: ImageSource, *, nothing_to_do: bool) -> Iterator[Pool]:
    def make_batch(batch: Batch) -> Pixels:
        return source.batch(batch.batch_size, batch.seed)

    root, run_id = run.storage.address.pinned, run.record.run_id
    factory = partial(make_worker, engine=options.engine, dtype=options.dtype, measures=run.grid.record.measures)
    if options.in_process or nothing_to_do:
        make = partial(factory, root, run_id, run.contract.settings)
        yield InProcessPool(make, run.spaces, make_batch, options.cpus_per_actor)
        return
    address = ray_environment.resolve(options.address)
    ray_environment.prepare(address)
    from naswot_ray.run import ray_pool  # noqa: PLC0415  after `prepare`; --in-process must work where Ray is not installed

    ray_pool.connect(address)
    pool = ray_pool.RayPool(
        root,
        run_id,
        run.contract.settings,
        run.spaces,
        make_batch,
        num_actors=options.num_actors,
        actors_per_gpu=options.actors_per_gpu,
        cpus_per_actor=options.cpus_per_actor,
        worker_factory=factory,
    )
    try:
        yield pool
    finally:
        pool.close()


def _check_image_sizes(spaces: Mapping[str, Space], source: ImageSource, asked_for: int | None) -> None:
    for space in spaces.values():
        if asked_for is None and space.image_size > source.shape[1]:
            raise SettingsError(
                f"{space.name} has networks for images of {space.image_size} pixels, but {source.name} has images of "
                f"{source.shape[1]}: give --image-size {space.image_size}, or the size that you want to score at"
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
    """Treat SIGTERM like Ctrl-C: `ray job stop` sends it, and so does a spot instance that is taken away."""

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
