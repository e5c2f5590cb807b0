"""Which official files there are, where they come from and how to know them: the one table of addresses and digests.

Sources: the READMEs of google-research/nasbench, D-X-Y/NATS-Bench, D-X-Y/AutoDL-Projects (docs/NAS-Bench-201.md) and
facebookresearch/nds, and CIFAR's page (www.cs.toronto.edu/~kriz/cifar.html). The digests of images are stated in
`images.files`, which reads them.

The digits in NATS-Bench's file names: AutoDL-Projects' exps/NATS-Bench/tss-collect.py names `NATS-tss-v1_0-3ffb9.pickle.pbz2`
by the last five digits of that file's MD5 (xautodl/utils/hash_utils.py), and the `-simple` directory after it. So they belong
to the `.pickle.pbz2` alone; its authors published no digest of the `.tar`. Nor did they say of which digest `096897`, "the last
six digits" of NAS-Bench-201's file, is a part. Of such files there may be a digest that others noted, which is not enforced.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from naswot_ray.errors import FetchError
from naswot_ray.fetch.digests import Digest
from naswot_ray.fetch.unpack import Archive
from naswot_ray.images.files import FILES


@dataclass(frozen=True)
class OfficialFile:
    """One file.

    Attributes:
        name: as its publisher calls it.
        digest: None where none is known.
        size: bytes, as published or seen; told to the user and never enforced. None where not known.
    """

    name: str
    digest: Digest | None = None
    size: int | None = None


@dataclass(frozen=True)
class Entry:
    """What a user asks for by one name.

    Attributes:
        about: what it is, in a few words.
        terms: licence, as far as its publisher states one.
        address: of the file, or of the page in a browser that leads to the files (Google Drive).
        files: in the entry's folder of the cache.
        then: the command to go on with; `{path}` is what was fetched, `{folder}` is where it lies.
        archive: what the file may hold if it is an archive that is unpacked or, having no digest, read through.
        unpacked: the folder that is made from the archive. None: the files are used as they are.
    """

    about: str
    terms: str
    address: str
    files: tuple[OfficialFile, ...]
    then: str
    archive: Archive | None = None
    unpacked: str | None = None

    @property
    def by_hand(self) -> bool:
        """Whether a browser is needed: Google Drive shows a page instead of large files."""
        return urlsplit(self.address).hostname == "drive.google.com"

    @property
    def size(self) -> int | None:
        """Bytes of all files, None if not known."""
        sizes = [file.size for file in self.files if file.size is not None]
        return sum(sizes) if len(sizes) == len(self.files) else None

    def path_in(self, folder: Path) -> Path:
        """What is used in the end: the unpacked folder, the one file, or the folder of several files."""
        return folder / self.unpacked if self.unpacked else folder / self.files[0].name if len(self.files) == 1 else folder

    def next_command(self, folder: Path) -> str:
        """The command to go on with, for a shell."""
        return self.then.format(path=shlex.quote(str(self.path_in(folder))), folder=shlex.quote(str(folder)))


def get_entry(name: str) -> Entry:
    """The entry of a name.

    Raises:
        FetchError: there is none; says which there are.
    """
    if name not in CATALOGUE:
        raise FetchError(f"nothing to fetch is called {name!r}; there are: {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def known_digest(file_name: str) -> Digest | None:
    """The digest by which the file of this name is known; None if there is none."""
    files = (file for entry in CATALOGUE.values() for file in entry.files if file.name == file_name)
    return next((file.digest for file in files), None)


def _drive(identifier: str) -> str:
    return f"https://drive.google.com/file/d/{identifier}/view"


def _accuracies(space: str) -> str:
    return f"naswot-ray accuracies {space} {{path}} --dataset DIR"


def _score(images: str) -> str:
    return f"naswot-ray score --images {images} --data {{folder}} --output DIR"


def _cifar(name: str, about: str, size: int) -> Entry:
    files = FILES[name]
    assert files.archive is not None
    assert files.archive_md5 is not None
    return Entry(
        about=about,
        terms="none stated; cite Krizhevsky 2009",
        address=f"https://www.cs.toronto.edu/~kriz/{files.archive}",
        files=(OfficialFile(files.archive, Digest("md5", files.archive_md5), size),),
        then=_score(name),
    )


CATALOGUE: Final[dict[str, Entry]] = {
    "nasbench101": Entry(
        about="NAS-Bench-101, trainings of 108 epochs",
        terms="its repository's, Apache-2.0",
        address="https://storage.googleapis.com/nasbench/nasbench_only108.tfrecord",
        files=(
            OfficialFile(
                "nasbench_only108.tfrecord",
                Digest("sha256", "4c39c3936e36a85269881d659e44e61a245babcb72cb374eacacf75d0e5f4fd1"),
                522_767_376,
            ),
        ),
        then=_accuracies("nasbench101"),
    ),
    "nasbench101-full": Entry(
        about="NAS-Bench-101, trainings of 4, 12, 36 and 108 epochs",
        terms="its repository's, Apache-2.0",
        address="https://storage.googleapis.com/nasbench/nasbench_full.tfrecord",
        files=(
            OfficialFile(
                "nasbench_full.tfrecord",
                Digest("sha256", "3d64db8180fb1b0207212f9032205064312b6907a3bbc81eabea10db2f5c7e9c"),
                2_085_986_016,
            ),
        ),
        then=_accuracies("nasbench101"),
    ),
    "nats-tss": Entry(
        about="NATS-Bench's topology space (= NAS-Bench-201), one file per architecture",
        terms="its repository's, MIT",
        address=_drive("17_saCsj_krKjlCBLOJEpNtzPXArMCqxU"),
        files=(
            OfficialFile(
                "NATS-tss-v1_0-3ffb9-simple.tar",
                Digest("sha256", "580fd8f3425fed9f495640b0f12ccb7744f89dec7aff263bd75aed37ab0b8bb6", official=False),
                1_145_989_120,
            ),
        ),
        then=_accuracies("nasbench201"),
        archive=Archive("tar", min_files=15_625, max_members=100_000, max_bytes=10 * 10**9),
        unpacked="NATS-tss-v1_0-3ffb9-simple",
    ),
    "nats-tss-whole": Entry(
        about="NATS-Bench's topology space in one file",
        terms="its repository's, MIT",
        address=_drive("1vzyK0UVH2D3fTpa1_dSWnp1gvGpAxRul"),
        files=(OfficialFile("NATS-tss-v1_0-3ffb9.pickle.pbz2", Digest("md5", "3ffb9")),),
        then=_accuracies("nasbench201"),
    ),
    "nats-sss": Entry(
        about="NATS-Bench's size space, one file per architecture",
        terms="its repository's, MIT",
        address=_drive("1scOMTUwcQhAMa_IMedp9lTzwmgqHLGgA"),
        files=(OfficialFile("NATS-sss-v1_0-50262-simple.tar"),),
        then=_accuracies("nats_sss"),
        archive=Archive("tar", min_files=32_768, max_members=100_000, max_bytes=10 * 10**9),
        unpacked="NATS-sss-v1_0-50262-simple",
    ),
    "nats-sss-whole": Entry(
        about="NATS-Bench's size space in one file",
        terms="its repository's, MIT",
        address=_drive("1IabIvzWeDdDAWICBzFtTCMXxYWPIOIOX"),
        files=(OfficialFile("NATS-sss-v1_0-50262.pickle.pbz2", Digest("md5", "50262")),),
        then=_accuracies("nats_sss"),
    ),
    "nasbench201": Entry(
        about="NAS-Bench-201 in its own, older file",
        terms="its repository's, MIT",
        address=_drive("16Y0UwGisiouVRxW-W5hEtbxmcHw_0hF_"),
        files=(
            OfficialFile(
                "NAS-Bench-201-v1_1-096897.pth",
                Digest("sha256", "2317a7dc911654322f4f932730a821cf38ecc5b5f1adde0aff26ff6b3f736666", official=False),
                4_700_000_000,  # published as 4.7G
            ),
        ),
        then=_accuracies("nasbench201"),
    ),
    "nds": Entry(
        about="On Network Design Spaces for Visual Recognition, every family",
        terms="none stated for the data; its code is MIT",
        address="https://dl.fbaipublicfiles.com/nds/data.zip",
        files=(OfficialFile("data.zip"),),
        then=_accuracies("nds_darts"),
        archive=Archive("zip", min_files=1, max_members=1_000, max_bytes=50 * 10**9),
    ),
    "cifar10": _cifar("cifar10", "CIFAR-10 images", 170_498_071),
    "cifar100": _cifar("cifar100", "CIFAR-100 images", 169_001_437),
    "imagenet16-120": Entry(
        about="training images of ImageNet16, of which the first 120 classes are ImageNet16-120",
        terms="ImageNet's: research, not commercial",
        address="https://drive.google.com/drive/folders/1T3UIyZXUhMmIuJLOBMIYKAsJknAtrrO4",
        files=tuple(OfficialFile(name, Digest("md5", md5)) for name, md5 in FILES["imagenet16-120"].batches.items()),
        then=_score("imagenet16-120"),
    ),
}
"""Name -> what it stands for. Each has a folder of that name in the cache."""
