"""The catalogue of official files: where they come from, and the digests that identify them.

Sources: the READMEs of google-research/nasbench, D-X-Y/NATS-Bench, D-X-Y/AutoDL-Projects (docs/NAS-Bench-201.md) and
facebookresearch/nds, and CIFAR's page (www.cs.toronto.edu/~kriz/cifar.html). The digests of images are stated in
`images.files`, which reads them.

Digits in file names: exps/NATS-Bench/tss-collect.py of AutoDL-Projects puts the last five digits of the MD5 into the name of
`NATS-tss-v1_0-3ffb9.pickle.pbz2` (xautodl/utils/hash_utils.py), and names the `-simple` directory after that file. So the
digits belong to the `.pickle.pbz2` only; the authors published no digest of the `.tar`. They did not say either which digest
`096897`, "the last six digits" of the file of NAS-Bench-201, is part of. For such files the catalogue may have a digest that
others noted. It is reported, but not enforced.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from naswot_ray.errors import FetchError
from naswot_ray.fetch.archive import Archive
from naswot_ray.fetch.digests import Digest
from naswot_ray.images.files import FILES


@dataclass(frozen=True)
class OfficialFile:
    """One file of the catalogue.

    Attributes:
        name: the name that its publisher uses.
        digest: the digest that identifies it; None if none is known.
        size: bytes, as published or seen; None if not known. It is shown to the user, but never enforced.
    """

    name: str
    digest: Digest | None = None
    size: int | None = None


@dataclass(frozen=True)
class Entry:
    """The files that a user fetches by one name.

    Attributes:
        about: what they are, in a few words.
        terms: the licence, if the publisher states one.
        address: URL of the file, or of the page that leads to the files in a browser (Google Drive).
        files: the files in the folder of this entry in the cache.
        then: the command to run next; `{path}` stands for what was fetched, and `{folder}` for its folder.
        archive: what the archive is allowed to hold, if the file is one that is unpacked or that is read through because it has
            no digest.
        unpacked: name of the folder that is made from the archive; None if the files are used as they are.
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
        """Whether the files have to be downloaded in a browser, because Google Drive sends a page instead of large files."""
        return urlsplit(self.address).hostname == "drive.google.com"

    @property
    def size(self) -> int | None:
        """The bytes of all files together; None if not known."""
        sizes = [file.size for file in self.files if file.size is not None]
        return sum(sizes) if len(sizes) == len(self.files) else None

    def path_in(self, folder: Path) -> Path:
        """The path to use: the unpacked folder, the only file, or the folder of several files."""
        return folder / self.unpacked if self.unpacked else folder / self.files[0].name if len(self.files) == 1 else folder

    def next_command(self, folder: Path) -> str:
        """The command to run next, quoted for a shell."""
        return self.then.format(path=shlex.quote(str(self.path_in(folder))), folder=shlex.quote(str(folder)))


def get_entry(name: str) -> Entry:
    """The entry with this name.

    Raises:
        FetchError: there is none; the message lists all names.
    """
    if name not in CATALOGUE:
        raise FetchError(f"nothing to fetch is called {name!r}; there are: {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def known_digest(file_name: str) -> Digest | None:
    """The digest in the catalogue for a file of this name; None if there is none."""
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
"""Name -> entry. The files of an entry are kept in a folder of its name in the cache."""
