"""What the digest of a file must be."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Digest:
    """A digest of a file that others know.

    Attributes:
        algorithm: which one.
        hexdigits: the whole digest, or digits that it begins or ends with where no more is published. Publishers that put
            digits into a file's name do not always say which they are, and a genuine file must not be refused.
        official: published by those who published the file. Otherwise somebody else noted it after downloading: good to tell
            the user, but no reason to refuse a file.
    """

    algorithm: Literal["md5", "sha256"]
    hexdigits: str
    official: bool = True

    def difference(self, path: Path) -> str | None:
        """In which way a file is another one; None if it is not.

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
