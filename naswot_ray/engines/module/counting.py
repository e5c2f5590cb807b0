"""How often each tensor counts.

The published code hooks modules: every module whose class has "ReLU" in its qualified name adds the signs of its input at each
call, if the outputs depend on the result of one of its calls. It counts a ReLU within a block like `ReLUConvBN` twice, for the
block and for the `nn.ReLU`. It does not see `F.relu`, and it takes the input of any module with such a name for that of a ReLU.

`naswot` is the published number wherever the published code sees all live ReLUs. Where it misses one, each live ReLU counts as
often as the published code counts its tensor there, and at least once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from naswot_ray.engines.module.operations import Kind
from naswot_ray.engines.module.watch import Event


@dataclass(frozen=True)
class Counts:
    """How often tensors count, by number of the tensor.

    Attributes:
        multiplicity: in `naswot`.
        num_relus: in `naswot_paper`: how many live activations read the tensor.
        published: in the published code.
    """

    multiplicity: Counter[int]
    num_relus: Counter[int]
    published: Counter[int]


def count(events: Collection[Event], live: Collection[bool], kinds: Collection[Kind]) -> Counts:
    """Count what a module executed.

    Args:
        events: everything seen.
        live: of each event, whether the outputs depend on its result.
        kinds: the kinds of activations that count.
    """
    alive = {event for event, is_live in zip(events, live, strict=True) if is_live}
    # The published code asks a module, not a call: `visited_backwards` is set by any call that a gradient reaches.
    modules = {event.module for event in alive if event.kind is None}
    calls = {event for event in events if event.kind is None and event.module in modules}
    published = Counter(event.tensor for event in calls)
    counted = [event for event in events if event in alive and event.kind in kinds]
    num_relus = Counter(event.tensor for event in counted)
    if counted and all(_seen(event, calls) for event in counted):
        return Counts(published, num_relus, published)
    # A tensor that several ReLUs read within one block is the input of that block once.
    reading = {call for event in counted for call in _seen(event, calls)}
    unseen = [event for event in counted if not _seen(event, calls)]
    return Counts(Counter(event.tensor for event in (*reading, *unseen)), num_relus, published)


def _seen(event: Event, calls: Collection[Event]) -> list[Event]:
    """The counted calls that an activation happens in and that read its tensor."""
    return [call for call in event.within if call.tensor == event.tensor and call in calls]
