"""Archives of strangers are unpacked completely or not at all, and never outside their folder."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from naswot_ray.errors import FetchError
from naswot_ray.fetch import archive as module
from naswot_ray.fetch.archive import Archive, find_flaw, unpack
from tests.benchmarks.official_nats import TSS
from tests.fetch.archives import header_offsets, tar_bytes, tar_member, tree, zip_bytes

FILES = {"top/a.txt": b"a" * 700, "top/inner/b.txt": b"b" * 512, "top/empty": b"", "beside.txt": b"dropped"}
MAKE: dict[str, Callable[[Mapping[str, bytes]], bytes]] = {"tar": tar_bytes, "zip": zip_bytes}
Kind = Literal["tar", "zip"]
KINDS: tuple[Kind, ...] = ("tar", "zip")
UNPACKED: dict[str, bytes | None] = {"a.txt": b"a" * 700, "empty": b"", "inner": None, "inner/b.txt": b"b" * 512}


def archive(kind: Kind, *, min_files: int = 1, max_members: int = 100, max_bytes: int = 10_000) -> Archive:
    return Archive(kind, min_files, max_members, max_bytes)


def unpacked(folder: Path, data: bytes, allowed: Archive) -> dict[str, bytes | None]:
    """What unpacking `top` creates. Nothing else may be beside the archive."""
    path = folder / "archive"
    path.write_bytes(data)
    unpack(path, folder / "top", allowed)
    assert {p.name for p in folder.iterdir()} == {"archive", "top"}
    return tree(folder / "top")


def refused(folder: Path, data: bytes, allowed: Archive, expected: str) -> None:
    """Unpacking and reading refuse an archive with one line that names it, and leave nothing behind."""
    path = folder / "archive"
    path.write_bytes(data)
    with pytest.raises(FetchError, match=expected) as caught:
        unpack(path, folder / "top", allowed)
    message = str(caught.value)
    assert message.startswith(f"{path} ")
    assert message.isprintable()
    assert message.endswith("nothing of it is used, download it again")
    assert [p.name for p in folder.iterdir()] == ["archive"]
    flaw = find_flaw(path, allowed)
    assert flaw is not None
    assert flaw in message


class TestGoodArchives:
    @pytest.mark.parametrize("kind", KINDS)
    def test_top_folder_is_unpacked(self, tmp_path: Path, kind: Kind) -> None:
        assert unpacked(tmp_path, MAKE[kind](FILES), archive(kind)) == UNPACKED
        assert find_flaw(tmp_path / "archive", archive(kind)) is None

    @pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    def test_every_tar_format(self, tmp_path: Path, tar_format: int) -> None:
        long_name = "/".join(["top", "x" * 90, "y" * 90])
        data = tar_bytes({**FILES, long_name: b"z"}, tar_format=tar_format)
        assert unpacked(tmp_path, data, archive("tar"))[long_name.removeprefix("top/")] == b"z"

    def test_as_the_tar_command_writes_them(self, tmp_path: Path) -> None:
        """The archive has folders as members, and names that begin with a dot."""
        folders = [tar_member(name, type=tarfile.DIRTYPE) for name in (".", "./top", "./top/inner", "./top/inner")]
        data = tar_bytes({f"./{name}": content for name, content in FILES.items()}, *folders)
        assert unpacked(tmp_path, data, archive("tar")) == UNPACKED

    def test_modes_and_owners_are_not_taken_over(self, tmp_path: Path) -> None:
        special = tar_member("top/program", mode=0o6777, uid=12345)
        unpacked(tmp_path, tar_bytes({}, special), archive("tar"))
        status = (tmp_path / "top/program").stat()
        assert status.st_mode & 0o7111 == 0
        assert status.st_uid == os.geteuid()

    def test_nobody_else_can_reach_what_is_being_unpacked(self, tmp_path: Path) -> None:
        modes: set[int] = set()

        def look(num_bytes: int) -> None:
            modes.update(stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob(".*.unpacking"))

        (tmp_path / "archive").write_bytes(tar_bytes(FILES))
        unpack(tmp_path / "archive", tmp_path / "top", archive("tar"), look)
        assert modes == {0o700}

    def test_bytes_are_told(self, tmp_path: Path) -> None:
        (tmp_path / "archive").write_bytes(tar_bytes(FILES))
        told: list[int] = []
        unpack(tmp_path / "archive", tmp_path / "top", archive("tar"), told.append)
        assert told == [700, 1212, 1219]

    def test_leftovers_of_a_killed_process_are_no_part_of_it(self, tmp_path: Path) -> None:
        (tmp_path / ".top.unpacking" / "top").mkdir(parents=True)
        (tmp_path / ".top.unpacking" / "top" / "old").write_bytes(b"")
        assert unpacked(tmp_path, tar_bytes(FILES), archive("tar")) == UNPACKED

    def test_of_real_files(self, nats: Path, tmp_path: Path) -> None:
        with tarfile.open(tmp_path / f"{TSS}.tar", "w") as tar:
            tar.add(nats / TSS, TSS)
        unpack(tmp_path / f"{TSS}.tar", tmp_path / TSS, archive("tar", min_files=4, max_bytes=10**9))
        assert tree(tmp_path / TSS) == tree(nats / TSS)


BAD_NAMES = ["/top/a", "../a", "top/../../a", "top/..", "..", "C:/a", "top\\..\\a", "top/a\nb", "top/\x1b[2Ja"]


class TestRefused:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_names_that_lead_elsewhere(self, tmp_path: Path, kind: Kind, name: str) -> None:
        folder = tmp_path / "deep" / "deeper"
        folder.mkdir(parents=True)
        data = MAKE[kind]({**FILES, name: b"evil"})
        refused(folder, data, archive(kind), r"holds '.*', which is no path inside of a folder")
        assert tree(tmp_path).keys() == {"deep", "deep/deeper", "deep/deeper/archive"}

    @pytest.mark.parametrize("kind", KINDS)
    def test_names_a_thousand_folders_deep(self, tmp_path: Path, kind: Kind) -> None:
        deep = "top/" + "a/" * 1_000 + "x"
        refused(
            tmp_path, MAKE[kind]({**FILES, deep: b""}), archive(kind), r"holds 'top/.*', 1,002 folders deep with 2,005 char"
        )
        assert tree(tmp_path).keys() == {"archive"}

    @pytest.mark.parametrize(
        ("member", "kind"),
        [
            (tar_member("top/x", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "symbolic link"),
            (tar_member("top/x", type=tarfile.SYMTYPE, linkname="a.txt"), "symbolic link"),
            (tar_member("top/x", type=tarfile.LNKTYPE, linkname="top/a.txt"), "hard link"),
            (tar_member("top/x", type=tarfile.CHRTYPE, devmajor=1, devminor=5), "special file"),
            (tar_member("top/x", type=tarfile.BLKTYPE), "special file"),
            (tar_member("top/x", type=tarfile.FIFOTYPE), "special file"),
        ],
    )
    def test_tar_members_that_are_no_files(self, tmp_path: Path, member: tarfile.TarInfo, kind: str) -> None:
        refused(tmp_path, tar_bytes(FILES, member), archive("tar"), f"holds 'top/x', a {kind}")

    def test_a_file_through_a_link(self, tmp_path: Path) -> None:
        link = tar_member("top/out", type=tarfile.SYMTYPE, linkname=str(tmp_path))
        data = tar_bytes({}, link)[:512] + tar_bytes({"top/out/evil": b"evil"})
        refused(tmp_path, data, archive("tar"), "symbolic link")

    @pytest.mark.parametrize(("mode", "kind"), [(0o120777, "symbolic link"), (0o020666, "special file"), (0o010644, "special")])
    def test_zip_members_that_are_no_files(self, tmp_path: Path, mode: int, kind: str) -> None:
        info = zipfile.ZipInfo("top/x")
        info.create_system = 3
        info.external_attr = mode << 16
        refused(tmp_path, zip_bytes(FILES, (info, b"/etc/passwd")), archive("zip"), f"holds 'top/x', a {kind}")

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("again", ["top/a.txt", "./top/a.txt", "top/A.TXT", "top/inner", "top/a.txt/x", "."])
    def test_names_that_occur_twice(self, tmp_path: Path, kind: Kind, again: str) -> None:
        data = MAKE[kind]({**FILES, "top/a.txt": b"a", again: b"b"} if again != "top/a.txt" else FILES)
        if again == "top/a.txt":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # zipfile's own warning, about the duplicate
                info = zipfile.ZipInfo(again)
                data = tar_bytes(FILES, tar_member(again)) if kind == "tar" else zip_bytes(FILES, (info, b""))
        refused(tmp_path, data, archive(kind), "twice")

    @pytest.mark.parametrize("kind", KINDS)
    def test_too_many_members(self, tmp_path: Path, kind: Kind) -> None:
        data = MAKE[kind]({f"top/{i}": b"" for i in range(11)})
        refused(tmp_path, data, archive(kind, max_members=10), "holds more than 10 members")
        assert len(unpacked(tmp_path, data, archive(kind, max_members=11))) == 11

    @pytest.mark.parametrize("kind", KINDS)
    def test_too_many_bytes(self, tmp_path: Path, kind: Kind) -> None:
        data = MAKE[kind]({"top/a": bytes(5000), "top/b": bytes(5001)})
        refused(tmp_path, data, archive(kind), "holds more than 10.0 kB")
        assert unpacked(tmp_path, data, archive(kind, max_bytes=10_001))

    def test_a_zip_bomb_is_stopped_early(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_CHUNK_BYTES", 4096)
        data = zip_bytes({"top/bomb": bytes(100_000_000)})
        assert len(data) < 100_000
        path = tmp_path / "archive"
        path.write_bytes(data)
        told = [0]
        with pytest.raises(FetchError, match=r"holds more than 10\.0 kB"):
            unpack(path, tmp_path / "top", archive("zip"), told.append)
        assert told[-1] <= 10_000

    def test_a_zip_that_lies_about_sizes(self, tmp_path: Path) -> None:
        data = zip_bytes({"top/bomb": bytes(100_000)})
        lie = data.replace((100_000).to_bytes(4, "little"), (9_000).to_bytes(4, "little"))
        assert lie != data
        refused(tmp_path, lie, archive("zip"), "is damaged or no zip archive .*CRC")

    def test_a_zip_name_with_an_end_inside(self, tmp_path: Path) -> None:
        data = zip_bytes({"top/a-hidden": b"a"}).replace(b"top/a-hidden", b"top/a\0hidden")
        refused(tmp_path, data, archive("zip"), "which is no path inside of a folder")

    def test_an_encrypted_zip(self, tmp_path: Path) -> None:
        data = bytearray(zip_bytes({"top/a": b"a"}))
        data[data.index(b"PK\x01\x02") + 8] |= 1
        refused(tmp_path, bytes(data), archive("zip"), "holds 'top/a', which is encrypted")

    def test_a_sparse_tar_member(self, tmp_path: Path) -> None:
        header = bytearray(tar_member("top/holes", type=tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
        header[483:495] = b"77777777777\0"
        refused(tmp_path, with_checksum(header) + bytes(1024), archive("tar"), "holds 'top/holes', a special file")

    @pytest.mark.parametrize("member_type", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
    @pytest.mark.parametrize("size", [2**60, 2**33, 2**25, -512])
    def test_tar_headers_that_ask_for_memory_or_go_back(self, tmp_path: Path, member_type: bytes, size: int) -> None:
        header = tar_member("top/x", type=member_type, size=size).tobuf(tarfile.GNU_FORMAT)
        refused(tmp_path, header + bytes(2048), archive("tar"), f"is damaged: a header of {size} bytes")

    @pytest.mark.parametrize("size", [2**60, -512])
    def test_tar_members_of_absurd_size(self, tmp_path: Path, size: int) -> None:
        header = tar_member("top/x", size=size).tobuf(tarfile.GNU_FORMAT)
        refused(tmp_path, header + bytes(2048), archive("tar"), "is damaged|holds 'top/x' twice")

    @pytest.mark.parametrize("kind", KINDS)
    def test_too_few_files(self, tmp_path: Path, kind: Kind) -> None:
        refused(tmp_path, MAKE[kind](FILES), archive(kind, min_files=5), "holds only 4 files, expected at least 5")

    @pytest.mark.parametrize("kind", KINDS)
    def test_no_such_folder(self, tmp_path: Path, kind: Kind) -> None:
        (tmp_path / "archive").write_bytes(MAKE[kind]({"other/a": b"a", "top": b"a file"}))
        with pytest.raises(FetchError, match="holds no folder top"):
            unpack(tmp_path / "archive", tmp_path / "top", archive(kind))
        assert [path.name for path in tmp_path.iterdir()] == ["archive"]

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("data", [b"", b"\n", b"<html>Sign in</html>" * 100, bytes(10_000)])
    def test_no_archive_at_all(self, tmp_path: Path, kind: Kind, data: bytes) -> None:
        refused(tmp_path, data, archive(kind), "is damaged or no|holds only 0 files")


def with_checksum(header: bytearray) -> bytes:
    """A tar header with the correct checksum."""
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


class TestDamaged:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(kind=st.sampled_from(KINDS), data=st.data())
    def test_cut_off_anywhere(self, tmp_path: Path, kind: Kind, data: st.DataObject) -> None:
        whole = MAKE[kind](FILES)
        end = len(whole) if kind == "zip" else header_offsets(whole)[-1] + 512  # everything after it is padding
        refused(tmp_path, whole[: data.draw(st.integers(0, end - 1))], archive(kind), "is damaged|holds only|holds no folder")

    def test_a_member_of_fewer_bytes_than_it_should_have(self, tmp_path: Path) -> None:
        """If a zip's directory gives a checksum and a compressed size of 0, zipfile reads nothing and raises no error."""
        whole = bytearray(zip_bytes(FILES))
        name = max((name for name in FILES if name.startswith("top/")), key=lambda name: len(FILES[name]))
        header = whole.rindex(b"PK\x01\x02", 0, whole.rindex(name.encode()))
        whole[header + 16 : header + 24] = bytes(8)
        refused(tmp_path, bytes(whole), archive("zip"), f"is damaged: '{name}' has 0 bytes, expected {len(FILES[name])}")

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(kind=st.sampled_from(KINDS), data=st.data())
    def test_one_flipped_bit_is_found_or_changes_nothing(self, tmp_path: Path, kind: Kind, data: st.DataObject) -> None:
        """The content of a tar is the exception: it has no checksum of its own, and the digest of the archive protects it."""
        whole = bytearray(MAKE[kind](FILES))
        places: Sequence[int] = range(len(whole))
        if kind == "tar":
            places = [offset + i for offset in header_offsets(bytes(whole)) for i in range(512)]
        whole[data.draw(st.sampled_from(places))] ^= 1 << data.draw(st.integers(0, 7))
        (tmp_path / "archive").write_bytes(whole)
        shutil.rmtree(tmp_path / "top", ignore_errors=True)
        with suppress(FetchError):
            unpack(tmp_path / "archive", tmp_path / "top", archive(kind, min_files=4))
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {"archive"} or (left == {"archive", "top"} and tree(tmp_path / "top") == UNPACKED)


class TestNoRoom:
    def test_known_before(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "archive"
        path.write_bytes(tar_bytes(FILES))
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=path.stat().st_size - 1))
        with pytest.raises(FetchError, match=f"unpacking archive needs 10.2 kB, the disk of {tmp_path} has 10.2 kB left"):
            unpack(path, tmp_path / "top", archive("tar"))
        assert [p.name for p in tmp_path.iterdir()] == ["archive"]

    def test_found_out_on_the_way(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "archive").write_bytes(tar_bytes(FILES))
        opened = Path.open

        def open_on_full_disk(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if path.name == "b.txt":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return opened(path, mode, *args, **kwargs)

        monkeypatch.setattr(Path, "open", open_on_full_disk)
        with pytest.raises(FetchError, match=f"no room left on the disk of {tmp_path}"):
            unpack(tmp_path / "archive", tmp_path / "top", archive("tar"))
        assert [path.name for path in tmp_path.iterdir()] == ["archive"]
