"""Which operations of torch are activations, and what their units are.

A network is watched at the dispatcher, where every spelling of an activation arrives as one of few operations: `nn.ReLU`,
`F.relu`, `x.relu_()`, `torch.clamp(x, min=0)` and a scripted module alike. Two questions are asked of each operation: whether
it is an activation, and whether it is linear on both sides of zero and nowhere else, so that the sign of its input is the code
of the unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

import torch
from torch.utils.weak import WeakTensorKeyDictionary

aten = torch.ops.aten


class Kind(StrEnum):
    """What an activation has to do with the sign of its input."""

    RELU = "relu"
    """Piecewise linear, with a kink at zero: ReLU, ReLU6, LeakyReLU, PReLU, RReLU, and every other way to write them."""
    SIGN = "sign"
    """Smooth or with kinks elsewhere, but close to a ReLU, so that the sign of its input tells on from off: GELU, SiLU,
    Hardswish, Mish, ELU, SELU, CELU."""
    OTHER = "other"
    """Neither: sigmoid, tanh, softplus and the like."""
    FUSED = "fused"
    """A whole recurrent layer or cell in one operation, in which activations cannot be seen."""


class Operation(NamedTuple):
    """One executed activation.

    Attributes:
        name: the operation as torch calls it, with the numbers that make it an activation: `relu_`, `clamp(min=0)`.
        kind: whether the sign of its input is a code.
        x: the tensor whose sign is the code.
    """

    name: str
    kind: Kind
    x: torch.Tensor


_ALWAYS: Final[Mapping[str, tuple[str, Kind]]] = {
    "relu": ("relu", Kind.RELU),
    "leaky_relu": ("leaky_relu", Kind.RELU),
    "_prelu_kernel": ("prelu", Kind.RELU),
    "rrelu_with_noise": ("rrelu", Kind.RELU),
    "rrelu_with_noise_functional": ("rrelu", Kind.RELU),
    "relu6": ("relu6", Kind.RELU),
    "gelu": ("gelu", Kind.SIGN),
    "silu": ("silu", Kind.SIGN),
    "hardswish": ("hardswish", Kind.SIGN),
    "mish": ("mish", Kind.SIGN),
    "elu": ("elu", Kind.SIGN),
    "celu": ("celu", Kind.SIGN),
    "sigmoid": ("sigmoid", Kind.OTHER),
    "tanh": ("tanh", Kind.OTHER),
    "softplus": ("softplus", Kind.OTHER),
    "hardsigmoid": ("hardsigmoid", Kind.OTHER),
    "log_sigmoid_forward": ("logsigmoid", Kind.OTHER),
    "glu": ("glu", Kind.OTHER),
    "softshrink": ("softshrink", Kind.OTHER),
    "hardshrink": ("hardshrink", Kind.OTHER),
    "mkldnn_rnn_layer": ("recurrent layer", Kind.FUSED),
    "_cudnn_rnn": ("recurrent layer", Kind.FUSED),
    "miopen_rnn": ("recurrent layer", Kind.FUSED),
    "_thnn_fused_lstm_cell": ("recurrent cell", Kind.FUSED),
    "_thnn_fused_gru_cell": ("recurrent cell", Kind.FUSED),
}
"""Operations that are activations whatever their arguments: the name in `torch.ops.aten`, without the underscore of the form
that works in place, and the name that people know."""


class ActivationFinder:
    """Recognises the activations of one pass.

    It remembers comparisons with zero, because `torch.where(x > 0, x, 0)`, `x * (x > 0)` and `x[x < 0] = 0` are ReLUs too.
    """

    def __init__(self) -> None:
        self._positive: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self._negative: WeakTensorKeyDictionary = WeakTensorKeyDictionary()

    def find(self, function: torch._ops.OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Operation | None:
        """The activation that a call of an operation is, or None. It has to be asked before the call."""
        if function.namespace != "aten":
            return None
        name = function.overloadpacket.__name__
        base = name[:-1] if name.endswith("_") and not name.endswith("__") else name
        if base in _ALWAYS:
            known, kind = _ALWAYS[base]
            return Operation(known + name[len(base) :], kind, args[0])
        if base in _WITH_ARGUMENTS:
            arguments = zip(function._schema.arguments, args, strict=False)
            return _WITH_ARGUMENTS[base](self, name, {argument.name: value for argument, value in arguments} | dict(kwargs))
        return None

    def remember(self, function: torch._ops.OpOverload, args: Sequence[Any], result: Any) -> None:
        """Take note of a comparison with zero, or of its conversion to numbers, after the call that made it."""
        packet = function.overloadpacket
        if packet in _COMPARISONS and isinstance(args[0], torch.Tensor) and _is_zero(args[1]):
            masks = self._positive if packet in (aten.gt, aten.ge) else self._negative
            masks[result] = args[0]
        elif packet in (*_COPIES, *_NEGATIONS) and isinstance(args[0], torch.Tensor):
            for masks, others in ((self._positive, self._negative), (self._negative, self._positive)):
                if (x := masks.get(args[0])) is not None:
                    (masks if packet in _COPIES else others)[result] = x

    def _clamp(self, name: str, named: Mapping[str, Any]) -> Operation | None:
        low, high = named.get("min"), named.get("max")
        if _is_zero(low):
            return Operation(f"{name}(min=0)" if high is None else f"{name}(0, {_short(high)})", Kind.RELU, named["self"])
        # -relu(-x)
        return Operation(f"{name}(max=0)", Kind.RELU, named["self"]) if low is None and _is_zero(high) else None

    def _hardtanh(self, name: str, named: Mapping[str, Any]) -> Operation:
        low, high = named.get("min_val", -1), named.get("max_val", 1)
        kind = Kind.RELU if _is_zero(low) else Kind.OTHER
        return Operation(f"{name}({_short(low)}, {_short(high)})", kind, named["self"])

    def _threshold(self, name: str, named: Mapping[str, Any]) -> Operation:
        at, value = named["threshold"], named["value"]
        kind = Kind.RELU if _is_zero(at) else Kind.OTHER
        return Operation(f"{name}({_short(at)}, {_short(value)})", kind, named["self"])

    def _extreme(self, name: str, named: Mapping[str, Any]) -> Operation | None:
        one, other = named["self"], named["other"]
        if _is_zero(other):
            return Operation(f"{name}(x, 0)", Kind.RELU, one)
        if _is_zero(one):
            return Operation(f"{name}(0, x)", Kind.RELU, other)
        return None

    def _where(self, name: str, named: Mapping[str, Any]) -> Operation | None:
        mask, if_true, if_false = named["condition"], named.get("self"), named.get("other")
        if _is_mask_of(self._positive, mask, if_true):
            zero = _is_zero(if_false)
            return Operation(f"where(x > 0, x, {'0' if zero else '...'})", Kind.RELU if zero else Kind.SIGN, named["self"])
        if _is_mask_of(self._negative, mask, if_false):
            zero = _is_zero(if_true)
            return Operation(f"where(x < 0, {'0' if zero else '...'}, x)", Kind.RELU if zero else Kind.SIGN, named["other"])
        return None

    def _multiply(self, name: str, named: Mapping[str, Any]) -> Operation | None:
        for x, mask in ((named["self"], named["other"]), (named["other"], named["self"])):
            if _is_mask_of(self._positive, mask, x):
                return Operation("x * (x > 0)", Kind.RELU, x)
        return None

    def _fill(self, name: str, named: Mapping[str, Any]) -> Operation | None:
        if _is_mask_of(self._negative, named["mask"], named["self"]) and _is_zero(named["value"]):
            return Operation(f"{name}(x < 0, 0)", Kind.RELU, named["self"])
        return None

    def _put(self, name: str, named: Mapping[str, Any]) -> Operation | None:
        masks = named["indices"]
        if len(masks) == 1 and _is_mask_of(self._negative, masks[0], named["self"]) and _is_zero(named["values"]):
            return Operation("x[x < 0] = 0", Kind.RELU, named["self"])
        return None

    def _fused(self, name: str, named: Mapping[str, Any]) -> Operation:
        scales = {key: named[key] for key in ("beta", "alpha") if key in named}
        x = torch.addmm(named["self"], named["mat1"], named["mat2"], **scales)
        return Operation(name, Kind.SIGN if named.get("use_gelu") else Kind.RELU, x)


_COMPARISONS: Final = (aten.gt, aten.ge, aten.lt, aten.le)
_COPIES: Final = (aten._to_copy, aten.detach, aten.clone)
_NEGATIONS: Final = (aten.logical_not, aten.bitwise_not)

_WITH_ARGUMENTS: Final[Mapping[str, Callable[[ActivationFinder, str, Mapping[str, Any]], Operation | None]]] = {
    "clamp": ActivationFinder._clamp,
    "clamp_min": ActivationFinder._clamp,
    "clamp_max": ActivationFinder._clamp,
    "clip": ActivationFinder._clamp,
    "hardtanh": ActivationFinder._hardtanh,
    "threshold": ActivationFinder._threshold,
    "maximum": ActivationFinder._extreme,
    "minimum": ActivationFinder._extreme,
    "fmax": ActivationFinder._extreme,
    "fmin": ActivationFinder._extreme,
    "where": ActivationFinder._where,
    "mul": ActivationFinder._multiply,
    "masked_fill": ActivationFinder._fill,
    "index_put": ActivationFinder._put,
    "_addmm_activation": ActivationFinder._fused,
}
"""Operations that are activations with some arguments only."""


def _is_mask_of(masks: WeakTensorKeyDictionary, mask: Any, x: Any) -> bool:
    """Whether a tensor is the remembered comparison of another one."""
    return isinstance(mask, torch.Tensor) and isinstance(x, torch.Tensor) and masks.get(mask) is x


def _is_zero(value: Any) -> bool:
    """Whether a bound is 0: a number, or a tensor of zeros, perhaps one that will be learned."""
    if isinstance(value, torch.Tensor):
        return bool((value == 0).all())
    return isinstance(value, (int, float)) and value == 0


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else "a tensor"
