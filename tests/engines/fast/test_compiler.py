"""The name of compiled kernels depends on processor and compiler; if there are no kernels, there is a reason."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from naswot_ray.engines.fast import compiler
from naswot_ray.engines.fast.compiler import BuildError, compile_kernels, find_compiler, key_of


def script(path: Path, *lines: str) -> str:
    """A compiler that consists of these lines."""
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_another_processor_or_compiler_has_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = script(tmp_path / "one", "echo 1.0"), script(tmp_path / "other", "echo 2.0")
    before = key_of(one)
    assert key_of(one) == before
    assert key_of(other) != before
    monkeypatch.setattr(compiler, "_processor", lambda: b"another")
    assert key_of(one) != before


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match=r"^no C\+\+ compiler \(c\+\+, g\+\+, clang\+\+\)$"):
        find_compiler()
    monkeypatch.setenv("CXX", "icpx")
    with pytest.raises(BuildError, match=r"^no C\+\+ compiler \(icpx\)$"):
        find_compiler()


def test_the_named_compiler_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = script(tmp_path / "own", "echo 1.0")
    monkeypatch.setenv("CXX", own)
    assert find_compiler() == own


def test_a_compiler_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the compiler had written so far is neither used nor left behind."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    message = "kernels.cpp:1: fatal error: cmath: No such file"
    stops = 'while [ "$1" != -o ]; do shift; done; echo half > "$2"'
    for last, reason in ((f"echo '{message}' >&2; exit 1", message), ("exit 3", "exit status 3")):
        broken = script(tmp_path / "broken", stops, last)
        with pytest.raises(BuildError, match=rf"broken: {reason}$"):
            compile_kernels(broken)
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


def test_a_compiler_that_does_not_run(tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"\x7fELF")
    (tmp_path / "broken").chmod(0o755)
    for use in (key_of, compile_kernels):
        with pytest.raises(BuildError, match=r"broken.*Exec format error"):
            use(str(tmp_path / "broken"))


def test_a_compiler_that_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"idle: .*kernels\.so"):
        compile_kernels(script(tmp_path / "idle", "exit 0"))
