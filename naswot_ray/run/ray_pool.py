"""Workers as Ray actors, one per GPU where there are GPUs. The only module that imports Ray.

The traps this steers around were measured on Ray 2.60: a task is sent only to an actor that has answered once since it last
started (or its start-up would count as an attempt), the scoring call itself is never retried by Ray (the driver counts
attempts), and `num_cpus` is always explicit (an actor of a GPU alone would hold a CPU too).
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import ray
from ray.exceptions import ActorDiedError, RayError, RayTaskError, RuntimeEnvSetupError

from naswot_ray.errors import NaswotError, RunError
from naswot_ray.run.grid import Batch, Task
from naswot_ray.run.pool import Done, Event, Lost, Ready, WorkerId, images_of
from naswot_ray.run.ray_environment import LOCAL
from naswot_ray.run.worker import Pixels, Worker
from naswot_ray.spaces import Space

CONNECT_SECONDS = 10.0


class WorkerFactory(Protocol):
    """Makes a worker inside an actor's process: `Worker` itself, or a test's variant of it."""

    def __call__(self, root: str, run_id: str, num_threads: int | None = None) -> Worker: ...


def connect(address: str) -> None:
    """Connect to a Ray cluster, or start one of this machine alone that ends with this process.

    Args:
        address: `host:port` of the head, `auto`, or `ray_environment.LOCAL` to start one.

    Raises:
        RunError: no cluster answers at the address.
    """
    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        ray.init(address=LOCAL, include_dashboard=False, **quiet)
        return
    _check_reachable(address)
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise RunError(f"no Ray cluster at {address} ({reason}); {_REMEDY}") from error


_REMEDY = "start one with `ray start --head`, correct --address, or leave it out to run on this machine alone"


def _check_reachable(address: str) -> None:
    """Fail at once where nobody listens: Ray itself would try for a minute."""
    host, colon, port = address.rpartition(":")
    if address == "auto" or "://" in address:
        return
    if not colon or not port.isdigit():
        raise RunError(f"Ray address {address!r}: expected host:port or auto")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise RunError(f"no Ray cluster at {address} ({error.strerror or error}); {_REMEDY}") from error


class RayPool:
    """Scoring actors on the connected Ray cluster.

    Args:
        root, run_id: of the dataset and the run.
        spaces, batches: sent once through the object store.
        num_actors: how many; None fills the cluster.
        actors_per_gpu: on a cluster with GPUs, how many share one.
        cpus_per_actor: CPUs, and threads, of an actor.
        worker_factory: what runs in the actor.

    Raises:
        RunError: the cluster has no room for one actor.
    """

    def __init__(
        self,
        root: str,
        run_id: str,
        spaces: Mapping[str, Space],
        batches: Mapping[Batch, Pixels],
        *,
        num_actors: int | None = None,
        actors_per_gpu: int = 1,
        cpus_per_actor: int = 1,
        worker_factory: WorkerFactory = Worker,
    ) -> None:
        resources = ray.cluster_resources()
        gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
        room = min(cpus // cpus_per_actor, gpus * actors_per_gpu if gpus else cpus)
        if room < 1 and num_actors is None:
            raise RunError(f"the Ray cluster has {cpus} CPUs, too few for an actor of --cpus-per-actor {cpus_per_actor}")
        self.num_actors = num_actors or room
        self.resources = {"nodes": len(ray.nodes()), "cpus": cpus, "gpus": gpus, "actors": self.num_actors}
        self._spaces = {name: ray.put(space) for name, space in spaces.items()}
        self._batches = {batch: ray.put(pixels) for batch, pixels in batches.items()}
        actor_class: Any = ray.remote(worker_factory).options(
            max_restarts=-1, num_cpus=cpus_per_actor, num_gpus=1 / actors_per_gpu if gpus else 0
        )
        self._actors = [actor_class.remote(root, run_id, cpus_per_actor) for _ in range(self.num_actors)]
        self._starting: dict[Any, WorkerId] = {}
        self._working: dict[Any, WorkerId] = {}
        for worker in range(self.num_actors):
            self._await_start(worker)

    def submit(self, worker: WorkerId, task: Task) -> None:
        images = images_of(task, self._batches)
        self._working[self._actors[worker].run.remote(task, self._spaces[task.shard.space], images)] = worker

    def wait(self, timeout: float) -> Sequence[Event]:
        pending = [*self._working, *self._starting]
        finished, _ = ray.wait(pending, num_returns=1, timeout=timeout)
        if finished:  # whatever else is there comes along
            finished, _ = ray.wait(pending, num_returns=len(pending), timeout=0)
        return [self._event(ref) for ref in finished]

    def kill(self, worker: WorkerId) -> None:
        ray.kill(self._actors[worker], no_restart=False)

    def close(self) -> None:
        for actor in self._actors:
            ray.kill(actor)

    def _await_start(self, worker: WorkerId) -> None:
        ready = self._actors[worker].__ray_ready__.options(max_task_retries=-1).remote()
        self._starting[ready] = worker

    def _event(self, ref: Any) -> Event:
        if ref in self._starting:
            worker = self._starting.pop(ref)
            try:
                ray.get(ref)
            except (ActorDiedError, RuntimeEnvSetupError) as error:
                raise RunError(f"a scoring actor cannot start: {_last_line(error)}") from error
            return Ready(worker)
        worker = self._working.pop(ref)
        try:
            return Done(worker, ray.get(ref))
        except RayTaskError as error:
            # The worker itself raised; it lives on, and another try would raise again.
            raise (error.cause if isinstance(error.cause, NaswotError) else error) from None
        except RayError:  # everything else is the cluster's doing: a process, a node or an object was lost
            self._await_start(worker)
            return Lost(worker, "the worker process died")


def _last_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1]
