"""Kernels are built once for a processor and its compiler; without one there is a reason."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from naswot_ray.scoring.fast import building
from naswot_ray.scoring.fast.building import BuildError, load_kernels


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache of its own, and nothing loaded. Optimised kernels would take five times as long to build."""
    monkeypatch.setattr(building, "_FLAGS", tuple("-O0" if flag == "-O3" else flag for flag in building._FLAGS))
    monkeypatch.setenv("NASWOT_RAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)
    load_kernels.cache_clear()
    yield
    load_kernels.cache_clear()


def compiler(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def built(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache" / "kernels").glob("*.so"))


def test_built_once(tmp_path: Path) -> None:
    assert load_kernels().naswot_run
    (name,) = built(tmp_path)
    before = (tmp_path / "cache" / "kernels" / name).stat().st_mtime_ns
    load_kernels.cache_clear()
    assert load_kernels().naswot_run
    assert (tmp_path / "cache" / "kernels" / name).stat().st_mtime_ns == before


def test_another_processor_or_compiler_has_kernels_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_kernels()
    load_kernels.cache_clear()
    monkeypatch.setattr(building, "_processor", lambda: b"another")
    load_kernels()
    load_kernels.cache_clear()
    monkeypatch.setenv("CXX", compiler(tmp_path / "wrapped", 'exec c++ "$@"'))
    monkeypatch.setattr(building, "_version_of", lambda compiler: b"another version")
    load_kernels()
    assert len(built(tmp_path)) == 3


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match=r"^no C\+\+ compiler \(c\+\+, g\+\+, clang\+\+\)$"):
        load_kernels()
    monkeypatch.setenv("CXX", "icpx")
    with pytest.raises(BuildError, match=r"^no C\+\+ compiler \(icpx\)$"):
        load_kernels()


def test_a_compiler_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    message = "kernels.cpp:1: fatal error: cmath: No such file"
    monkeypatch.setenv("CXX", compiler(tmp_path / "broken", f"echo '{message}' >&2; exit 1"))
    with pytest.raises(BuildError, match=rf"broken: {message}$"):
        load_kernels()
    assert built(tmp_path) == []


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NASWOT_RAY_CACHE", str(tmp_path / "file"))
    with pytest.raises(BuildError, match=str(tmp_path / "file")):
        load_kernels()


def test_an_interrupted_build_leaves_nothing_to_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the compiler had written so far is not taken for the result."""
    script = 'while [ "$1" != -o ]; do [ "$1" = --version ] && exit 0; shift; done; echo half > "$2"; exit 1'
    monkeypatch.setenv("CXX", compiler(tmp_path / "stopped", script))
    with pytest.raises(BuildError, match="exit status 1"):
        load_kernels()
    assert {path.suffix for path in (tmp_path / "cache" / "kernels").iterdir()} <= {".lock"}
