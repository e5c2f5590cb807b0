"""The digests that identify official files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Digest:
    """A known digest of a file.

    Attributes:
        algorithm: the hash function.
        hexdigits: the whole digest. If only some digits are published, the digest must begin or end with them: publishers who
            put digits into a file name do not always say which ones, and a genuine file must not be refused.
        official: whether the publisher of the file published the digest. Otherwise somebody noted it after a download; the user
            is told about a difference, but the file is not refused.
    """

    algorithm: Literal["md5", "sha256"]
    hexdigits: str
    official: bool = True

    def difference(self, path: Path) -> str | None:
        """How the digest of a file differs, in words; None if it does not.

        Raises:
            OSError: the file cannot be read.
        """
        with path.open("rb") as file:
            found = hashlib.file_digest(file, self.algorithm).hexdigest()
        if found.startswith(self.hexdigits) or found.endswith(self.hexdigits):
            return None
        return f"its {self.algorithm.upper()} is {found}, expected {self}"

    def __str__(self) -> str:
        whole = hashlib.new(self.algorithm, usedforsecurity=False).digest_size * 2
        return self.hexdigits if len(self.hexdigits) == whole else f"one that begins or ends with {self.hexdigits}"
