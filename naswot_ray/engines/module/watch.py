"""`Watch`: sees each activation that a module executes, and each call of a module that the published code would count."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import CheckpointFunction
from torch.utils.weak import WeakTensorKeyDictionary

from naswot_ray.engines.module.operations import ActivationFinder, Kind


@dataclass(eq=False)
class Event:
    """An activation reads a tensor, or the call of a module does that the published code counts.

    Attributes:
        module: dotted path of the innermost module that runs, "" for the outermost.
        name: the operation, or the class of the module.
        kind: kind of the activation; None for the call of a module.
        tensor: number of the tensor that is read. Two events have the same number if they read the same tensor; a tensor that
            was changed in place in between is another one.
        shape: shape of that tensor.
        within: for an activation, the calls of counted modules that it happens in.
        source_node: node of the tensor that is read in the autograd graph; None if there is none.
        graph_node: node of the result in the autograd graph; None if there is none.
    """

    module: str
    name: str
    kind: Kind | None
    tensor: int
    shape: tuple[int, ...]
    within: tuple[Event, ...] = ()
    source_node: Any = None
    graph_node: Any = None

    def is_like(self, other: Event) -> bool:
        """Whether this is the same event in another pass, perhaps of another number of images."""
        return (self.module, self.name, self.tensor, len(self.shape)) == (
            other.module,
            other.name,
            other.tensor,
            len(other.shape),
        )


class Watch(TorchDispatchMode):
    """Watches one forward pass of a module.

    Operations are seen at the dispatcher, below autograd. An operation of a module, of `torch.nn.functional`, of a method, of
    a scripted module or of a checkpointed function arrives there in the same way.

    Args:
        module: the module that runs.
        see: called for each event with the tensor that is read, before the tensor can change.
        check: called for each result of an operation with the path of the module and the name of the operation.

    Attributes:
        events: all events so far, in order.
    """

    def __init__(
        self,
        module: nn.Module,
        see: Callable[[Event, torch.Tensor], None],
        check: Callable[[str, str, torch.Tensor], None] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.events: list[Event] = []
        self._module = module
        self._see = see
        self._check = check
        self._finder = ActivationFinder()
        self._numbers: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self._num_tensors = 0
        self._path: list[str] = [""]
        self._calls: list[Event | None] = []
        self._muted = False
        self._unsettled: list[tuple[Event, torch.Tensor]] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch what runs in this context."""
        with ExitStack() as stack:
            for path, module in self._module.named_modules():
                if not isinstance(module, torch.jit.ScriptModule):  # it accepts no hooks; its operations are seen all the same
                    for hook in self._hooks(path, module):
                        stack.callback(hook.remove)
            stack.enter_context(self._functions())
            with self:
                yield
            self._settle()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation, and record it if it is an activation."""
        kwargs = kwargs or {}
        if self._muted:
            return func(*args, **kwargs)
        self._settle()
        operation = self._finder.find(func, args, kwargs)
        event = None
        if operation is not None and operation.x.is_floating_point():
            event = self._event(operation.name, operation.kind, operation.x)
            event.within = tuple(call for call in self._calls if call is not None)
        result = func(*args, **kwargs)
        if event is not None:
            self._unsettled.append((event, next(tensors_of(result))))
        self._finder.remember(func, args, result)
        if self._check is not None:
            for tensor in tensors_of(result):
                self._check(self._path[-1], str(func.overloadpacket.__name__), tensor)
        return result

    def _event(self, name: str, kind: Kind | None, x: torch.Tensor) -> Event:
        if x.layout != torch.strided or x.is_nested:
            raise ValueError(
                f"{name} in {self._path[-1] or 'the module itself'} reads a sparse or nested tensor, which has no codes"
            )
        versions: dict[int, int] = self._numbers.setdefault(x, {})
        version = 0 if x.is_inference() else x._version
        if version not in versions:
            versions[version] = self._num_tensors
            self._num_tensors += 1
        event = Event(self._path[-1], name, kind, versions[version], tuple(x.shape), source_node=x.grad_fn)
        self.events.append(event)
        self._muted = True
        try:
            self._see(event, x.detach())
        finally:
            self._muted = False
        return event

    def _settle(self) -> None:
        """Look up the nodes of results. Autograd makes them after the operation has returned, and before the next one."""
        for event, result in self._unsettled:
            event.graph_node = event.graph_node or node_of(result)
        self._unsettled.clear()

    def _hooks(self, path: str, module: nn.Module) -> Iterator[Any]:
        """Hooks that follow which module runs, and record those that the published code counts."""
        counted = "ReLU" in str(type(module))  # score.py of the published code: `if 'ReLU' in str(type(module))`

        def begin(_module: nn.Module, args: Any, kwargs: Any) -> None:
            self._path.append(path)
            if counted:
                self._settle()
                self._calls.append(None)
                if (x := next(tensors_of((args, kwargs)), None)) is not None:
                    self._calls[-1] = self._event(type(module).__name__, None, x)

        def end(_module: nn.Module, args: Any, result: Any) -> None:
            self._path.pop()
            if counted and (call := self._calls.pop()) is not None:
                self._settle()
                call.graph_node = _first_node(result)

        yield module.register_forward_pre_hook(begin, with_kwargs=True)
        yield module.register_forward_hook(end, always_call=True)

    @contextmanager
    def _functions(self) -> Iterator[None]:
        """See through custom autograd functions, which run without a graph.

        A checkpoint of the reentrant kind is such a function. It runs its content again in the backward pass, where the
        published code sees it; here the content is run with a graph at once. Within another function, what is executed counts
        as part of its result.
        """
        plain = torch.autograd.Function.__dict__["apply"]
        thread = threading.get_ident()

        def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != thread:
                return plain.__func__(cls, *args, **kwargs)
            if cls is CheckpointFunction:
                run, _preserve_rng_state, *rest = args
                return run(*rest)
            num_before = len(self.events)
            result = plain.__func__(cls, *args, **kwargs)
            self._settle()
            for event in self.events[num_before:]:
                event.graph_node = event.graph_node or _first_node(result)
            return result

        torch.autograd.Function.apply = classmethod(apply)  # type: ignore[method-assign,assignment]
        try:
            yield
        finally:
            torch.autograd.Function.apply = plain  # type: ignore[method-assign]


def node_of(result: torch.Tensor) -> Any:
    """The node of a tensor in the autograd graph.

    What an operation writes into a view becomes a node of its base, `CopySlices`. The view's own node is made anew whenever
    somebody asks for it, so it may not be the one that the outputs lead to.
    """
    of_base = result._base.grad_fn if result._base is not None else None
    return of_base if of_base is not None and of_base.name().endswith("CopySlices") else result.grad_fn


def _first_node(result: Any) -> Any:
    first = next(tensors_of(result), None)
    return None if first is None else node_of(first)


def graph_of(ends: Iterable[Any]) -> set[Any]:
    """All nodes of the autograd graph that some nodes lead to, and those nodes. What is None is left out."""
    seen = {node for node in ends if node is not None}
    stack = list(seen)
    while stack:
        for node, _ in stack.pop().next_functions:
            if node is not None and node not in seen:
                seen.add(node)
                stack.append(node)
    return seen


def tensors_of(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in nested tuples, lists, mappings and dataclasses, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors_of(list(value.values()))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_of(item)
    elif is_dataclass(value) and not isinstance(value, type):
        yield from tensors_of([getattr(value, field.name) for field in fields(value)])
