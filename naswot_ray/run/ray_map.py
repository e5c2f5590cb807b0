"""A `map` whose results the connected Ray cluster computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Any, Final, TypeVar

import ray
from ray.exceptions import RayTaskError

T = TypeVar("T")
R = TypeVar("R")

TASKS_PER_CPU: Final = 2
"""How many tasks are submitted for each CPU, so that a CPU that becomes free finds work."""


def ray_map(function: Callable[[T], R], items: Iterable[T], /) -> Generator[R]:
    """Apply a function to each item on the cluster, with one CPU for each call, and yield the results in order.

    Items are read as there is room for them. When the caller stops iterating, the calls under way are cancelled. A call whose
    process or node dies is made again, at most three times.

    Raises:
        Exception: whatever the function raised.
        ray.exceptions.RayError: the cluster failed.
    """
    shared = ray.put(function)  # once for all calls, with the data that it refers to
    remote: Any = ray.remote(num_cpus=1, max_retries=3)(_apply)
    room = TASKS_PER_CPU * max(1, int(ray.cluster_resources().get("CPU", 1)))
    waiting: deque[Any] = deque()
    try:
        for item in items:
            waiting.append(remote.remote(shared, item))
            if len(waiting) >= room:
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())
    finally:
        for ref in waiting:
            ray.cancel(ref)


def _apply(function: Callable[[T], R], item: T) -> R:
    return function(item)


def _result(ref: Any) -> Any:
    try:
        return ray.get(ref)
    except RayTaskError as error:
        raise error.cause from None
