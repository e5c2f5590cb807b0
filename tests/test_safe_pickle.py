"""Pickles are read but never executed."""

from __future__ import annotations

import collections
import copyreg
import io
import pickle
import pickletools
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naswot_ray import safe_pickle
from naswot_ray.errors import BenchmarkError
from tests.images.official import python2_pickle

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=10,
)


@given(plain, st.sampled_from(range(pickle.HIGHEST_PROTOCOL + 1)))
def test_plain_data(value: Any, protocol: int) -> None:
    if protocol < 3 and _holds_bytes(value):
        return  # written as a call of _codecs.encode or of bytes(); the next test has the first
    assert safe_pickle.loads(pickle.dumps(value, protocol=protocol)) == value


def _holds_bytes(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_bytes(v) for v in value.values())
    return isinstance(value, bytes) or (isinstance(value, (list, tuple)) and any(_holds_bytes(v) for v in value))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays_and_containers(protocol: int) -> None:
    value = collections.OrderedDict(a=np.arange(6, dtype=np.uint8).reshape(2, 3), b=np.float64(0.5), c=b"\x00\xff")
    found = safe_pickle.loads(pickle.dumps(value, protocol=protocol))
    assert type(found) is collections.OrderedDict
    np.testing.assert_array_equal(found["a"], value["a"])
    assert found["a"].dtype == np.uint8
    assert (found["b"], found["c"]) == (0.5, b"\x00\xff")


def test_defaultdict_of_nothing() -> None:
    assert safe_pickle.loads(pickle.dumps(collections.defaultdict(None, {"a": 1}))) == {"a": 1}


def test_pickles_of_python_2() -> None:
    """Byte strings are decoded as asked for, and arrays of an old numpy keep their bits."""
    pixels = np.arange(256, dtype=np.uint8).reshape(4, 64)
    data = python2_pickle({"data": pixels, "labels": [1, 2], "name": "caf\xe9" * 100})
    assert b"numpy.core.multiarray" in data
    found = safe_pickle.loads(data, encoding="latin1")
    np.testing.assert_array_equal(found["data"], pixels)
    assert found["labels"] == [1, 2]
    assert found["name"] == "caf\xe9" * 100
    assert set(safe_pickle.loads(data, encoding="bytes")) == {b"data", b"labels", b"name"}


def _calling(module: str, name: str, *args: str, protocol: int) -> bytes:
    """A pickle that calls `module.name(*args)` when it is read."""
    if protocol == 4:
        push = b"".join(b"\x8c" + struct.pack("<B", len(s)) + s.encode() for s in (module, name)) + b"\x93"
        strings = b"".join(b"\x8c" + struct.pack("<B", len(s)) + s.encode() for s in args)
        return b"\x80\x04" + push + b"(" + strings + b"tR."
    strings = b"".join(f"S'{s}'\n".encode() for s in args)
    return f"c{module}\n{name}\n(".encode() + strings + b"tR."


@pytest.mark.parametrize("protocol", [0, 4])
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "mkdir"),
        ("posix", "mkdir"),
        ("builtins", "open"),
        ("pathlib", "Path"),
        ("numpy", "memmap"),
        ("numpy", "save"),
        ("numpy.core", "os.mkdir"),
        ("collections", "os.mkdir"),
        ("_codecs", "lookup"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("builtins", "getattr"),
        ("os", "system"),
        ("numpy", "load"),
        ("functools", "partial"),
    ],
)
def test_calls_are_refused_before_they_run(tmp_path: Path, protocol: int, module: str, name: str) -> None:
    marker = tmp_path / "was-run"
    data = _calling(module, name, str(marker), protocol=protocol)
    with pytest.raises(pickle.UnpicklingError, match=rf"asks for {module}\.{name}, which plain data does not need") as caught:
        safe_pickle.loads(data)
    assert not marker.exists()
    assert "\n" not in str(caught.value)


def test_the_same_pickle_would_run_without_the_list(tmp_path: Path) -> None:
    marker = tmp_path / "was-run"
    pickle.loads(_calling("os", "mkdir", str(marker), protocol=0))
    assert marker.exists()


def test_instances_of_classes_are_refused() -> None:
    with pytest.raises(pickle.UnpicklingError, match=r"asks for pathlib\..*Path"):
        safe_pickle.loads(pickle.dumps({"data": Path()}))


def test_refused_module_is_not_even_imported() -> None:
    with pytest.raises(pickle.UnpicklingError, match=r"asks for no_such_module_at_all\.name"):
        safe_pickle.loads(_calling("no_such_module_at_all", "name", protocol=0))


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60))
def test_garbage(data: bytes) -> None:
    try:
        safe_pickle.loads(data)
    except pickle.UnpicklingError as error:
        assert str(error)  # noqa: PT017


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_truncated_anywhere(protocol: int) -> None:
    whole = pickle.dumps({"data": np.arange(20, dtype=np.uint8), "labels": [1, 2.5], "name": "x" * 300}, protocol=protocol)
    for size in range(len(whole)):
        with pytest.raises(pickle.UnpicklingError) as caught:
            safe_pickle.loads(whole[:size])
        assert str(caught.value)


def test_nothing_says_damaged() -> None:
    with pytest.raises(pickle.UnpicklingError, match="damaged: EOFError"):
        safe_pickle.loads(b"")


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_protocol(protocol: int) -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    np.testing.assert_array_equal(safe_pickle.loads(pickle.dumps({"data": array}, protocol=protocol))["data"], array)


def text(value: str) -> bytes:
    return pickle.SHORT_BINUNICODE + bytes([len(value)]) + value.encode()


def name(module: str, attribute: str) -> bytes:
    return text(module) + text(attribute) + pickle.STACK_GLOBAL


ORDERED_DICT = name("collections", "OrderedDict")
NDARRAY = name("numpy", "ndarray")
RECONSTRUCT = name("numpy.core.multiarray", "_reconstruct")
DTYPE = name("numpy", "dtype")
F8 = DTYPE + text("f8") + pickle.TUPLE1 + pickle.REDUCE
HUGE = pickle.LONG1 + b"\x08" + (10**12).to_bytes(8, "little")
EMPTY_ARRAY = RECONSTRUCT + NDARRAY + pickle.BININT1 + b"\0" + pickle.TUPLE1 + text("b") + pickle.TUPLE3 + pickle.REDUCE


def built(target: bytes, *state: bytes) -> bytes:
    """A pickle that sets the state of the object on the stack."""
    return target + pickle.MARK + b"".join(state) + pickle.TUPLE + pickle.BUILD


N, ZERO, MINUS_1 = pickle.NONE, pickle.BININT1 + b"\0", pickle.BININT + b"\xff" * 4
THREE = pickle.BININT1 + b"\3"
NESTED = pickle.EMPTY_TUPLE + (pickle.MEMOIZE + pickle.BINGET + b"%c" + pickle.TUPLE2) * 100 % tuple(range(100))

HOSTILE: dict[str, tuple[bytes, str]] = {
    "a call within a call": (
        ORDERED_DICT + name("os", "system") + text("true") + pickle.TUPLE1 + pickle.REDUCE + pickle.TUPLE1 + pickle.REDUCE,
        "os.system",
    ),
    "a name of two lines": (name("os\nsystem", "x"), "asks for os system.x"),
    "a name of many letters": (pickle.UNICODE + b"x" * 9999 + b"\n" + text("y") + pickle.STACK_GLOBAL, "asks for xxx"),
    "a persistent id": (text("x") + pickle.BINPERSID, "BINPERSID"),
    "a persistent id of protocol 0": (pickle.PERSID + b"x\n", "PERSID"),
    "an instance of protocol 0": (pickle.MARK + pickle.INST + b"collections\nOrderedDict\n", "INST"),
    "an instance of protocol 1": (pickle.MARK + ORDERED_DICT + pickle.OBJ, "OBJ"),
    "an instance of protocol 2": (ORDERED_DICT + pickle.EMPTY_TUPLE + pickle.NEWOBJ, "NEWOBJ"),
    "an instance of protocol 4": (ORDERED_DICT + pickle.EMPTY_TUPLE + pickle.EMPTY_DICT + pickle.NEWOBJ_EX, "NEWOBJ_EX"),
    "a buffer outside of the file": (pickle.NEXT_BUFFER, "NEXT_BUFFER"),
    "the state of a dictionary": (
        ORDERED_DICT
        + pickle.EMPTY_TUPLE
        + pickle.REDUCE
        + pickle.EMPTY_DICT
        + text("items")
        + N
        + pickle.SETITEM
        + pickle.BUILD,
        "sets the state of OrderedDict",
    ),
    "the state of a class": (NDARRAY + pickle.EMPTY_DICT + pickle.BUILD, "sets the state of type"),
    "the state of a function": (
        RECONSTRUCT + N + pickle.EMPTY_DICT + text("__defaults__") + N + pickle.SETITEM + pickle.TUPLE2 + pickle.BUILD,
        "sets the state of function",
    ),
    "keys with one hash": (
        pickle.dumps({number * sys.hash_info.modulus: None for number in range(1, 4)}),
        "a key of type int, expected strings, whole numbers below 2^31",
    ),
    "fractions for keys": (pickle.dumps({0.5: None}), "a key of type float"),
    "tuples of numbers for keys": (pickle.dumps({(1, 2): None}), "a key of type tuple"),
    "a long tuple for a key": (pickle.dumps({("a", *range(8)): None}), "a key of type tuple"),
    "the same text encoded again and again": (
        b"\x80\x02c_codecs\nencode\nX"
        + struct.pack("<I", 100_000)
        + b"a" * 100_000
        + b"U\x06latin1\x86q\x00R"
        + b"c_codecs\nencode\nh\x00R" * 100
        + b".",
        "it copies the same objects again and again",
    ),
    "a key that is never hashed": (pickle.EMPTY_DICT + NESTED + N + pickle.SETITEM, "a key of type tuple"),
    "a key of protocol 0 that is never hashed": (pickle.MARK + NESTED + N + pickle.DICT, "a key of type tuple"),
    "a member that is never hashed": (pickle.EMPTY_SET + pickle.MARK + NESTED + pickle.ADDITEMS, "a key of type tuple"),
    "a frozen member that is never hashed": (pickle.MARK + NESTED + pickle.FROZENSET, "a key of type tuple"),
    "a member of a set by call": (
        name("builtins", "set") + pickle.EMPTY_LIST + NESTED + pickle.APPEND + pickle.TUPLE1 + pickle.REDUCE,
        "a key of type tuple",
    ),
    "a key of an OrderedDict by call": (
        ORDERED_DICT + pickle.EMPTY_LIST + NESTED + N + pickle.TUPLE2 + pickle.APPEND + pickle.TUPLE1 + pickle.REDUCE,
        "a key of type tuple",
    ),
    "items for a list": (pickle.EMPTY_LIST + ZERO + N + pickle.SETITEM, "puts items into list"),
    "a dictionary that makes its values": (
        name("collections", "defaultdict") + ORDERED_DICT + pickle.TUPLE1 + pickle.REDUCE,
        "defaultdict with a factory",
    ),
    "an array of objects": (DTYPE + text("O8") + pickle.TUPLE1 + pickle.REDUCE, "array of 'O8', expected numbers"),
    "an array of records": (DTYPE + text("f8,O") + pickle.TUPLE1 + pickle.REDUCE, "array of 'f8,O', expected numbers"),
    "an array of 2 GB items": (DTYPE + text("V2000000000") + pickle.TUPLE1 + pickle.REDUCE, "expected numbers"),
    "a dtype with fields": (built(F8, THREE, text("<"), N, text("names"), N, MINUS_1, MINUS_1, ZERO), "the state of a dtype"),
    "a dtype with a shape": (
        built(F8, THREE, text("<"), DTYPE + HUGE + pickle.TUPLE2, N, N, MINUS_1, MINUS_1, ZERO),
        "the state of a dtype",
    ),
    "a dtype of references": (
        built(F8, THREE, text("<"), N, N, N, MINUS_1, MINUS_1, pickle.BININT1 + b"\x3f"),
        "the state of a dtype",
    ),
    "an array whose dtype is no dtype": (
        built(EMPTY_ARRAY, THREE, ZERO + pickle.TUPLE1, N, N, pickle.SHORT_BINBYTES + b"\0"),
        "array",
    ),
    "objects for an array's data": (
        built(EMPTY_ARRAY, THREE, ZERO + pickle.TUPLE1, F8, N, pickle.EMPTY_LIST),
        "the state of an array",
    ),
    "numpy.ndarray called": (NDARRAY + HUGE + pickle.TUPLE1 + pickle.TUPLE1 + pickle.REDUCE, "calls numpy.ndarray"),
    "numpy.ndarray called with nothing": (NDARRAY + pickle.EMPTY_TUPLE + pickle.REDUCE, "calls numpy.ndarray"),
    "an array of another class": (
        RECONSTRUCT + ORDERED_DICT + ZERO + pickle.TUPLE1 + text("b") + pickle.TUPLE3 + pickle.REDUCE,
        "other than an empty array",
    ),
    "an array of terabytes": (
        RECONSTRUCT + NDARRAY + HUGE + pickle.TUPLE1 + text("b") + pickle.TUPLE3 + pickle.REDUCE,
        "other than an empty array",
    ),
    "an array of more than its data": (
        built(EMPTY_ARRAY, THREE, HUGE + pickle.TUPLE1, F8, N, pickle.SHORT_BINBYTES + b"\x08" + b"x" * 8),
        "damaged: ValueError",
    ),
    "a codec that blows up": (name("_codecs", "encode") + text("x") + text("utf-32") + pickle.TUPLE2 + pickle.REDUCE, "latin1"),
    "a codec of bytes": (
        name("_codecs", "encode") + pickle.SHORT_BINBYTES + b"\1x" + text("hex") + pickle.TUPLE2 + pickle.REDUCE,
        "latin1",
    ),
    "a memo of 32 GB": (N + pickle.LONG_BINPUT + b"\xff" * 4, "object 4294967295 of its memo"),
    "a memo of more than that": (N + pickle.PUT + b"99999999999\n", "object 99999999999 of its memo"),
    "a memo from the end": (N + pickle.MEMOIZE + pickle.GET + b"-1\n", "object -1 of its memo"),
    "a byte array of terabytes": (
        pickle.BYTEARRAY8 + (10**12).to_bytes(8, "little"),
        "announces an object of 1000000000000 bytes",
    ),
    "bytes of terabytes": (pickle.BINBYTES8 + (10**12).to_bytes(8, "little"), "announces an object of 1000000000000 bytes"),
    "a text of terabytes": (pickle.BINUNICODE8 + (10**12).to_bytes(8, "little"), "announces an object of 1000000000000 bytes"),
    "a text of gigabytes": (pickle.BINUNICODE + b"\xff" * 4, "announces an object of 4294967295 bytes"),
    "a frame of terabytes": (pickle.FRAME + (10**12).to_bytes(8, "little"), "announces an object of 1000000000000 bytes"),
    "a number of gigabytes": (pickle.LONG4 + b"\xff\xff\xff\x7f", "announces an object of 2147483647 bytes"),
    "a number of too many digits": (pickle.INT + b"9" * 100_000 + b"\n", "damaged: ValueError"),
    "a line without an end": (pickle.UNICODE + b"x" * 100, "within a line"),
    "a line of megabytes": (pickle.UNICODE + b"x" * (2 << 20) + b"\n", "within a line"),
}


@pytest.mark.parametrize(("data", "message"), HOSTILE.values(), ids=list(HOSTILE))
def test_hostile_pickles_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(pickle.UnpicklingError) as caught:
        safe_pickle.loads(pickle.PROTO + b"\4" + data + pickle.STOP)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_hostile_pickles_take_no_memory() -> None:
    """All of them are read in a process that may take at most 200 MB more than it has."""
    code = (
        "import pickle, resource, sys\n"
        "from naswot_ray import safe_pickle\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "limit = pages * resource.getpagesize() + (200 << 20)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "for line in sys.stdin:\n"
        "    try:\n"
        "        safe_pickle.loads(bytes.fromhex(line))\n"
        "        print('read')\n"
        "    except pickle.UnpicklingError as error:\n"
        "        print('memory' if 'MemoryError' in str(error) else 'refused')\n"
    )
    lines = "".join((pickle.PROTO + b"\4" + data + pickle.STOP).hex() + "\n" for data, _ in HOSTILE.values())
    process = subprocess.run([sys.executable, "-c", code], input=lines, capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["refused"] * len(HOSTILE)


def test_registered_extensions_are_refused() -> None:
    """`copyreg` can give a number to any name, and the standard unpickler remembers what it once found under a number."""
    copyreg.add_extension("os", "getcwd", 240)
    try:
        data = pickle.PROTO + b"\2" + pickle.EXT1 + b"\xf0" + pickle.EMPTY_TUPLE + pickle.REDUCE + pickle.STOP
        assert pickle.loads(data) == str(Path.cwd())
        with pytest.raises(pickle.UnpicklingError, match="uses the opcode EXT1"):
            safe_pickle.loads(data)
    finally:
        copyreg.remove_extension("os", "getcwd", 240)
        copyreg.clear_extension_cache()


def test_arrays_of_objects_that_numpy_itself_writes_are_refused() -> None:
    with pytest.raises(pickle.UnpicklingError, match="array of 'O8', expected numbers"):
        safe_pickle.loads(pickle.dumps(np.array([{}, []], dtype=object)))


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", "<i4", ">i8", "<f2", "f4", ">f8", "c8", "c16"])
@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_all_numbers(dtype: str, protocol: int) -> None:
    array = np.asfortranarray(np.arange(6).reshape(2, 3).astype(dtype))
    data = pickle.dumps([array, array[0, 1], array.T], protocol=protocol)
    for value, expected in zip(safe_pickle.loads(data), pickle.loads(data), strict=True):
        np.testing.assert_array_equal(value, expected)
        assert type(value) is type(expected)
        assert value.dtype == expected.dtype


def test_sets_of_every_protocol() -> None:
    for protocol in range(2, 6):
        assert safe_pickle.loads(pickle.dumps({1, 2, 3}, protocol=protocol)) == {1, 2, 3}


def test_every_opcode_is_either_read_or_refused() -> None:
    known = set(safe_pickle._Unpickler.dispatch)
    assert known >= {ord(opcode.code) for opcode in pickletools.opcodes}


def test_pickles_one_after_the_other() -> None:
    values: list[Any] = [{"a": [1, 2]}, "text", 2**100]
    for protocol in (0, 2, 4):
        stream = io.BytesIO(b"".join(pickle.dumps(value, protocol=protocol) for value in values) + b"rest")
        assert [safe_pickle.load(stream) for _ in values] == values
        assert stream.read() == b"rest"


def test_dictionaries_are_visited_as_they_fill_and_may_be_emptied() -> None:
    content = {"whole": {n: {"part": {"number": n}} for n in range(3)}}
    seen: list[Any] = []

    def visit(items: dict[Any, Any]) -> None:
        seen.append(dict(items))
        if "number" in items:
            items.clear()

    found = safe_pickle.load(io.BytesIO(pickle.dumps(content)), visit=visit)
    assert seen[:2] == [{"number": 0}, {"part": {}}]
    assert len(seen) == 3 + 3 + 1 + 1
    assert found == {"whole": {n: {"part": {}} for n in range(3)}}


def test_an_error_of_the_visitor_passes_through() -> None:
    def visit(items: dict[Any, Any]) -> None:
        raise BenchmarkError("mine")

    with pytest.raises(BenchmarkError, match="mine"):
        safe_pickle.load(io.BytesIO(pickle.dumps({1: 2})), visit=visit)


def test_keys_of_the_benchmarks() -> None:
    content = {("cifar10-valid", 777): {200: None, None: 1}, "ori-test@11": {-1: True}}
    assert safe_pickle.loads(pickle.dumps(content)) == content


def test_an_array_set_to_the_same_bytes_again_and_again() -> None:
    array = np.zeros(100_000, np.uint8)
    whole = pickle.dumps(array, protocol=2)
    state = whole.rindex(b"b.")
    assert safe_pickle.loads(whole).size == array.size
    with pytest.raises(pickle.UnpicklingError, match="it copies the same objects again and again"):
        safe_pickle.loads(whole[:state] + _memoised(whole[:state]) * 100 + b".")


def _memoised(begun: bytes) -> bytes:
    """Opcodes that set the array on the stack to the state on top of it, once more. The state was memoised last."""
    last = max(int(argument or 0) for op, argument, _ in pickletools.genops(begun + b"b.") if op.name == "BINPUT")
    return b"b" + b"h" + bytes([last])
