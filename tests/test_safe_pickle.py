"""Pickles are read, never run."""

from __future__ import annotations

import collections
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naswot_ray import safe_pickle
from tests.scoring.official import python2_pickle

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
    """Byte strings decode as asked for; arrays of an old numpy keep their bits."""
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


# Opcodes with which CPython's own unpickler misbehaves: two reserve as much memory as they ask for, one releases a buffer
# that is still in use.
AVOIDED = (pickle.PUT, pickle.LONG_BINPUT, pickle.BYTEARRAY8)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60).filter(lambda data: not any(opcode in data for opcode in AVOIDED)))
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
