"""A `map` that has the connected Ray cluster compute the results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Any, Final, TypeVar

import ray
from ray.exceptions import RayTaskError

T = TypeVar("T")
R = TypeVar("R")

TASKS_PER_CPU: Final = 2
"""How many are under way or waiting, so that a CPU that becomes free finds work."""


def ray_map(function: Callable[[T], R], items: Iterable[T], /) -> Generator[R]:
    """Apply a function to each item on the cluster's CPUs, one for each, and give the results in order.

    Items are taken as there is room for them. What is not asked for any more is not computed any further. A task whose process
    or node dies is run again, three times.

    Raises:
        Exception: what the function raised.
        ray.exceptions.RayError: the cluster failed.
    """
    shared = ray.put(function)  # once, with whatever it brings along
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
