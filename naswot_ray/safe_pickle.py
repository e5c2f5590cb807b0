"""A reader of downloaded pickles that does not run the functions that they name.

A pickle is a program for a small virtual machine, and it may call any function. This module runs it on the machine that the
standard library's `pickle` has in pure Python, with five restrictions:

- Opcodes: only those that build plain data are allowed. Those that create instances or refer to something outside of the file
  are refused.
- Names: only the few that arrays of numbers in plain containers need are allowed. Each is bound to a function of this module
  that checks its arguments. Nothing is ever imported because a file names it.
- State: a file may set the state of arrays and their dtypes only, and the state is checked. With a dtype's flags a file could
  make numpy treat numbers as pointers.
- Keys: these are strings, whole numbers below 2^31, and tuples of those that contain a string. Hashing a tuple nested in itself
  a hundred times would never end, and any number of larger integers, or of tuples of integers, can share one hash.
- Copies: they are counted, because a few bytes can ask for the same megabyte a million times.

The faster machine in C is not used, because it reserves memory according to numbers in the file: 10 bytes can ask for 64 GB.
The machine in Python takes 0.4 microseconds per opcode, which is 19 ms for a file of NATS-Bench's topology space and 6 ms for
one of its size space.

Two limits are left to the caller. A hostile pickle can take about 230 bytes of memory per byte of its own (empty sets), so
bound the size of what you unpickle. The result may be nested in itself, so bound what you print of it.
"""

from __future__ import annotations

import collections
import io
import pickle
import re
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO, ClassVar, Final, Literal

import numpy as np

from naswot_ray.errors import NaswotError

Visit = Callable[[dict[Any, Any]], None]
"""A function that is called with a dictionary each time items have been put into it."""

_MAX_OBJECT_BYTES: Final = 1 << 30
"""The largest string, array or frame. The largest in an official file is CIFAR-100's array, 154 MB."""

_MAX_LINE_BYTES: Final = 1 << 20

_NUMBERS: Final = re.compile(r"b1|[iu][1248]|f[248]|c(8|16)")
"""The dtypes of numbers. No benchmark's data contains objects, strings or records in arrays."""

_TEXTS: Final = frozenset({str, bytes})
_NUMBER_KEYS: Final = frozenset({int, bool, type(None)})
_MAX_KEY: Final = 2**31

_MAX_KEY_PARTS: Final = 8

_FREE_COPIES: Final = 1 << 20
"""How many bytes and items may be copied in addition to the size of the file."""

_BYTE_ORDERS: Final[dict[str, Literal["<", ">", "|"]]] = {"<": "<", ">": ">", "|": "|"}


def _text(value: Any) -> str:
    """A string from a file of Python 2 or 3; bytes are decoded as Latin-1."""
    if not isinstance(value, (str, bytes)):
        raise TypeError(f"expected a string, found {type(value).__name__}")
    return value.decode("latin1") if isinstance(value, bytes) else value


def _in_short(message: str) -> str:
    """Shorten a text that may come from a file, so that it fits into one line of a message."""
    return " ".join(message.split())[:200]


class _Dtype:
    """A dtype while it is read: numpy pickles its type first and its byte order later, as its state."""

    def __init__(self, name: Any, align: Any = False, copy: Any = False) -> None:
        name = _text(name)
        if not _NUMBERS.fullmatch(name):
            raise pickle.UnpicklingError(f"it asks for an array of {name[:40]!r}, expected numbers")
        self.dtype = np.dtype(name)

    def set_state(self, state: Any) -> None:
        version, order, *rest = state
        if version not in (3, 4) or _text(order) not in _BYTE_ORDERS or rest[:6] != [None, None, None, -1, -1, 0]:
            raise pickle.UnpicklingError("it sets the state of a dtype to something that no number has")
        self.dtype = self.dtype.newbyteorder(_BYTE_ORDERS[_text(order)])


class _Ndarray:
    """A placeholder for `numpy.ndarray`, which a file may name but not call."""

    def __init__(self, *_: Any) -> None:
        raise pickle.UnpicklingError("it calls numpy.ndarray")


def _reconstruct(kind: Any, shape: Any, typecode: Any) -> Any:
    if kind is not _Ndarray or shape != (0,):
        raise pickle.UnpicklingError("it reconstructs something other than an empty array")
    return np.empty(0, np.int8)


def _set_array_state(array: Any, state: Any) -> None:
    version, shape, dtype, is_fortran, data = state
    if not isinstance(dtype, _Dtype) or not isinstance(data, (bytes, str)):
        raise pickle.UnpicklingError("it sets the state of an array to something other than numbers")
    array.__setstate__((version, shape, dtype.dtype, bool(is_fortran), data))


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> Any:
    return np.frombuffer(data, dtype.dtype).reshape(shape, order=order)


def _scalar(dtype: Any, data: Any) -> Any:
    (value,) = np.frombuffer(data.encode("latin1") if isinstance(data, str) else data, dtype.dtype)
    return value


def _encode(text: Any, encoding: Any) -> bytes:
    """The function by which protocols before 3 write bytes. Codecs other than latin1 could expand a small text enormously."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("it asks for _codecs.encode with something other than latin1")
    return text.encode("latin1")


def _checked(keys: Iterable[Any]) -> Iterable[Any]:
    """Check keys and return them.

    Raises:
        pickle.UnpicklingError: one of them is neither a string, a small number nor a tuple of those.
    """
    for key in keys:
        if type(key) not in _TEXTS and not _is_small(key) and not _is_tuple_of_keys(key):
            raise pickle.UnpicklingError(
                f"it has a key of type {type(key).__name__}, expected strings, whole numbers below 2^31 or short tuples "
                "of those with a string among them"
            )
    return keys


def _is_small(key: Any) -> bool:
    return type(key) in _NUMBER_KEYS and (key is None or -_MAX_KEY < key < _MAX_KEY)


def _is_tuple_of_keys(key: Any) -> bool:
    if type(key) is not tuple or len(key) > _MAX_KEY_PARTS or not all(type(part) in _TEXTS or _is_small(part) for part in key):
        return False
    return any(type(part) in _TEXTS for part in key) or not key


def _set(items: Any = ()) -> set[Any]:
    return set(_checked(list(items)))


def _ordered_dict(items: Any = ()) -> collections.OrderedDict[Any, Any]:
    pairs = [(key, value) for key, value in items]
    _checked(key for key, _ in pairs)
    return collections.OrderedDict(pairs)


def _defaultdict(factory: Any = None) -> dict[Any, Any]:
    if factory is not None:
        raise pickle.UnpicklingError("it asks for a defaultdict with a factory")
    return collections.defaultdict(None)


_ALLOWED: Final[dict[tuple[str, str], Any]] = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("collections", "defaultdict"): _defaultdict,
    ("builtins", "set"): _set,
    ("__builtin__", "set"): _set,
    ("_codecs", "encode"): _encode,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
    ("numpy", "ndarray"): _Ndarray,
    ("numpy", "dtype"): _Dtype,
}

_COPIED: Final = (str, bytes, bytearray, list, tuple, dict, set, frozenset, np.ndarray)
"""The types of arguments that a function or an array may copy. All have a length."""

_REFUSED: Final = (
    *("PERSID", "BINPERSID", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX"),
    *("EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER"),
)
"""Opcodes that refer to something outside of the file or create instances."""


class _Unpickler(pickle._Unpickler):
    """The restricted machine. To save memory its memo is a list (a tenth of a dictionary), and equal strings are shared."""

    stack: list[Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    readline: Callable[[], bytes]
    pop_mark: Callable[[], list[Any]]
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, stream: BinaryIO, encoding: str, visit: Visit | None) -> None:
        self._reads = _BoundedReads(stream)
        self._num_copied = 0
        super().__init__(self._reads, encoding=encoding)
        self.memo: list[Any] = []
        self._visit = visit
        self._strings: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks for {_in_short(f'{module}.{name}')}, which plain data does not need"
            ) from None

    def _count_copies(self, arguments: Any) -> None:
        """Refuse to copy more than the file holds. Its memo returns the same object as often as the file asks for it."""
        if isinstance(arguments, tuple):
            self._num_copied += sum(len(value) for value in arguments if isinstance(value, _COPIED))
        if self._num_copied > self._reads.num_bytes + _FREE_COPIES:
            raise pickle.UnpicklingError("it copies the same objects again and again, which plain data does not need")

    def load_reduce(self) -> None:
        self._count_copies(self.stack[-1])
        arguments = self.stack.pop()
        function = self.stack[-1]
        self.stack[-1] = function(*arguments)

    def load_build(self) -> None:
        state = self.stack.pop()
        self._count_copies(state)
        built = self.stack[-1]
        if type(built) is np.ndarray:
            _set_array_state(built, state)
        elif type(built) is _Dtype:
            built.set_state(state)
        else:
            raise pickle.UnpicklingError(f"it sets the state of {type(built).__name__}, which plain data does not need")

    def load_short_binunicode(self) -> None:
        self._append_text(self.read(self.read(1)[0]))

    def load_binunicode(self) -> None:
        self._append_text(self.read(int.from_bytes(self.read(4), "little")))

    def _append_text(self, data: bytes) -> None:
        text = data.decode("utf-8", "surrogatepass")
        self.append(self._strings.setdefault(text, text))

    def load_bytearray8(self) -> None:
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    def load_memoize(self) -> None:
        self.memo.append(self.stack[-1])

    def load_put(self) -> None:
        self._put(int(self.readline()))

    def load_binput(self) -> None:
        self._put(self.read(1)[0])

    def load_long_binput(self) -> None:
        self._put(int.from_bytes(self.read(4), "little"))

    def _put(self, index: int) -> None:
        if index == 1 and not self.memo:  # Python 2 counts from 1
            self.memo.append(None)
        if index == len(self.memo):
            self.memo.append(self.stack[-1])
        elif 0 <= index < len(self.memo):
            self.memo[index] = self.stack[-1]
        else:
            raise pickle.UnpicklingError(f"damaged: object {index} of its memo follows object {len(self.memo) - 1}")

    def load_get(self) -> None:
        index = int(self.readline())
        if index < 0:
            raise pickle.UnpicklingError(f"damaged: it asks for object {index} of its memo")
        self.append(self.memo[index])

    def load_setitem(self) -> None:
        value = self.stack.pop()
        key = self.stack.pop()
        self._fill([key, value])

    def load_setitems(self) -> None:
        self._fill(self.pop_mark())

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._fill(items)

    def _fill(self, items: list[Any]) -> None:
        """Put alternating keys and values into the dictionary on the stack."""
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise pickle.UnpicklingError(f"damaged: it puts items into {type(target).__name__}")
        keys = items[::2]
        _checked(keys)
        target.update(zip(keys, items[1::2], strict=True))
        if self._visit is not None:
            self._visit(target)

    def load_additems(self) -> None:
        items = self.pop_mark()
        self.stack[-1].update(_checked(items))

    def load_frozenset(self) -> None:
        items = self.pop_mark()
        self.append(frozenset(_checked(items)))

    dispatch |= {
        pickle.BUILD[0]: load_build,
        pickle.REDUCE[0]: load_reduce,
        pickle.SHORT_BINUNICODE[0]: load_short_binunicode,
        pickle.BINUNICODE[0]: load_binunicode,
        pickle.BYTEARRAY8[0]: load_bytearray8,
        pickle.MEMOIZE[0]: load_memoize,
        pickle.PUT[0]: load_put,
        pickle.BINPUT[0]: load_binput,
        pickle.LONG_BINPUT[0]: load_long_binput,
        pickle.GET[0]: load_get,
        pickle.DICT[0]: load_dict,
        pickle.ADDITEMS[0]: load_additems,
        pickle.FROZENSET[0]: load_frozenset,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
    }


def _refuse(name: str) -> Callable[[Any], None]:
    def load(machine: Any) -> None:
        raise pickle.UnpicklingError(f"it uses the opcode {name}, which plain data does not need")

    return load


_Unpickler.dispatch |= {getattr(pickle, name)[0]: _refuse(name) for name in _REFUSED}


class _BoundedReads:
    """A stream with a limit on the size of each read. A read that ends early is an error."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.num_bytes = 0

    def read(self, size: int) -> bytes:
        if size > _MAX_OBJECT_BYTES:
            raise pickle.UnpicklingError(f"damaged: it announces an object of {size} bytes")
        data = self._stream.read(size)
        if len(data) < size:
            raise EOFError("it ends too early")
        self.num_bytes += size
        return data

    def readline(self) -> bytes:
        line = self._stream.readline(_MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise EOFError("it ends within a line")
        self.num_bytes += len(line)
        return line


def load(stream: BinaryIO, *, encoding: str = "ASCII", visit: Visit | None = None) -> Any:
    """Unpickle plain data from a stream. Nothing after the end of the pickle is read.

    Args:
        stream: a stream of bytes, such as an open file. If it cannot be read, the pickle counts as damaged.
        encoding: how Python 2 strings are decoded, as in `pickle.load`.
        visit: called with each dictionary when it has been filled, inner ones first. It may remove items, which frees their
            memory, so that a large file need not fit into memory. A `NaswotError` that it raises is passed on.

    Raises:
        pickle.UnpicklingError: the pickle is damaged or asks for something other than plain data; the message says which.
    """
    try:
        return _Unpickler(stream, encoding, visit).load()
    except (pickle.UnpicklingError, NaswotError):
        raise
    except Exception as error:  # a damaged pickle can fail in any way inside the virtual machine that runs it
        raise pickle.UnpicklingError(f"damaged: {type(error).__name__}: {_in_short(str(error))}") from error


def loads(data: bytes, *, encoding: str = "ASCII") -> Any:
    """Unpickle plain data: containers, strings, numbers, numpy arrays and scalars.

    Args:
        data: the whole pickle.
        encoding: how Python 2 strings are decoded, as in `pickle.loads`.

    Raises:
        pickle.UnpicklingError: the pickle is damaged or asks for something else; the message says which.
    """
    return load(io.BytesIO(data), encoding=encoding)
