"""Causes faults of every kind, drawn at random from a seed, while jobs run on the sandbox cluster."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from cluster.sandbox import HEAD, Sandbox
from tests.faults.sandbox.jobs import ACTOR, LIMIT_SECONDS, Job, assert_equal, rows_there

RAYLET = r"^\S*/raylet "
DRIVER = r"python jobs/score\.py"


class Chaos:
    """Disturbs one job after another. A job that fails is submitted again until its dataset is complete.

    Args:
        sandbox: a working cluster. It works again afterwards.
        disk: where the datasets go.
        undisturbed: the dataset that each of them has to equal.
        seed: decides which fault happens to which machine, and when.
    """

    def __init__(self, sandbox: Sandbox, disk: Path, undisturbed: Path, seed: int) -> None:
        self._sandbox = sandbox
        self._disk = disk
        self._undisturbed = undisturbed
        self._random = random.Random(seed)
        self._began = time.monotonic()
        self._repairs: dict[str, tuple[float, Callable[[str], None]]] = {}
        self._job: Job
        self._root: Path
        self.events: list[str] = []
        self.datasets = 0
        """How many datasets are complete, and were found equal."""

    def run(self, seconds: float) -> None:
        """Disturb jobs for this long, then let the last one end."""
        end = self._began + seconds
        while time.monotonic() < end:
            self._root = self._disk / f"chaos-{self.datasets}"
            self._tell("a new dataset")
            self._job = Job(self._sandbox, self._root)
            self._fill(end)
            assert_equal(self._root, self._undisturbed)
            self.datasets += 1
        self._repair(everything=True)

    def _fill(self, end: float) -> None:
        """Submit the job until it reports success."""
        while True:
            self._pass_time(self._random.uniform(2, 8))
            if self._job.status == 0:
                self._tell("complete")
                return
            if self._job.status is not None:
                self._tell("the job has failed and is submitted again")
                self._job = Job(self._sandbox, self._root)
            if time.monotonic() < end:
                self._disturb()
            else:
                self._repair(everything=True)
                assert time.monotonic() < end + LIMIT_SECONDS, f"not complete long after the last fault:\n{self._job.output}"

    def _pass_time(self, seconds: float) -> None:
        later = time.monotonic() + seconds
        while self._job.status is None and time.monotonic() < later:
            time.sleep(0.1)
            self._repair()

    def _disturb(self) -> None:
        faults = [self._kill_actors, self._kill_all_actors, self._kill_raylet, self._kill_driver, self._cut, self._cut_power]
        fault = self._random.choices([*faults, self._lose_head], [*[2] * len(faults), 1])[0]
        workers = [name for name in self._sandbox.workers if name not in self._repairs]
        if workers or fault in (self._kill_driver, self._lose_head):
            fault(self._random.choice(workers or [HEAD]))

    def _kill_actors(self, name: str) -> None:
        self._kill(f"the actors of {name}", ACTOR, name)

    def _kill_all_actors(self, name: str) -> None:
        self._kill("every actor", ACTOR, *[name for name in self._sandbox.workers if name in self._sandbox.machines.running])

    def _kill_raylet(self, name: str) -> None:
        self._kill(f"the raylet of {name}", RAYLET, name)

    def _kill_driver(self, name: str) -> None:
        self._kill("the driver", DRIVER, HEAD)

    def _kill(self, what: str, pattern: str, *names: str) -> None:
        if killed := sum(self._sandbox.machines.kill(name, pattern) for name in names):
            self._tell(f"kill -9 of {what}: {killed} processes")

    def _cut(self, name: str) -> None:
        self._tell(f"{name} is cut from the network")
        self._sandbox.machines.cut(name)
        self._plan_repair(name, self._mend)

    def _mend(self, name: str) -> None:
        self._tell(f"{name} is back on the network")
        self._sandbox.machines.mend(name)

    def _cut_power(self, name: str) -> None:
        self._tell(f"{name} loses power")
        self._sandbox.kill_node(name)
        self._plan_repair(name, self._give_power)

    def _give_power(self, name: str) -> None:
        self._tell(f"{name} has power again")
        self._sandbox.machines.start(name)

    def _lose_head(self, name: str) -> None:
        self._repair(everything=True)
        self._tell("the head loses power; a new cluster")
        self._sandbox.kill_node(HEAD)
        self._job.abandon()
        self._sandbox.machines.start(HEAD)
        self._sandbox.ray_up()
        self._job = Job(self._sandbox, self._root)

    def _plan_repair(self, name: str, repair: Callable[[str], None]) -> None:
        self._repairs[name] = (time.monotonic() + self._random.uniform(2, 25), repair)

    def _repair(self, *, everything: bool = False) -> None:
        for name, (when, repair) in list(self._repairs.items()):
            if everything or time.monotonic() >= when:
                repair(name)
                del self._repairs[name]

    def _tell(self, event: str) -> None:
        rows = rows_there(self._root)
        line = f"{time.monotonic() - self._began:6.1f} s, dataset {self.datasets + 1} with {rows} rows: {event}"
        print(line, flush=True)
        self.events.append(line)
