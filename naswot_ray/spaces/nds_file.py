"""The records of NDS, "On Network Design Spaces for Visual Recognition" (Radosavovic et al., ICCV 2019), from its own file.

Official format (github.com/facebookresearch/nds): an archive `data.zip` with one JSON file per family. A file is a list of
records, or an object with two lists `top` and `mid` (the reruns), which are read as one list in this order. A record
describes one training:

    net             a cell network: genotype {normal, normal_concat, reduce, reduce_concat}, width, depth, aux, drop_prob
                    an AnyNet: block_type, ds, ws, ss, bot_muls or bms, num_gs or gws, ...
    optim           base_lr, wd, max_ep, ...
    rng_seed        seed of the training
    test_ep_top1    top-1 error in percent after each epoch
    params, flops   plain counts

Other entries are not needed here. The losses of trainings that diverged are written as NaN, which is not JSON, but Python reads
it.

Each record is an architecture of its family. Its arch_id is its position and the beginning of the digest of its `net`. Two
records of the same network (reruns, other learning rates) are therefore two architectures, each with its own accuracies.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import reprlib
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from naswot_ray.errors import BenchmarkError
from naswot_ray.regular_file import open_regular, read_regular

SUFFIXES: Final = (".zip", ".json")

GENOTYPE_KEYS: Final = ("normal", "normal_concat", "reduce", "reduce_concat")

_MAX_BYTES: Final = 2 << 30
"""The largest JSON file that is read."""

_CHUNK_BYTES: Final = 1 << 20

_RECORD_KEYS: Final = ("net", "optim", "rng_seed", "test_ep_top1", "params", "flops")
_CELL_KEYS: Final = ("genotype", "width", "depth")
_ANYNET_KEYS: Final = ("block_type", "ds", "ws", "ss")


@dataclass(frozen=True)
class NdsRecord:
    """One training of one network.

    Attributes:
        index: position in the family's list, from 0.
        arch_id: see `arch_id_of`.
        net: the network as the file describes it. It is checked only for its kind and for the keys that this kind needs.
        training: the entries `optim`, `rng_seed`, `test_ep_top1`, `params` and `flops` of the record, as far as it has them.
    """

    index: int
    arch_id: str
    net: Mapping[str, Any]
    training: Mapping[str, Any]


def arch_id_of(index: int, net: Mapping[str, Any]) -> str:
    """The key of an architecture: `00042-0123456789ab`.

    Args:
        index: position in the family's list. It is written with at least five digits.
        net: the network as the file describes it. The first twelve hexadecimal digits of the SHA-256 of its canonical JSON
            follow the position. Canonical JSON has sorted keys, no spaces, only ASCII, and numbers as Python writes them:
            integers stay integers, and floats have the shortest digits that give the same float back.

    Raises:
        ValueError: a number in `net` is not finite.
    """
    return f"{index:05d}-{hashlib.sha256(canonical_json(net).encode()).hexdigest()[:12]}"


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces.

    Raises:
        ValueError: a number is not finite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def read_records(path: Path, family: str) -> list[NdsRecord]:
    """All records of a family, in the order of their indexes.

    Args:
        path: the archive (its files can lie in any folder), or the JSON file of the family under its official name.
        family: a key of `nds_families.FAMILIES`.

    Raises:
        BenchmarkError: the file cannot be read, is damaged or hostile, lacks the family, or has another format.
    """
    if path.suffix != ".zip" and path.name != f"{family}.json":
        raise BenchmarkError(f"{path}: expected data.zip or {family}.json")
    try:
        text = _from_archive(path, family) if path.suffix == ".zip" else _from_file(path)
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    where = f"{path}: {family}.json" if path.suffix == ".zip" else str(path)
    try:
        content = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise BenchmarkError(f"{where} is damaged or no JSON: {error}") from error
    del text
    if isinstance(content, dict) and isinstance(content.get("top"), list) and isinstance(content.get("mid"), list):
        content = content["top"] + content["mid"]
    if not isinstance(content, list) or not content:
        raise BenchmarkError(f"{where}: expected a list of records, or an object of two lists 'top' and 'mid'")
    return [_record(where, index, record) for index, record in enumerate(content)]


def _from_file(path: Path) -> str:
    return read_regular(path, max_bytes=_MAX_BYTES).decode()


def _from_archive(path: Path, family: str) -> str:
    try:
        with open_regular(path) as packed, zipfile.ZipFile(packed) as archive:
            member = _member(path, archive, family)
            with archive.open(member) as file:  # reads at most the declared size, and verifies the checksum
                content = bytearray()
                while chunk := file.read(_CHUNK_BYTES):  # a single read() would unpack everything in the member
                    content += chunk
        return content.decode()
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, ValueError) as error:
        raise BenchmarkError(f"{path} is damaged or not the archive of NDS: {error}; download it again") from error


def _member(path: Path, archive: zipfile.ZipFile, family: str) -> zipfile.ZipInfo:
    """The family's file in an archive."""
    for info in archive.infolist():
        name = PurePosixPath(info.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts:
            raise BenchmarkError(
                f"{path}: member {info.filename!r} leads outside of the archive; the official archive has no such member"
            )
    found = [info for info in archive.infolist() if PurePosixPath(info.filename).name == f"{family}.json" and not info.is_dir()]
    if len(found) != 1:
        raise BenchmarkError(f"{path}: expected one {family}.json, found {[info.filename for info in found] or 'none'}")
    (member,) = found
    if member.flag_bits & 0x1:
        raise BenchmarkError(f"{path}: {member.filename} is encrypted; the official archive is not")
    if member.file_size > _MAX_BYTES:
        raise BenchmarkError(
            f"{path}: {member.filename} has {member.file_size} bytes unpacked, where at most {_MAX_BYTES} were expected"
        )
    return member


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Of a record only the needed entries are kept, because curves per iteration make up most of the file."""
    content = dict(pairs)
    if len(content) < len(pairs):
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"key {reprlib.repr(key)} occurs twice in one object")
            seen.add(key)
    if "net" in content:
        return {key: content[key] for key in _RECORD_KEYS if key in content}
    return content


def _record(where: str, index: int, content: Any) -> NdsRecord:
    where = f"{where}: record {index}"
    if not isinstance(content, dict) or not isinstance(content.get("net"), dict):
        raise BenchmarkError(f"{where}: expected an object with a 'net'")
    net = content.pop("net")
    if "genotype" in net:
        genotype = net["genotype"]
        if not isinstance(genotype, dict):
            raise BenchmarkError(f"{where}: expected a genotype of {', '.join(GENOTYPE_KEYS)}")
        missing = [key for key in _CELL_KEYS if key not in net] + [key for key in GENOTYPE_KEYS if key not in genotype]
    else:
        missing = [key for key in _ANYNET_KEYS if key not in net]
    if missing:
        raise BenchmarkError(f"{where}: its 'net' lacks {', '.join(missing)}")
    try:
        return NdsRecord(index, arch_id_of(index, net), net, content)
    except RecursionError:
        raise BenchmarkError(f"{where}: its 'net' is nested too deeply") from None
    except ValueError as error:
        raise BenchmarkError(f"{where}: its 'net' has a number that is not finite") from error
