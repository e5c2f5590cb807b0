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
        hexdigits: the whole digest, or its last digits where no more is published.
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
        return None if found.endswith(self.hexdigits) else f"its {self.algorithm.upper()} is {found}, expected {self}"

    def __str__(self) -> str:
        whole = hashlib.new(self.algorithm, usedforsecurity=False).digest_size * 2
        return self.hexdigits if len(self.hexdigits) == whole else f"...{self.hexdigits}"
