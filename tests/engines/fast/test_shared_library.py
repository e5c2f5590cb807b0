"""A library is loaded only if nobody else can have written it, it is complete, and it computes what torch computes."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from naswot_ray.engines.fast import compiler, shared_library
from naswot_ray.engines.fast.compiler import BuildError, compile_kernels, find_compiler
from naswot_ray.engines.fast.engine import FastEngine
from naswot_ray.engines.fast.shared_library import load_kernels
from tests.test_private_folder import give_away, mode

Builds = list[bytes]


@pytest.fixture(scope="module")
def kernels() -> bytes:
    """The library, compiled without optimisation; with it, compiling takes five times as long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "_FLAGS", tuple("-O0" if flag == "-O3" else flag for flag in compiler._FLAGS))
        return compile_kernels(find_compiler())


@pytest.fixture(autouse=True)
def builds(kernels: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Builds]:
    """A cache of its own with nothing loaded, and the list of builds from now on. A build takes no time."""
    done: Builds = []

    def compile_at_once(_: str) -> bytes:
        done.append(kernels)
        return kernels

    monkeypatch.setattr(shared_library, "compile_kernels", compile_at_once)
    monkeypatch.setenv("NASWOT_RAY_CACHE", str(tmp_path / "cache"))
    load_kernels.cache_clear()
    yield done
    load_kernels.cache_clear()


@pytest.fixture
def evil(tmp_path: Path) -> bytes:
    """A library that creates a file `executed` when it is loaded."""
    source = f'#include <fcntl.h>\n__attribute__((constructor)) void f(void) {{ creat("{tmp_path}/executed", 0600); }}'
    (tmp_path / "evil.c").write_text(source)
    subprocess.run(["cc", "-shared", "-fPIC", str(tmp_path / "evil.c"), "-o", str(tmp_path / "evil.so")], check=True)
    return (tmp_path / "evil.so").read_bytes()


def again() -> shared_library.LoadedKernels:
    """Load the kernels as another process would."""
    load_kernels.cache_clear()
    return load_kernels()


def kept(tmp_path: Path) -> Path:
    """The one library in the cache."""
    (path,) = (tmp_path / "cache" / "kernels").glob("*.so")
    return path


def sealed(name: str, content: bytes) -> bytes:
    """A library with a correct digest; how to make a digest is no secret."""
    return content + shared_library._digest(name, content)


def test_built_once_and_kept_for_this_user_alone(tmp_path: Path, builds: Builds) -> None:
    assert load_kernels().note is None
    assert again().note is None
    assert len(builds) == 1
    assert mode(kept(tmp_path)) == 0o600
    assert mode(kept(tmp_path).parent) == 0o700


def test_one_of_many_builds(builds: Builds) -> None:
    """All start at once, as the actors of a node do. The lock works between threads as it does between processes."""
    with ThreadPoolExecutor(4) as pool:
        for loaded in pool.map(lambda _: load_kernels.__wrapped__(), range(4)):
            assert loaded.functions.naswot_run
    assert len(builds) == 1


@pytest.mark.parametrize(
    "damage",
    [lambda c: c[:-1], lambda c: c[: len(c) // 2], lambda c: b"", lambda c: b"\x7fELF" + bytes(len(c))],
    ids=["a byte short", "cut", "empty", "zeros"],
)
def test_a_damaged_library_is_built_again(tmp_path: Path, builds: Builds, damage: Callable[[bytes], bytes]) -> None:
    load_kernels()
    whole = kept(tmp_path).read_bytes()
    kept(tmp_path).write_bytes(damage(whole))
    note = f"the kernels of engine fast were built again: {kept(tmp_path)} is not what was written"
    assert again().note == note
    assert kept(tmp_path).read_bytes() == whole
    assert again().note is None
    assert len(builds) == 2


def test_every_flipped_bit_is_noticed(tmp_path: Path, builds: Builds) -> None:
    load_kernels()
    path = kept(tmp_path)
    whole = path.read_bytes()
    places = range(0, len(whole), len(whole) // 40)
    for number, place in enumerate(places):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << number % 8]) + whole[place + 1 :])
        assert "is not what was written" in (again().note or "")
    assert len(builds) == 1 + len(places)


def test_a_library_of_another_name_is_not_taken(tmp_path: Path, builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    load_kernels()
    other = kept(tmp_path).read_bytes()
    monkeypatch.setattr(compiler, "_processor", lambda: b"another")
    shutil.rmtree(tmp_path / "cache")
    again()
    kept(tmp_path).write_bytes(other)
    assert "is not what was written" in (again().note or "")


def _file_of_another_user(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    give_away(path)


def _writable_file(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o666)


def _link(path: Path, content: bytes) -> None:
    path.unlink()
    path.with_name("elsewhere").write_bytes(content)
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize("plant", [_file_of_another_user, _writable_file, _link])
def test_a_planted_library_is_not_loaded(
    tmp_path: Path, builds: Builds, evil: bytes, plant: Callable[[Path, bytes], None]
) -> None:
    """Somebody put the file there while everybody could write to the folder."""
    load_kernels()
    path = kept(tmp_path)
    path.parent.chmod(0o777)
    plant(path, sealed(path.name, evil))
    note = again().note
    assert note is not None
    assert note.startswith(f"the kernels of engine fast were built again: {path} ")
    assert not (tmp_path / "executed").exists()
    assert again().note is None
    assert len(builds) == 2


def test_a_folder_of_another_user_is_not_used(tmp_path: Path, builds: Builds, evil: bytes) -> None:
    load_kernels()
    path = kept(tmp_path)
    path.write_bytes(sealed(path.name, evil))
    give_away(path.parent)
    for number in (2, 3):
        loaded = again()
        assert loaded.functions.naswot_run
        assert loaded.note is not None
        assert loaded.note.startswith(f"each process builds the kernels of engine fast anew: {path.parent} belongs to user ")
        assert loaded.note.endswith("; let NASWOT_RAY_CACHE name a folder of your own")
        assert len(builds) == number
    assert not (tmp_path / "executed").exists()


def test_a_planted_library_would_have_been_executed(tmp_path: Path, evil: bytes) -> None:
    """This shows that the tests above can fail."""
    ctypes.CDLL(str(tmp_path / "evil.so"))
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize("part", ["", "kernels"])
def test_a_cache_that_cannot_be_written(tmp_path: Path, builds: Builds, part: str) -> None:
    place = tmp_path / "cache" / part
    place.parent.mkdir(exist_ok=True)
    place.write_text("a file")
    loaded = again()
    assert loaded.functions.naswot_run
    assert str(place) in (loaded.note or "")
    assert place.read_text() == "a file"


def test_what_cannot_be_kept_is_used_all_the_same(builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert "No space left on device" in (load_kernels().note or "")
    assert len(builds) == 1


def test_without_memory_to_execute_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert load_kernels().functions.naswot_run
    assert again().note is None
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Kernels that compute something else: their ReLUs are on from 1."""
    folder = tmp_path_factory.mktemp("wrong") / "sources"
    shutil.copytree(compiler._SOURCES, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    source = (folder / "combination.h").read_text()
    assert "RECTIFIED ? 0.0f" in source
    (folder / "combination.h").write_text(source.replace("RECTIFIED ? 0.0f", "RECTIFIED ? 1.0f"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "_FLAGS", tuple("-O0" if flag == "-O3" else flag for flag in compiler._FLAGS))
        patch.setattr(compiler, "_SOURCES", folder)
        return compile_kernels(find_compiler())


def test_a_kept_library_that_computes_something_else_is_built_again(tmp_path: Path, builds: Builds, wrong: bytes) -> None:
    load_kernels()
    path = kept(tmp_path)
    path.write_bytes(sealed(path.name, wrong))
    assert f"{path} computes other kernels than torch: they differ by up to " in (again().note or "")
    assert again().note is None
    assert len(builds) == 2


def test_a_compiler_whose_kernels_compute_something_else(wrong: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores then come from torch, and the operator gets a message."""
    monkeypatch.setattr(shared_library, "compile_kernels", lambda compiler: wrong)
    with pytest.raises(BuildError, match=r"^what .* built computes other kernels than torch: they differ by up to [\d,]+ of"):
        load_kernels()
    assert (FastEngine().note or "").startswith("engine fast runs in torch alone and takes longer: what ")


def test_notes_reach_the_operator(tmp_path: Path) -> None:
    load_kernels()
    kept(tmp_path).write_bytes(b"")
    load_kernels.cache_clear()
    assert "were built again" in (FastEngine().note or "")
