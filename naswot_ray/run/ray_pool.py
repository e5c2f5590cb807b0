"""Workers as Ray actors, one per GPU where there are GPUs.

Three rules avoid pitfalls that were measured on Ray 2.60:

- A task is sent only to an actor that has answered since it last started. Otherwise its start would count as an attempt.
- Ray never retries the scoring call itself, because the driver counts attempts.
- `num_cpus` is always given. Otherwise an actor that asks only for a GPU would hold a CPU too.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import grpc
import ray
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayError, RayTaskError, RuntimeEnvSetupError

from naswot_ray.dataset.manifest import Settings
from naswot_ray.errors import NaswotError, RunError
from naswot_ray.grid.grid import Batch, Task
from naswot_ray.run.batches import Batches
from naswot_ray.run.pool import Done, Event, Gone, Lost, Ready, WorkerId, make_worker
from naswot_ray.run.ray_environment import LOCAL
from naswot_ray.run.receipt import DeviceLostError, Pixels, Receipt
from naswot_ray.spaces import Space

if TYPE_CHECKING:
    from naswot_ray.run.worker import Worker

CONNECT_SECONDS = 10.0
"""How long to wait for the head to answer."""
LOOK_SECONDS = 5.0
"""Seconds between two looks for nodes that have joined."""


class WorkerFactory(Protocol):
    """Makes a worker inside an actor's process: `make_worker`, or a test's variant of `Worker`."""

    def __call__(self, root: str, run_id: str, settings: Settings) -> Worker: ...


class WorkerActor:
    """The Ray actor: a worker in a process of its own."""

    def __init__(self, factory: WorkerFactory, root: str, run_id: str, settings: Settings, num_threads: int) -> None:
        from naswot_ray.run.process import dedicate_process  # noqa: PLC0415  torch, which a driver does not need

        dedicate_process(num_threads)
        self._worker = factory(root, run_id, settings)

    def open(self) -> tuple[str, int]:
        """Open the engine.

        Returns:
            the id of the node and the process id that the actor runs in.

        Raises:
            SettingsError: the engine cannot run on that node.
        """
        self._worker.open()
        return str(ray.get_runtime_context().get_node_id()), os.getpid()

    def run(self, task: Task, space: Space, images: Pixels | None) -> Receipt:
        """See `Worker.run`."""
        return self._worker.run(task, space, images)


def connect(address: str) -> None:
    """Connect to a Ray cluster, or start one on this machine alone. It ends with this process.

    Args:
        address: `host:port` of the head, `auto`, or `ray_environment.LOCAL` to start a Ray here.

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
    except (ConnectionError, RuntimeError, ValueError, OSError, RayError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise RunError(f"no Ray cluster at {address} ({reason}); {_REMEDY}") from error


_REMEDY = "start one with `ray start --head`, correct --address, or leave it out to run on this machine alone"


def _check_reachable(address: str) -> None:
    """Fail at once if nothing listens at the address, or if it is no Ray head. Ray itself would keep trying for minutes."""
    host, colon, port = address.rpartition(":")
    if "@" in address:
        raise RunError(
            f"Ray address {address.rpartition('@')[2]}: expected host:port or auto; leave out what stands before the @"
        )
    if address == "auto" or "://" in address:
        return
    if not colon or not (port.isascii() and port.isdigit() and int(port) < 2**16):
        raise RunError(f"Ray address {address!r}: expected host:port or auto")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise RunError(f"no Ray cluster at {address} ({error.strerror or error}); {_REMEDY}") from error
    if os.environ.get("RAY_USE_TLS", "0").lower() not in ("1", "true"):  # with TLS only Ray knows the certificates
        _check_head(address)


def _check_head(address: str) -> None:
    """Ask the head's control store whether it is alive."""
    unlike_a_head = {
        grpc.StatusCode.DEADLINE_EXCEEDED: f"it has not answered for {CONNECT_SECONDS:g} s",
        grpc.StatusCode.UNAVAILABLE: "it does not speak Ray's protocol",
        grpc.StatusCode.UNIMPLEMENTED: "it is another service of Ray's",
    }
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        head = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
        try:
            request = gcs_service_pb2.CheckAliveRequest()  # type: ignore[attr-defined]
            head.CheckAlive(request, timeout=CONNECT_SECONDS)
        except grpc.RpcError as error:  # Ray reports any other error itself, such as a missing token
            if reason := unlike_a_head.get(error.code()):
                raise RunError(
                    f"no Ray cluster at {address}: something listens there, but {reason}; give the head's port (6379 "
                    "unless `ray start --head --port` set another)"
                ) from None


class RayPool:
    """A pool of scoring actors on the connected Ray cluster.

    Nodes that join later get actors too, as long as there are fewer than `num_actors`. Actors for which there is no room wait,
    and an autoscaling cluster starts nodes for them.

    Args:
        root: the dataset's address.
        run_id: the run's id, written to each row.
        settings: the dataset's settings.
        spaces: the spaces of the tasks, by name; sent once through the object store.
        make_batch: makes the images of a task, when the task is handed out; they go through the object store too.
        num_actors: how many actors; None for as many as fit, also when the cluster grows.
        actors_per_gpu: how many actors share one GPU; None for one per GPU if the cluster has GPUs now, else for CPUs only.
        cpus_per_actor: CPUs, and CPU threads, of each actor.
        worker_factory: makes the worker inside an actor.

    Raises:
        RunError: `num_actors` is None and the cluster has no room for one actor.
    """

    def __init__(
        self,
        root: str,
        run_id: str,
        settings: Settings,
        spaces: Mapping[str, Space],
        make_batch: Callable[[Batch], Pixels],
        *,
        num_actors: int | None = None,
        actors_per_gpu: int | None = None,
        cpus_per_actor: int = 1,
        worker_factory: WorkerFactory = make_worker,
    ) -> None:
        on_gpus = actors_per_gpu is not None or ray.cluster_resources().get("GPU", 0) > 0
        self._actors_per_gpu = (actors_per_gpu or 1) if on_gpus else None
        self._cpus_per_actor = cpus_per_actor
        self._num_actors = num_actors
        self._nodes = _nodes()
        if num_actors is None and self._room() < 1:
            raise RunError(
                f"the Ray cluster has no room for an actor of {cpus_per_actor} CPUs{' and a GPU' if on_gpus else ''}: correct "
                "--cpus-per-actor, or give --num-actors (and --actors-per-gpu) for a cluster that starts its nodes on demand"
            )
        self._spaces = {name: ray.put(space) for name, space in spaces.items()}
        self._batches: Batches[Any] = Batches(make_batch, ray.put)
        actor_class: Any = ray.remote(WorkerActor).options(
            max_restarts=-1,
            num_cpus=cpus_per_actor,
            num_gpus=1 / self._actors_per_gpu if self._actors_per_gpu else 0,
        )
        self._start_actor: Callable[[], Any] = lambda: actor_class.remote(
            worker_factory, root, run_id, settings, cpus_per_actor
        )
        self._actors: dict[WorkerId, Any] = {}
        self._whereabouts: dict[WorkerId, tuple[str, int]] = {}
        self._condemned: dict[WorkerId, tuple[str, int]] = {}  # processes that we have ended, but that may still answer
        self._num_started = 0
        self._starting: dict[Any, WorkerId] = {}
        self._working: dict[Any, WorkerId] = {}
        self._next_look = 0.0
        self._grow()

    @property
    def hardware(self) -> Mapping[str, int]:
        # What was last seen: a run that ends because the head is gone cannot ask it.
        cpus, gpus = (sum(int(node["Resources"].get(name, 0)) for node in self._nodes) for name in ("CPU", "GPU"))
        return {"nodes": len(self._nodes), "cpus": cpus, "gpus": gpus, "actors": len(self._whereabouts)}

    def submit(self, worker: WorkerId, task: Task) -> None:
        images = self._batches.of(task)
        ref = self._actors[worker].run.remote(task, self._spaces[task.shard.point.space], images)
        self._working[ref] = worker

    def wait(self, timeout: float) -> Sequence[Event]:
        self._grow()
        pending = [*self._working, *self._starting]
        finished, _ = ray.wait(pending, num_returns=1, timeout=timeout)
        if finished:  # take everything else that has finished too
            finished, _ = ray.wait(pending, num_returns=len(pending), timeout=0)
        return [event for ref in finished if (event := self._event(ref)) is not None]

    def kill(self, worker: WorkerId) -> None:
        ray.kill(self._actors[worker], no_restart=False)

    def close(self) -> None:
        for actor in self._actors.values():
            ray.kill(actor)

    def _grow(self) -> None:
        """Start actors for which there is room now.

        An actor that could not start keeps its place. Otherwise another one would be started there, and fail, for ever.
        """
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        self._nodes = _nodes()
        wanted = self._room() if self._num_actors is None else self._num_actors
        for worker in range(self._num_started, wanted):
            self._actors[worker] = self._start_actor()
            self._await_start(worker)
        self._num_started = max(self._num_started, wanted)

    def _room(self) -> int:
        """How many actors the present nodes have room for."""
        room = 0
        for node in self._nodes:
            cpus, gpus = (int(node["Resources"].get(name, 0)) for name in ("CPU", "GPU"))
            here = cpus // self._cpus_per_actor
            room += here if self._actors_per_gpu is None else min(here, gpus * self._actors_per_gpu)
        return room

    def _await_start(self, worker: WorkerId) -> None:
        ready: Any = self._actors[worker].open.options(max_task_retries=-1).remote()
        self._starting[ready] = worker

    def _event(self, ref: Any) -> Event | None:
        if ref in self._starting:
            worker = self._starting.pop(ref)
            try:
                found = ray.get(ref)
            except (ActorDiedError, RuntimeEnvSetupError, RayTaskError) as error:
                del self._actors[worker]
                cause = error.cause if isinstance(error, RayTaskError) else None
                if not self._actors:
                    if isinstance(cause, NaswotError):
                        raise cause from None
                    raise RunError(f"a scoring actor cannot start: {_last_line(error)}") from error
                return Gone(worker, _last_line(error) if cause is None else str(cause))
            if self._condemned.get(worker) == found:
                self._await_start(worker)
                return None
            self._condemned.pop(worker, None)
            self._whereabouts[worker] = found
            return Ready(worker)
        worker = self._working.pop(ref)
        try:
            return Done(worker, ray.get(ref))
        except RayTaskError as error:
            # The worker itself raised this. It is still alive, and would raise it again.
            if not isinstance(error.cause, DeviceLostError):
                raise (error.cause if isinstance(error.cause, NaswotError) else error) from None
            self._condemned[worker] = self._whereabouts[worker]
            self.kill(worker)
            self._await_start(worker)
            return Lost(worker, f"the GPU failed ({error.cause})")
        except RayError as error:  # the cluster's fault: a process, a node or an object was lost
            self._await_start(worker)
            if isinstance(error, OutOfMemoryError):
                return Lost(worker, "the worker ran out of memory")
            with_node = self._whereabouts[worker][0] not in {node["NodeID"] for node in _nodes()}
            return Lost(worker, "the worker's node died" if with_node else "the worker process died", with_node)


def _nodes() -> list[dict[str, Any]]:
    """The nodes that are alive."""
    return [node for node in ray.nodes() if node["Alive"]]


def _last_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1]
